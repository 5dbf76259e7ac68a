// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import CNGHTTP2

/// The table of a session's streams: its entries, its events, and when an object may be released.
///
/// ```
///   insert ──► in the table ── closed by nghttp2, reset unsent, connection lost ──► closed
///   closed ── nghttp2 has returned ──► released
/// ```
/// Callbacks borrow their streams, so that a stream which has left the table stays until nghttp2
/// has returned.
extension HTTP2Session {
  func insert(_ stream: HTTP2Stream) {
    stream.tableIndex = Int32(truncatingIfNeeded: streams.count)
    streams.append(stream)
    if role == .client { unsentCount += 1 }
  }

  func streamClosed(_ stream: HTTP2Stream, _ code: UInt32) {
    guard stream.tableIndex >= 0 else { return }
    remove(stream)
    if stream.peerEnded { abuse?.streamClosed(UInt32(bitPattern: stream.id)) }
    let reason: StreamCloseReason =
      if role == .client && !stream.headersSent {
        .notSent
      } else if role == .client && code == HTTP2ErrorCode.refusedStream {
        .refused
      } else if !refusals.isEmpty, let why = refusals.removeValue(forKey: stream.id) {
        .refusedHere(why)
      } else {
        .code(code)
      }
    finishStream(stream, reason)
  }

  func onData(_ id: Int32, _ bytes: UnsafeRawBufferPointer) {
    var isKnown = false
    withStream(id) { stream in
      isKnown = true
      received(stream, bytes)
    }
    if !isKnown { _ = nghttp2_session_consume(pointer, id, bytes.count) }
  }

  private func received(_ stream: HTTP2Stream, _ bytes: UnsafeRawBufferPointer) {
    stream.unconsumed &+= Int32(truncatingIfNeeded: bytes.count)
    buffered += bytes.count
    // The connection's window is restored at once, so that one slow reader does not block the other
    // streams, unless too many bytes are unread altogether.
    if buffered <= settings.maxBufferedBytes {
      _ = nghttp2_session_consume_connection(pointer, bytes.count)
    } else {
      heldBack += bytes.count
    }
    stream.data(bytes)
  }

  func consumed(_ stream: HTTP2Stream, _ count: Int) {
    restoreConnectionWindow(count)
    guard !stream.isClosed else { return }
    _ = nghttp2_session_consume_stream(pointer, stream.id, count)
    if !isReceiving && nghttp2_session_want_write(pointer) != 0 { setNeedsFlush() }
  }

  func noteWritable(_ stream: HTTP2Stream) { writable.append(stream) }

  func resume(_ id: Int32) {
    _ = nghttp2_session_resume_data(pointer, id)
    setNeedsFlush()
  }

  func submitReset(_ stream: HTTP2Stream, _ code: UInt32) {
    _ = nghttp2_submit_rst_stream(pointer, UInt8(NGHTTP2_FLAG_NONE.rawValue), stream.id, code)
    if role == .client && !stream.headersSent {
      stream.isCancelled = true
      hasCancelledUnsent = true
    }
    setNeedsFlush()
  }

  func settingsArrived() {
    peerSettingsSeen = true
    let limit = nghttp2_session_get_remote_settings(
      pointer, NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE)
    headerListLimit = limit == .max ? .max : Int(limit)
    delegate?.settingsReceived()
  }

  /// nghttp2 found a frame of the peer invalid: this side will reset the stream.
  func frameRefused(_ id: Int32, _ code: Int32) {
    defer { lastLibraryError = "" }
    guard id > 0 else { return }
    withStream(id) { _ in
      var why = String(cString: nghttp2_strerror(code))
      // "Invalid HTTP header field was received: frame type: 1, stream: 1, name: [connection],
      // value: […]"
      if let name = lastLibraryError.split(separator: "name: [").dropFirst().first?
        .split(separator: "]").first
      {
        why += ": \(name.prefix(64))"
      }
      refusals[id] = why
    }
  }

