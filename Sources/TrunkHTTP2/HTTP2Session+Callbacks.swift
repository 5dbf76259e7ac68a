// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import CNGHTTP2

/// What nghttp2 reports, turned into events of sessions and streams.
extension HTTP2Session {
  func onBeginHeaders(_ frame: UnsafePointer<nghttp2_frame>) -> Int32 {
    let id = frame.pointee.hd.stream_id
    if role == .server, frame.pointee.headers.cat == NGHTTP2_HCAT_REQUEST {
      // An owner that closed from within a callback hears of nothing more.
      guard !isTerminated else { return 0 }
      let stream = HTTP2Stream(self, id: id)
      insert(stream)
      nghttp2_session_set_stream_user_data(pointer, id, Unmanaged.passUnretained(stream).toOpaque())
      delegate?.streamOpened(stream)
    } else if let stream = NGHTTP2.stream(pointer, id) {
      stream.headerListSize = 0
      stream.headersTooLarge = false
    }
    return 0
  }

  /// The limit is counted here: for nghttp2 the announced one is advice to the peer only. The block
  /// is decoded to its end, or HPACK would be out of step (CVE-2023-32731).
  static func onHeader(
    _ stream: HTTP2Stream, _ name: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer
  ) -> Int32 {
    stream.headerListSize += name.count + value.count + 32
    if stream.headerListSize > stream.session.settings.maxHeaderListSize {
      stream.headersTooLarge = true
    } else {
      stream.handler?.header(name, value)
    }
    return 0
  }

  func onFrame(_ pointer: OpaquePointer, _ frame: UnsafePointer<nghttp2_frame>) {
    let header = frame.pointee.hd
    switch UInt32(header.type) {
    case NGHTTP2_HEADERS.rawValue: onHeadersEnd(frame)
    case NGHTTP2_DATA.rawValue:
      if header.flags & UInt8(NGHTTP2_FLAG_END_STREAM.rawValue) != 0,
        let stream = NGHTTP2.stream(pointer, header.stream_id)
      {
        stream.peerEnded = true
        stream.handler?.ended()
      }
    case NGHTTP2_SETTINGS.rawValue:
      if header.flags & UInt8(NGHTTP2_FLAG_ACK.rawValue) == 0 {
        settingsArrived()
      } else {
        delegate?.settingsAcknowledged()
      }
    case NGHTTP2_PING.rawValue:
      if header.flags & UInt8(NGHTTP2_FLAG_ACK.rawValue) != 0 {
        let payload = withUnsafeBytes(of: frame.pointee.ping.opaque_data) {
          $0.loadUnaligned(as: UInt64.self)
        }
        delegate?.pingAcknowledged(payload)
      } else {
        pingArrived()
      }
    case NGHTTP2_GOAWAY.rawValue:
      let goAway = frame.pointee.goaway
      let text = UnsafeBufferPointer(
        start: goAway.opaque_data, count: min(goAway.opaque_data_len, 256))
      goAwayArrived(goAway.last_stream_id, goAway.error_code, String(decoding: text, as: UTF8.self))
    default: break
    }
  }

  private func onHeadersEnd(_ frame: UnsafePointer<nghttp2_frame>) {
    let header = frame.pointee.hd
    guard let stream = NGHTTP2.stream(pointer, header.stream_id) else { return }
    let endStream = header.flags & UInt8(NGHTTP2_FLAG_END_STREAM.rawValue) != 0
    if endStream { stream.peerEnded = true }
    let kind: HeaderBlockKind =
      switch frame.pointee.headers.cat {
      case NGHTTP2_HCAT_REQUEST: .request
      // Interim responses are of this kind as well; the owner has seen their :status.
      case NGHTTP2_HCAT_RESPONSE: .response
      default: endStream ? .trailers : .response
      }
    stream.handler?.headersEnded(kind, endStream: endStream, tooLarge: stream.headersTooLarge)
    if endStream && !stream.isClosed { stream.handler?.ended() }
  }
}
