// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import CNGHTTP2

/// The C library's shapes: sessions with our options, callbacks that find their Swift objects.
///
/// Callbacks are formed in nonisolated functions; they run only inside `receive` and `drain`, on the
/// session's loop. None returns an error that is fatal to the session (CVE-2023-35945).
enum NGHTTP2 {
  // Written once, before the first session; nghttp2 only reads it.
  nonisolated(unsafe) private static let callbacks: OpaquePointer? = makeCallbacks()
  // As above.
  nonisolated(unsafe) private static let options: OpaquePointer? = makeOptions()

  /// - Parameter arena: where its lasting parts lie; nil: wherever malloc puts them.
  static func makeSession(_ role: HTTP2Session.Role, in arena: SessionArena?) -> OpaquePointer {
    var session: OpaquePointer?
    func make(_ memory: UnsafeMutablePointer<nghttp2_mem>?) -> Int32 {
      switch role {
      case .client: nghttp2_session_client_new3(&session, callbacks, nil, options, memory)
      case .server: nghttp2_session_server_new3(&session, callbacks, nil, options, memory)
      }
    }
    let status = arena.map { $0.open(make) } ?? make(nil)
    // Fails only when memory is out, where Swift itself would have trapped a moment later.
    guard status == 0, let session else { fatalError("nghttp2: out of memory") }
    return session
  }

  /// The session outlives its pointer: it deletes it in its deinit.
  static func setUserData(_ pointer: OpaquePointer, _ session: HTTP2Session) {
    nghttp2_session_set_user_data(pointer, Unmanaged.passUnretained(session).toOpaque())
  }

  static func submitRequest(
    _ session: OpaquePointer, _ fields: UnsafePointer<nghttp2_nv>, _ count: Int,
    _ stream: HTTP2Stream
  ) -> Int32 {
    var provider = bodyProvider(stream)
    return nghttp2_submit_request(
      session, nil, fields, count, &provider, Unmanaged.passUnretained(stream).toOpaque())
  }

  static func submitResponse(
    _ session: OpaquePointer, _ fields: UnsafePointer<nghttp2_nv>, _ count: Int,
    _ stream: HTTP2Stream, hasBody: Bool
  ) {
    if hasBody {
      var provider = bodyProvider(stream)
      _ = nghttp2_submit_response(session, stream.id, fields, count, &provider)
    } else {
      _ = nghttp2_submit_response(session, stream.id, fields, count, nil)
    }
  }

  /// What a failure of `mem_recv` is on the wire.
  static func errorCode(_ code: Int32) -> UInt32 {
    switch code {
    case NGHTTP2_ERR_BAD_CLIENT_MAGIC.rawValue: HTTP2ErrorCode.protocolError
    // More than 1,000 answers to PINGs and SETTINGS that the peer does not read.
    case NGHTTP2_ERR_FLOODED.rawValue: HTTP2ErrorCode.enhanceYourCalm
    default: HTTP2ErrorCode.internalError
    }
  }

  private static func bodyProvider(_ stream: HTTP2Stream) -> nghttp2_data_provider {
    var provider = nghttp2_data_provider()
    provider.source.ptr = Unmanaged.passUnretained(stream).toOpaque()
    provider.read_callback = { _, _, buffer, length, flags, source, _ in
      guard let buffer, let flags, let pointer = source?.pointee.ptr else { return 0 }
      return Unmanaged<HTTP2Stream>.fromOpaque(pointer)._withUnsafeGuaranteedRef {
        $0.pull(buffer, length, flags)
      }
    }
    return provider
  }

  private static func makeOptions() -> OpaquePointer? {
    var option: OpaquePointer?
    guard nghttp2_option_new(&option) == 0 else { return nil }
    nghttp2_option_set_no_auto_window_update(option, 1)
    nghttp2_option_set_no_closed_streams(option, 1)
    // A peer may announce 2^32-1: our encoder's table stays small.
    nghttp2_option_set_max_deflate_dynamic_table_size(option, 4096)
    // What a client assumes until the server's SETTINGS say otherwise, as grpc-go does.
    nghttp2_option_set_peer_max_concurrent_streams(option, 100)
    // CVE-2024-28182; 8 is the default of those that have it.
    _ = trunk_option_set_max_continuations(option, 8)
    // Out of the way: it would cut off a client that cancels a lot in good faith. AbuseBudget counts
    // what matters instead (docs/decisions/0008-resets-are-counted-by-what-they-cost.md).
    _ = trunk_option_set_stream_reset_rate_limit(option, 1 << 32, 1 << 32)
    return option
  }

