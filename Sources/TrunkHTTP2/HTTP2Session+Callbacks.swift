// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import CNGHTTP2

/// What nghttp2 reports, turned into events of sessions and streams.
extension HTTP2Session {
  func onBeginHeaders(_ frame: UnsafePointer<nghttp2_frame>) {
    let id = frame.pointee.hd.stream_id
    headerStream = nil
    if role == .server, frame.pointee.headers.cat == NGHTTP2_HCAT_REQUEST {
      // An owner that closed from within a callback hears of nothing more.
      guard !isTerminated, let delegate else { return }
      let stream = delegate.streamArrives(id, self)
      let unmanaged = Unmanaged.passUnretained(stream)
      insert(stream)
      nghttp2_session_set_stream_user_data(pointer, id, unmanaged.toOpaque())
      headerStream = unmanaged
    } else if let stream = NGHTTP2.stream(pointer, id) {
      stream.headerListSize = 0
      stream.headersTooLarge = false
      headerStream = Unmanaged.passUnretained(stream)
    }
  }

  /// The limit is counted here: for nghttp2 the announced one is advice to the peer only. The block
  /// is decoded to its end, or HPACK would be out of step (CVE-2023-32731).
  @inline(__always)
  func onHeader(_ name: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) {
    // Blocks do not interleave (RFC 9113 §4.3): the field is of the block that began last.
    headerStream?._withUnsafeGuaranteedRef { stream in
      stream.headerListSize += name.count + value.count + 32
      if stream.headerListSize > settings.maxHeaderListSize {
        stream.headersTooLarge = true
      } else {
        stream.header(name, value)
      }
    }
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
        stream.ended()
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
    stream.headersEnded(kind, endStream: endStream, tooLarge: stream.headersTooLarge)
    if endStream && !stream.isClosed { stream.ended() }
  }
}
