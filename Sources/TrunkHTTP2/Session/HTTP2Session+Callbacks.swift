// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import CNGHTTP2

/// nghttp2's callbacks as events of sessions and streams.
extension HTTP2Session {
  func onBeginHeaders(_ frame: UnsafePointer<nghttp2_frame>) {
    let id = frame.pointee.hd.stream_id
    blockOwner = nil
    if role == .server, frame.pointee.headers.cat == NGHTTP2_HCAT_REQUEST {
      // After an owner has closed from within a callback, no event follows.
      guard !isTerminated, let delegate else { return }
      // RFC 9113 §5.1.2: a stream error.
      if limitIsKnown, streams.count >= settings.maxConcurrentStreams {
        _ = nghttp2_submit_rst_stream(
          pointer, UInt8(NGHTTP2_FLAG_NONE.rawValue), id, HTTP2ErrorCode.protocolError)
        return
      }
      adopt(delegate.streamArrives(id, self))
    }
    withStream(id) {
      $0.headerListSize = 0
      $0.headersTooLarge = false
      blockOwner = Unmanaged.passUnretained($0)
    }
  }

  /// The limit is enforced here: for nghttp2 the announced one is advice to the peer only. The
  /// block is decoded to its end, since HPACK's state would differ otherwise (CVE-2023-32731).
  func onHeader(_ name: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) {
    // Blocks do not interleave (RFC 9113 §4.3): the field is of the block that began last.
    blockOwner?._withUnsafeGuaranteedRef { stream in
      if stream.headersTooLarge { return }
      let size = Int(stream.headerListSize) + name.count + value.count + 32
      if size > settings.maxHeaderListSize {
        stream.headersTooLarge = true
      } else {
        stream.headerListSize = UInt32(clamping: size)
        stream.header(name, value)
      }
    }
  }

  func onFrame(_ frame: UnsafePointer<nghttp2_frame>) {
    let header = frame.pointee.hd
    switch UInt32(header.type) {
    case NGHTTP2_HEADERS.rawValue: onHeadersEnd(frame)
    case NGHTTP2_DATA.rawValue:
      if header.flags & UInt8(NGHTTP2_FLAG_END_STREAM.rawValue) != 0 {
        withStream(header.stream_id) {
          $0.peerEnded = true
          $0.ended()
        }
      }
    case NGHTTP2_SETTINGS.rawValue:
      if header.flags & UInt8(NGHTTP2_FLAG_ACK.rawValue) == 0 {
        settingsArrived()
      } else {
        limitIsKnown = true
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
    let endStream = header.flags & UInt8(NGHTTP2_FLAG_END_STREAM.rawValue) != 0
    let kind: HeaderBlockKind =
      switch frame.pointee.headers.cat {
      case NGHTTP2_HCAT_REQUEST: .request
      // Interim responses are of this kind as well; the owner has seen their :status.
      case NGHTTP2_HCAT_RESPONSE: .response
      default: endStream ? .trailers : .response
      }
    withStream(header.stream_id) { stream in
      if endStream { stream.peerEnded = true }
      stream.headersEnded(kind, endStream: endStream, tooLarge: stream.headersTooLarge)
      if endStream && !stream.isClosed { stream.ended() }
    }
  }
}