  private static func makeCallbacks() -> OpaquePointer? {
    var callbacks: OpaquePointer?
    guard nghttp2_session_callbacks_new(&callbacks) == 0 else { return nil }
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks) { _, frame, user in
      guard let frame, let session = NGHTTP2.session(user) else { return 0 }
      return session.onBeginHeaders(frame)
    }
    nghttp2_session_callbacks_set_on_header_callback(callbacks) {
      pointer, frame, name, nameLength, value, valueLength, _, _ in
      guard let pointer, let frame,
        let stream = NGHTTP2.stream(pointer, frame.pointee.hd.stream_id)
      else { return 0 }
      return HTTP2Session.onHeader(
        stream, UnsafeRawBufferPointer(start: name, count: nameLength),
        UnsafeRawBufferPointer(start: value, count: valueLength))
    }
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks) {
      pointer, _, id, data, length, user in
      guard let pointer, let session = NGHTTP2.session(user) else { return 0 }
      let bytes = UnsafeRawBufferPointer(start: data, count: length)
      if let stream = NGHTTP2.stream(pointer, id) {
        session.received(stream, bytes)
      } else {
        _ = nghttp2_session_consume(pointer, id, length)
      }
      return 0
    }
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks) { pointer, frame, user in
      guard let pointer, let frame, let session = NGHTTP2.session(user) else { return 0 }
      session.onFrame(pointer, frame)
      return 0
    }
    // Before, not after: nghttp2 reports a frame as sent only when it is asked for the next one, and
    // a connection lost in between must not pass for one that never carried the request.
    nghttp2_session_callbacks_set_before_frame_send_callback(callbacks) { pointer, frame, user in
      if let pointer, let frame {
        switch UInt32(frame.pointee.hd.type) {
        case NGHTTP2_HEADERS.rawValue:
          NGHTTP2.stream(pointer, frame.pointee.hd.stream_id)?.headersGo()
        case NGHTTP2_RST_STREAM.rawValue:
          NGHTTP2.session(user)?.resetGoes(frame.pointee.rst_stream.error_code)
        case NGHTTP2_GOAWAY.rawValue:
          NGHTTP2.session(user)?.goAwayGoes(frame)
        default: break
        }
      }
      return 0
    }
    // Our own headers were too large for nghttp2 (64 KiB): nothing else would end the stream.
    nghttp2_session_callbacks_set_on_frame_not_send_callback(callbacks) { pointer, frame, _, _ in
      if let pointer, let frame, UInt32(frame.pointee.hd.type) == NGHTTP2_HEADERS.rawValue,
        let stream = NGHTTP2.stream(pointer, frame.pointee.hd.stream_id),
        stream.session.role == .server
      {
        stream.reset(HTTP2ErrorCode.internalError)
      }
      return 0
    }
    nghttp2_session_callbacks_set_on_frame_send_callback(callbacks) { pointer, frame, _ in
      if let pointer, let frame, UInt32(frame.pointee.hd.type) == NGHTTP2_HEADERS.rawValue,
        let stream = NGHTTP2.stream(pointer, frame.pointee.hd.stream_id)
      {
        // The server is done before the client: RFC 9113 §8.1, and gRPC's "RST_STREAM NO_ERROR".
        if frame.pointee.hd.flags & UInt8(NGHTTP2_FLAG_END_STREAM.rawValue) != 0, !stream.peerEnded,
          stream.session.role == .server
        {
          stream.reset(HTTP2ErrorCode.noError)
        }
      }
      return 0
    }
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks) { pointer, id, code, user in
      guard let pointer, let session = NGHTTP2.session(user),
        let stream = NGHTTP2.stream(pointer, id)
      else { return 0 }
      nghttp2_session_set_stream_user_data(pointer, id, nil)
      session.streamClosed(stream, code)
      return 0
    }
    return callbacks
  }

  static func stream(_ pointer: OpaquePointer, _ id: Int32) -> HTTP2Stream? {
    nghttp2_session_get_stream_user_data(pointer, id).map {
      Unmanaged<HTTP2Stream>.fromOpaque($0).takeUnretainedValue()
    }
  }

  private static func session(_ user: UnsafeMutableRawPointer?) -> HTTP2Session? {
    user.map { Unmanaged<HTTP2Session>.fromOpaque($0).takeUnretainedValue() }
  }
}
