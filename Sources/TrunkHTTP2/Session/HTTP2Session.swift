// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import CNGHTTP2

/// One HTTP/2 connection without a socket: bytes in, events out, bytes out (nghttp2).
///
/// ```
///   receive(bytes) --> stream and session events          drain { bytes } <-- submitted frames
///   open -> (GOAWAY sent or received) draining -> finished (neither reads nor writes)
/// ```
/// Bound to its loop. A fault is the peer's, a connection error that nghttp2 answers with GOAWAY,
/// or the end of one stream; nothing traps on what a peer sends.
package final class HTTP2Session {
  package enum Role: Sendable { case client, server }

  package let role: Role
  package let settings: HTTP2Settings
  /// Outlives the session, which it owns. Not weak: that would make every retain of it slow.
  @exclusivity(unchecked) package unowned var delegate: (any HTTP2SessionDelegate)?
  /// The next header block to send.
  @exclusivity(unchecked) package var headers = HeaderList()
  /// The same for callers of other modules, where `unchecked` has no effect.
  package func withHeaders(_ body: (inout HeaderList) -> Void) { body(&headers) }

  // As ``withHeaders(_:)``.
  package var goAwayReceived: Bool { hasReceivedGoAway }
  package var unsentStreams: Int { unsentCount }
  package var peerHeaderListLimit: Int { headerListLimit }

  /// Of the block in ``headers``.
  package var headerListSize: Int { headers.size }

  /// A server's SETTINGS frame as sent: see ``firstFrame()``.
  @exclusivity(unchecked) private var settingsFrame: [UInt8]?
  /// Servers: the peer has acknowledged its limit of streams.
  @exclusivity(unchecked) var limitIsKnown = false

  let pointer: OpaquePointer
  private let arena: SessionArena?
  /// All streams that are not closed; a stream has its index (``HTTP2Stream/tableIndex``).
  @exclusivity(unchecked) var streams: [HTTP2Stream] = []
  /// Streams whose ``HTTP2Stream/writable()`` is due.
  @exclusivity(unchecked) var writable: [HTTP2Stream] = []
  /// Bytes of all streams that were received and not consumed.
  @exclusivity(unchecked) var buffered = 0
  /// Received bytes not yet added to the connection's window, as ``buffered`` is over its limit.
  @exclusivity(unchecked) var heldBack = 0
  @exclusivity(unchecked) private(set) var isReceiving = false
  @exclusivity(unchecked) var isDraining = false
  /// The DATA frame that `drain` is to send itself.
  @exclusivity(unchecked) var planned: PlannedData?
  /// It was sent, and nghttp2 has to count it.
  @exclusivity(unchecked) var plannedIsOut = false
  /// `drain` is requested already, or is running.
  @exclusivity(unchecked) private var flushIsDue = false
  /// The stream of nghttp2's last callback, in most cases the next one's as well.
  @exclusivity(unchecked) var latest: Unmanaged<HTTP2Stream>?
  /// The stream whose header block is being received; that may take several reads, with frames sent
  /// between them.
  @exclusivity(unchecked) var blockOwner: Unmanaged<HTTP2Stream>?
  /// Streams that were closed while nghttp2 was running: callbacks borrow theirs, so none may be
  /// released before it has returned.
  @exclusivity(unchecked) var closedStreams: [HTTP2Stream] = []
  /// nghttp2 gets no more bytes: a connection error, or the end (CVE-2026-27135).
  @exclusivity(unchecked) package internal(set) var isTerminated = false
  /// The connection is closed: nghttp2's pointers to streams are stale.
  @exclusivity(unchecked) var isClosed = false
  /// Clients: there may be streams to close that nghttp2 still has in its queue.
  @exclusivity(unchecked) var hasCancelledUnsent = false
  /// See ``returnUnsent()``.
  @exclusivity(unchecked) var returnsUnsent = false
  @exclusivity(unchecked) package internal(set) var goAwaySent = false
  @exclusivity(unchecked) var hasReceivedGoAway = false
  @exclusivity(unchecked) package internal(set) var peerSettingsSeen = false
  /// The code of a GOAWAY that nghttp2 sent for an error of the peer.
  @exclusivity(unchecked) package internal(set) var connectionError: UInt32?
  /// Bytes that streams have queued and nghttp2 has not taken.
  package var queuedBytes: Int { queued }
  @exclusivity(unchecked) var queued = 0
  /// Streams whose HEADERS were not sent (clients: above the peer's MAX_CONCURRENT_STREAMS).
  @exclusivity(unchecked) var unsentCount = 0
  /// The peer violated HTTP/2: nghttp2's reason for ending the connection.
  @exclusivity(unchecked) package internal(set) var violation: String?

  /// The peer's SETTINGS_MAX_HEADER_LIST_SIZE, counted as ``HeaderList/size``; `.max` before its
  /// SETTINGS.
  @exclusivity(unchecked) var headerListLimit = Int.max
  /// Why this side reset streams, until they are closed.
  @exclusivity(unchecked) var refusals: [Int32: String] = [:]
  /// nghttp2's text about what it is about to refuse.
  @exclusivity(unchecked) var lastLibraryError = ""

  // Limits of the peer (servers)
  @exclusivity(unchecked) var abuse: AbuseBudget?
  @exclusivity(unchecked) var now: UInt64 = 0
  @exclusivity(unchecked) var dataFramesSent = 0
  @exclusivity(unchecked) var hasSentSincePing = false
  enum Termination { case no, goAwayPending, over }
  @exclusivity(unchecked) var termination = Termination.no

  /// - Parameters:
  ///   - abuse: the peer's budgets; nil: no limits.
  ///   - pages: memory for nghttp2's session; nil: malloc's.
  package init(
    _ role: Role, settings: HTTP2Settings, delegate: (any HTTP2SessionDelegate)? = nil,
    abuse: AbuseBudget? = nil, pages: (any SessionPages)? = nil
  ) {
    self.role = role
    self.settings = settings
    self.delegate = delegate
    self.abuse = abuse
    arena = SessionArena(pages)
    pointer = NGHTTP2.makeSession(role, in: arena)
    NGHTTP2.setUserData(pointer, self)
    submitSettings()
    if role == .server { settingsFrame = firstFrame() }
  }

  deinit {
    // Streams that still exist must not access their session.
    for stream in streams { stream.isClosed = true }
    nghttp2_session_del(pointer)
    arena?.close()
  }

  // MARK: Bytes

  /// Takes received bytes. After a connection error or an ``offence`` further bytes are dropped;
  /// drain, then close.
  /// - Parameter now: nanoseconds, for the budgets.
  package func receive(_ bytes: UnsafeRawBufferPointer, now: UInt64 = 0) {
    // After the last GOAWAY nghttp2 reads nothing more.
    guard !isTerminated, nghttp2_session_want_read(pointer) != 0 else { return }
    self.now = now
    if abuse != nil {
      abuse?.dataSent(dataFramesSent)
      dataFramesSent = 0
      abuse?.received(bytes, now: now)
      if offence != nil { return }
      if let violation = abuse?.violation { return refuse(violation) }
    }
    isReceiving = true
    let used = nghttp2_session_mem_recv(
      pointer, bytes.baseAddress?.assumingMemoryBound(to: UInt8.self), bytes.count)
    isReceiving = false
    release()
    // An offence has its own GOAWAY.
    if used < 0, offence == nil { fail(Int32(truncatingIfNeeded: used)) }
    closeUnsent()
    notifyWritable()
    if nghttp2_session_want_write(pointer) != 0 { setNeedsFlush() }
  }

  /// Passes serialised frames to `sink`, one by one and those with large payloads in pieces, until
  /// there are none or `sink` returns false; the frame under way is completed then.
  package func drain(now: UInt64 = 0, _ sink: (UnsafeRawBufferPointer) -> Bool) {
    self.now = now
    flushIsDue = true
    isDraining = true
    var more = !isClosed
    if let settingsFrame, more {
      self.settingsFrame = nil
      more = settingsFrame.withUnsafeBytes(sink)
    }
    while more || plannedIsOut, termination != .over {
      var data: UnsafePointer<UInt8>?
      let count = nghttp2_session_mem_send(pointer, &data)
      guard count > 0, let data else {
        if count < 0 { isTerminated = true }
        guard let next = takePlanned(), more else { break }
        more = send(next, sink)
        continue
      }
      more = sink(UnsafeRawBufferPointer(start: data, count: count))
      // The type of a frame is its fourth byte: after GOAWAY nothing else is sent.
      if termination == .goAwayPending, count >= 9, data[3] == UInt8(NGHTTP2_GOAWAY.rawValue) {
        termination = .over
      }
    }
    plannedIsOut = false
    flushIsDue = false
    isDraining = false
    release()
    closeUnsent()
    notifyWritable()
  }

  package func setNeedsFlush() {
    guard !flushIsDue else { return }
    flushIsDue = true
    delegate?.needsFlush()
  }

  /// Nothing will be read or written any more: close the socket.
  package var isFinished: Bool {
    switch termination {
    case .no:
      (nghttp2_session_want_read(pointer) == 0 || isTerminated)
        && nghttp2_session_want_write(pointer) == 0
    case .goAwayPending: nghttp2_session_want_write(pointer) == 0
    case .over: true
    }
  }

  /// Frames that wait to be sent, DATA excepted.
  package var outboundFrames: Int { nghttp2_session_get_outbound_queue_size(pointer) }

  /// Streams that the peer's MAX_CONCURRENT_STREAMS holds up (clients): more than can go out at
  /// once.
  /// - Parameter new: streams that would be opened besides.
  package func waitingStreams(with new: Int = 0) -> Int {
    let open = streams.count - unsentStreams
    return max(0, unsentStreams + new - max(0, peerStreamLimit - open))
  }

  /// The peer's SETTINGS_MAX_CONCURRENT_STREAMS.
  package var peerStreamLimit: Int {
    Int(nghttp2_session_get_remote_settings(pointer, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS))
  }

  // MARK: Streams

  package var openStreams: Int { streams.count }

  /// A copy of the table, for callers that close or change every stream.
  package var allStreams: [HTTP2Stream] { streams }

  /// Opens a stream with the block in ``headers`` (clients). Streams above the peer's
  /// MAX_CONCURRENT_STREAMS wait inside nghttp2.
  /// - Returns: false if no stream can be opened on this connection any more; the stream then
  ///   cannot be used, and gets no event.
  package func open(_ stream: HTTP2Stream) -> Bool {
    guard !isTerminated, !goAwayReceived, !goAwaySent else { return false }
    let id = headers.withFields { NGHTTP2.submitRequest(pointer, $0, $1, stream) }
    headers.removeAll()
    guard id > 0 else { return false }
    stream.id = id
    insert(stream)
    setNeedsFlush()
    return true
  }

  /// Sends the block in ``headers`` (servers); body and end follow from the stream's queue.
  package func respond(_ stream: HTTP2Stream) {
    headers.withFields { NGHTTP2.submitResponse(pointer, $0, $1, stream, hasBody: true) }
    headers.removeAll()
    setNeedsFlush()
  }

  /// Sends the block in ``headers`` with END_STREAM: Trailers-Only, or an HTTP error.
  package func respondAndEnd(_ stream: HTTP2Stream) {
    headers.withFields { NGHTTP2.submitResponse(pointer, $0, $1, stream, hasBody: false) }
    headers.removeAll()
    setNeedsFlush()
  }

  /// The block in ``headers`` as trailers.
  func submitTrailers(_ id: Int32) {
    _ = headers.withFields { nghttp2_submit_trailer(pointer, id, $0, $1) }
    headers.removeAll()
  }

  /// Closes the streams whose headers have not gone out, as not sent (clients): those that wait for the
  /// peer's MAX_CONCURRENT_STREAMS. The others go on.
  package func returnUnsent() {
    guard unsentStreams > 0 else { return }
    returnsUnsent = true
    hasCancelledUnsent = true
    // Else at the end of what runs.
    if !isReceiving, !isDraining { closeUnsent() }
    setNeedsFlush()
  }

  // MARK: Connection

  /// - Parameter payload: returned in `pingAcknowledged`.
  package func ping(_ payload: UInt64) {
    withUnsafeBytes(of: payload) {
      _ = nghttp2_submit_ping(
        pointer, UInt8(NGHTTP2_FLAG_NONE.rawValue),
        $0.baseAddress?.assumingMemoryBound(to: UInt8.self))
    }
    setNeedsFlush()
  }

  /// First step of a graceful stop: GOAWAY with the highest stream number, so that streams under
  /// way from the client are accepted (RFC 9113 §6.8).
  package func announceShutdown() {
    guard !goAwaySent, !isTerminated else { return }
    _ = nghttp2_submit_shutdown_notice(pointer)
    setNeedsFlush()
  }

  /// Second step, or the only one of a client: GOAWAY with the last accepted stream. Open streams
  /// continue.
  package func goAway(_ code: UInt32 = HTTP2ErrorCode.noError, _ debugText: String = "") {
    guard !goAwaySent, !isTerminated else { return }
    goAwaySent = true
    submitGoAway(code, debugText)
  }

  func submitGoAway(_ code: UInt32, _ debugText: String) {
    let last = nghttp2_session_get_last_proc_stream_id(pointer)
    let text = Array(debugText.utf8)
    _ = nghttp2_submit_goaway(
      pointer, UInt8(NGHTTP2_FLAG_NONE.rawValue), last, code, text, text.count)
    setNeedsFlush()
  }

  /// The connection is closed: every stream left is closed with `reason`.
  package func close(_ reason: StreamCloseReason = .connectionLost) {
    isTerminated = true
    isClosed = true
    while let stream = streams.last {
      remove(stream)
      // nghttp2 may be running `receive`, and come to the stream again.
      nghttp2_session_set_stream_user_data(pointer, stream.id, nil)
      finishStream(stream, stream.headersSent || role == .server ? reason : .notSent)
    }
    writable = []
    if !isReceiving, !isDraining { release() }
  }

  // MARK: Inside the module

  private func fail(_ code: Int32) {
    guard !isTerminated else { return }
    _ = nghttp2_session_terminate_session(pointer, NGHTTP2.errorCode(code))
    isTerminated = true
    setNeedsFlush()
  }

  /// nghttp2 refuses streams above the limit from the moment it is set, although the peer cannot
  /// know it before it has read the SETTINGS (RFC 9113 §6.5.3: it is in force with the
  /// acknowledgement). So nghttp2 gets the higher bound for a peer that has not acknowledged, the
  /// peer gets the limit, and ``HTTP2Session/onBeginHeaders(_:)`` enforces that.
  private func firstFrame() -> [UInt8]? {
    var data: UnsafePointer<UInt8>?
    let count = nghttp2_session_mem_send(pointer, &data)
    guard count >= 9, let data, data[3] == UInt8(NGHTTP2_SETTINGS.rawValue) else { return nil }
    var frame = Array(UnsafeBufferPointer(start: data, count: count))
    // After the frame header (9 bytes): entries of an id (2 bytes) and a value (4).
    for entry in stride(from: 9, through: frame.count - 6, by: 6)
    where frame[entry] == 0
      && frame[entry + 1] == UInt8(NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS.rawValue)
    {
      let limit = settings.maxConcurrentStreams
      for byte in 0..<4 {
        frame[entry + 2 + byte] = UInt8(truncatingIfNeeded: limit >> (24 - 8 * byte))
      }
    }
    return frame
  }

  private func submitSettings() {
    var entries = [
      nghttp2_settings_entry(
        settings_id: Int32(NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE.rawValue),
        value: UInt32(settings.initialWindowSize)),
      nghttp2_settings_entry(
        settings_id: Int32(NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE.rawValue),
        value: UInt32(clamping: settings.maxHeaderListSize)),
    ]
    switch role {
    case .server:
      entries.append(
        nghttp2_settings_entry(
          settings_id: Int32(NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS.rawValue),
          value: max(settings.maxConcurrentStreams, HTTP2Settings.streamsBeforeSettings)))
      // RFC 9218 §2.1: no priority tree, hence no priority churn (CVE-2019-9513).
      entries.append(
        nghttp2_settings_entry(
          settings_id: Int32(NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES.rawValue), value: 1))
    case .client:
      entries.append(
        nghttp2_settings_entry(
          settings_id: Int32(NGHTTP2_SETTINGS_ENABLE_PUSH.rawValue), value: 0))
    }
    _ = nghttp2_submit_settings(pointer, UInt8(NGHTTP2_FLAG_NONE.rawValue), entries, entries.count)
    _ = nghttp2_session_set_local_window_size(
      pointer, UInt8(NGHTTP2_FLAG_NONE.rawValue), 0, settings.connectionWindowSize)
  }
}
