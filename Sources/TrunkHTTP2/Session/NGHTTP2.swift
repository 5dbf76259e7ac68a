// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import CNGHTTP2

/// nghttp2's C interface: sessions with this library's options, and callbacks with their Swift
/// objects.
///
/// Callbacks are formed in nonisolated functions; they run only inside `receive` and `drain`, on
/// the session's loop. None returns an error that is fatal to the session (CVE-2023-35945).
enum NGHTTP2 {
  // Written once, before the first session; nghttp2 only reads it.
  nonisolated(unsafe) private static let callbacks: OpaquePointer? = makeCallbacks()
  // As above.
  nonisolated(unsafe) private static let options: OpaquePointer? = makeOptions()

  /// - Parameter arena: memory for its lasting parts; nil: malloc's.
  static func makeSession(_ role: HTTP2Session.Role, in arena: SessionArena?) -> OpaquePointer {
    var session: OpaquePointer?
    func make(_ memory: UnsafeMutablePointer<nghttp2_mem>?) -> Int32 {
      switch role {
      case .client: nghttp2_session_client_new3(&session, callbacks, nil, options, memory)
      case .server: nghttp2_session_server_new3(&session, callbacks, nil, options, memory)
      }
    }
    let status = arena.map { $0.open(make) } ?? make(nil)
    // Fails only without memory, where Swift itself would trap.
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

  /// The error code on the wire for a failure of `mem_recv`.
  static func errorCode(_ code: Int32) -> UInt32 {
    switch code {
    case NGHTTP2_ERR_BAD_CLIENT_MAGIC.rawValue: HTTP2ErrorCode.protocolError
    // More than 1,000 acknowledgements of PINGs and SETTINGS that the peer does not read.
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
    // gRPC C++, Python and Go send values with spaces at their edges (malformed by RFC 9113
    // §8.2.1); refusing them would lose the call's status.
    nghttp2_option_set_no_rfc9113_leading_and_trailing_ws_validation(option, 1)
    // A peer may announce 2^32-1: this side's encoder keeps a small table.
    nghttp2_option_set_max_deflate_dynamic_table_size(option, 4096)
    // A client's assumption before the server's SETTINGS, as in grpc-go.
    nghttp2_option_set_peer_max_concurrent_streams(option, 100)
    // CVE-2024-28182; 8 is the default of versions that have the option.
    _ = trunk_option_set_max_continuations(option, 8)
    // Turned off: it would end the connection of a legitimate client that cancels many calls.
    // AbuseBudget counts by cost (docs/decisions/0008-resets-are-counted-by-what-they-cost.md).
    _ = trunk_option_set_stream_reset_rate_limit(option, 1 << 32, 1 << 32)
    return option
  }

  private static func makeCallbacks() -> OpaquePointer? {
    var callbacks: OpaquePointer?
    guard nghttp2_session_callbacks_new(&callbacks) == 0 else { return nil }
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks) { _, frame, user in
      if let frame { NGHTTP2.withSession(user) { $0.onBeginHeaders(frame) } }
      return 0
    }
    nghttp2_session_callbacks_set_on_header_callback(callbacks) {
      _, _, name, nameLength, value, valueLength, _, user in
      NGHTTP2.withSession(user) {
        $0.onHeader(
          UnsafeRawBufferPointer(start: name, count: nameLength),
          UnsafeRawBufferPointer(start: value, count: valueLength))
      }
      return 0
    }
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks) {
      _, _, id, data, length, user in
      NGHTTP2.withSession(user) {
        $0.onData(id, UnsafeRawBufferPointer(start: data, count: length))
      }
      return 0
    }
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks) { _, frame, user in
      if let frame { NGHTTP2.withSession(user) { $0.onFrame(frame) } }
      return 0
    }
    // Before, not after: nghttp2 reports a frame as sent only when it is asked for the next one,
    // and a connection lost in between must not count as one that did not carry the request.
    nghttp2_session_callbacks_set_before_frame_send_callback(callbacks) { _, frame, user in
      if let frame {
        switch UInt32(frame.pointee.hd.type) {
        case NGHTTP2_HEADERS.rawValue:
          NGHTTP2.withSession(user) { $0.headersGo(frame.pointee.hd.stream_id) }
        case NGHTTP2_RST_STREAM.rawValue:
          NGHTTP2.withSession(user) {
            $0.resetGoes(frame.pointee.hd.stream_id, frame.pointee.rst_stream.error_code)
          }
        case NGHTTP2_GOAWAY.rawValue: NGHTTP2.withSession(user) { $0.goAwayGoes(frame) }
        default: break
        }
      }
      return 0
    }
    // The headers were too large for nghttp2 (64 KiB): nothing else would end the stream.
    nghttp2_session_callbacks_set_on_frame_not_send_callback(callbacks) { _, frame, _, user in
      if let frame, UInt32(frame.pointee.hd.type) == NGHTTP2_HEADERS.rawValue {
        NGHTTP2.withSession(user) { session in
          guard session.role == .server else { return }
          session.withStream(frame.pointee.hd.stream_id) { $0.reset(HTTP2ErrorCode.internalError) }
        }
      }
      return 0
    }
    nghttp2_session_callbacks_set_on_frame_send_callback(callbacks) { _, frame, user in
      // The server ends before the client: RFC 9113 §8.1, and gRPC's "RST_STREAM NO_ERROR".
      if let frame, UInt32(frame.pointee.hd.type) == NGHTTP2_HEADERS.rawValue,
        frame.pointee.hd.flags & UInt8(NGHTTP2_FLAG_END_STREAM.rawValue) != 0
      {
        NGHTTP2.withSession(user) { session in
          guard session.role == .server else { return }
          session.withStream(frame.pointee.hd.stream_id) {
            if !$0.peerEnded { $0.reset(HTTP2ErrorCode.noError) }
          }
        }
      }
      return 0
    }
    // Called before the callback below, with the name of the field.
    nghttp2_session_callbacks_set_error_callback2(callbacks) { _, _, text, length, user in
      if let text {
        let bytes = UnsafeRawBufferPointer(start: text, count: length)
        NGHTTP2.withSession(user) { $0.lastLibraryError = String(decoding: bytes, as: UTF8.self) }
      }
      return 0
    }
    // nghttp2 refuses a frame of the peer, in most cases by resetting the stream.
    nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(callbacks) {
      _, frame, code, user in
      if let frame {
        NGHTTP2.withSession(user) { $0.frameRefused(frame.pointee.hd.stream_id, code) }
      }
      return 0
    }
    nghttp2_session_callbacks_set_send_data_callback(callbacks) {
      _, _, head, length, source, user in
      guard let user, let head, let stream = source?.pointee.ptr else {
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE.rawValue
      }
      return Unmanaged<HTTP2Session>.fromOpaque(user)._withUnsafeGuaranteedRef {
        $0.onSendData(head, length, Unmanaged<HTTP2Stream>.fromOpaque(stream))
      }
    }
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks) { pointer, id, code, user in
      guard let pointer else { return 0 }
      NGHTTP2.withSession(user) { session in
        session.withStream(id) {
          nghttp2_session_set_stream_user_data(pointer, id, nil)
          session.streamClosed($0, code)
        }
      }
      return 0
    }
    return callbacks
  }

  /// Callbacks run inside a method of the session: it exists.
  @inline(__always)
  private static func withSession(
    _ user: UnsafeMutableRawPointer?, _ body: (HTTP2Session) -> Void
  ) {
    guard let user else { return }
    Unmanaged<HTTP2Session>.fromOpaque(user)._withUnsafeGuaranteedRef(body)
  }
}