  func goAwayArrived(_ last: Int32, _ code: UInt32, _ text: String) {
    hasReceivedGoAway = true
    hasCancelledUnsent = true
    delegate?.goAwayReceived(last, code, text)
  }

  /// Counts off consumed bytes, and adds to the connection's window what was held back of it.
  private func restoreConnectionWindow(_ count: Int) {
    buffered -= count
    guard heldBack > 0, buffered <= settings.maxBufferedBytes else { return }
    let credit = heldBack
    heldBack = 0
    _ = nghttp2_session_consume_connection(pointer, credit)
    if !isReceiving { setNeedsFlush() }
  }

  func remove(_ stream: HTTP2Stream) {
    let index = Int(stream.tableIndex)
    guard index >= 0, let last = streams.popLast() else { return }
    closedStreams.append(stream)
    if last !== stream {
      streams[index] = last
      last.tableIndex = stream.tableIndex
    }
    stream.tableIndex = -1
    if role == .client, !stream.headersSent { unsentCount -= 1 }
  }

  func finishStream(_ stream: HTTP2Stream, _ reason: StreamCloseReason) {
    stream.discard()
    restoreConnectionWindow(Int(stream.unconsumed))
    stream.unconsumed = 0
    stream.closed(reason)
  }

  /// Releases the streams in ``closedStreams``: no frame of nghttp2 on the stack borrows one.
  func release() {
    guard !closedStreams.isEmpty else { return }
    latest = nil
    // A header block may have been received in part: its rest needs its stream.
    if blockOwner?._withUnsafeGuaranteedRef({ $0.tableIndex < 0 }) == true { blockOwner = nil }
    closedStreams.removeAll(keepingCapacity: true)
  }

  /// The stream of a callback, borrowed: it exists until nghttp2 returns.
  @inline(__always)
  func withStream(_ id: Int32, _ body: (HTTP2Stream) -> Void) {
    if let latest, latest._withUnsafeGuaranteedRef({ $0.id == id }) {
      if latest._withUnsafeGuaranteedRef({ $0.tableIndex >= 0 }) {
        latest._withUnsafeGuaranteedRef(body)
      }
      return
    }
    guard let found = nghttp2_session_get_stream_user_data(pointer, id) else { return }
    let stream = Unmanaged<HTTP2Stream>.fromOpaque(found)
    latest = stream
    stream._withUnsafeGuaranteedRef(body)
  }

  /// A stream of the peer, which nghttp2 has by its number from now on.
  func adopt(_ stream: HTTP2Stream) {
    let borrowed = Unmanaged.passUnretained(stream)
    nghttp2_session_set_stream_user_data(pointer, stream.id, borrowed.toOpaque())
    latest = borrowed
    insert(stream)
  }

  /// Requests that wait for MAX_CONCURRENT_STREAMS stay in nghttp2's queue until others end, even
  /// when they were cancelled, GOAWAY was received, or ``returnUnsent()`` called: they are closed here.
  func closeUnsent() {
    guard role == .client, hasCancelledUnsent else { return }
    hasCancelledUnsent = false
    for stream in streams
    where !stream.headersSent && (goAwayReceived || returnsUnsent || stream.isCancelled) {
      nghttp2_session_set_stream_user_data(pointer, stream.id, nil)
      if !stream.isCancelled {
        _ = nghttp2_submit_rst_stream(
          pointer, UInt8(NGHTTP2_FLAG_NONE.rawValue), stream.id, HTTP2ErrorCode.cancel)
      }
      remove(stream)
      finishStream(stream, .notSent)
    }
    release()
  }

  /// Calls ``HTTP2Stream/writable()`` only outside of nghttp2's calls.
  func notifyWritable() {
    guard !writable.isEmpty else { return }
    let streams = writable
    writable = []
    for stream in streams where !stream.isClosed { stream.writable() }
  }
}
