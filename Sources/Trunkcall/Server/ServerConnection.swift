// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import Synchronization
internal import TrunkHTTP2
internal import TrunkSockets

#if TLS
  internal import TrunkTLS
#endif

/// One client's connection: the socket, an HTTP/2 session on it, the calls on that. Bound to its
/// loop.
///
/// ```
///   handshake --SETTINGS--> serving --drain()--> announced --PING ack--> draining --> closed
/// ```
/// In any state an exceeded budget, or a deadline of the connection, leads to `closed` at once.
final class ServerConnection {
  let server: ServerCore
  let context: ServerLoop
  let loop: EventLoop
  let peer: String
  /// Guards the metadata that handlers add to their responses.
  let responseLock = Locked(())
  let socket: SocketConnection
  #if TLS
    /// The client's identity by its certificate. Set before the first call, then constant.
    private(set) var tlsPeer: TLSPeer?
  #endif
  let session: HTTP2Session
  /// The client's SETTINGS_MAX_HEADER_LIST_SIZE in bytes: read by handlers, on any thread.
  let headerListLimit = Atomic<Int>(.max)

  private enum Phase { case handshake, serving, announced, draining, closed }
  @exclusivity(unchecked) private var phase = Phase.handshake
  @exclusivity(unchecked) private var handshakeTimer: LoopTimer?
  /// The reason in the GOAWAY that was sent.
  @exclusivity(unchecked) var goAwayText = ""
  /// Its slot among the server's connections, until it is closed.
  @exclusivity(unchecked) private var slot: Slot?
  /// Its slot among the server's handshakes, until the client's SETTINGS, in every phase.
  @exclusivity(unchecked) private var handshake: Slot?
  /// Set if the client's first bytes are those of another protocol than HTTP/2; for the log.
  @exclusivity(unchecked) private var foreign: ForeignProtocol?
  /// Something was received before the end of the handshake.
  @exclusivity(unchecked) private var hasSpoken = false

  /// For the loop's ``CallScheduler``.
  @exclusivity(unchecked) var calls = ConnectionCalls()

  // See ServerConnection+Watch.swift
  @exclusivity(unchecked) var keepalive: Keepalive?
  @exclusivity(unchecked) var keepaliveTimer: LoopTimer?
  @exclusivity(unchecked) var life: ConnectionLife?
  @exclusivity(unchecked) var lifeTimer: LoopTimer?
  @exclusivity(unchecked) var idleSince: UInt64 = 0
  @exclusivity(unchecked) var headerTimer: LoopTimer?
  @exclusivity(unchecked) var sendTimer: LoopTimer?
  @exclusivity(unchecked) var isTerminated = false

  /// `:authority` and `user-agent` of the last call.
  @exclusivity(unchecked) var names = RepeatedNames()

  /// The payload of the PING after the first GOAWAY of a graceful stop.
  private static let drainPing: UInt64 = 0x6472_6169_6e21
  /// For a client that does not answer PINGs.
  private static let drainPingTimeout: Duration = .seconds(1)

  init(
    _ socket: SocketConnection, _ context: ServerLoop, _ slot: consuming Slot,
    _ handshake: consuming Slot
  ) {
    self.slot = consume slot
    self.handshake = consume handshake
    self.socket = socket
    self.context = context
    server = context.server
    loop = context.loop
    peer = socket.peer.map { "\($0.destination)" } ?? "unknown"
    session = HTTP2Session(
      .server, settings: server.http2, abuse: server.abuse, pages: PagePool.sessions)
    session.delegate = self
  }

  func open() {
    let timer = LoopTimer(on: loop) { [self] in
      context.counters.note(.handshakeTimeout)
      socket.fail(SocketError.timedOut("HTTP/2 handshake"))
    }
    timer.schedule(after: server.options.handshakeTimeout)
    handshakeTimer = timer
    do throws(SocketError) { socket.start(self, filter: try context.filter?()) } catch {
      socket.close()
      return closed(error)
    }
    // The start may have failed.
    if !isClosed { beginWatch() }
  }

  var isClosed: Bool { phase == .closed }

  /// Bytes that the client has not read: of messages held by its windows, and of its socket.
  var unsentBytes: Int { session.queuedBytes + socket.unsentCount }

  /// A call's stream is closed.
  func streamClosed() {
    if session.openStreams == 0 { idleSince = loop.now }
    if phase == .draining { closeIfIdle() }
  }

  // MARK: Graceful stop

  /// Sends GOAWAY in two steps, so that calls already on their way are not refused (RFC 9113 §6.8).
  func drain(_ debugText: String = "") {
    guard phase == .handshake || phase == .serving, !isTerminated else { return }
    phase = .announced
    goAwayText = debugText
    session.announceShutdown()
    session.ping(ServerConnection.drainPing)
    let timer = LoopTimer(on: loop) { self.refuseNewStreams() }
    timer.schedule(after: ServerConnection.drainPingTimeout)
    handshakeTimer?.cancel()
    handshakeTimer = timer
  }

  private func refuseNewStreams() {
    guard phase == .announced else { return }
    phase = .draining
    session.goAway(HTTP2ErrorCode.noError, goAwayText)
    closeIfIdle()
  }

  private func closeIfIdle() {
    guard session.openStreams == 0 else { return }
    socket.close(afterFlush: true)
  }

  /// Ends the calls that are left with `error`, cancels their handlers, and gives the client
  /// ``finalFlushTimeout`` to read the status.
  func endCalls(_ error: RPCError) {
    guard !isClosed, !isTerminated else { return }
    guard handshake == nil else { return closeNow() }
    if phase == .serving { drain() }
    refuseNewStreams()
    for case let call as ServerStream in session.allStreams { call.fail(error) }
    guard !isClosed else { return }
    let timer = LoopTimer(on: loop) { self.closeNow() }
    timer.schedule(after: ServerConnection.finalFlushTimeout)
    handshakeTimer?.cancel()
    handshakeTimer = timer
  }

  func closeNow() { socket.close() }
}

extension ServerConnection: ConnectionDriver {
  func received(_ bytes: UnsafeRawBufferPointer) {
    session.receive(bytes, now: loop.now)
    if handshake != nil {
      hasSpoken = true
      if session.isTerminated || session.offence != nil { foreign = ForeignProtocol(bytes) }
    }
    if session.offence != nil { punish() }
    if context.scheduler.hasDue { context.scheduler.run() }
    if let block = session.openHeaderBlock { watchHeaderBlock(block) }
    if socket.unsentCount > 0 { pauseReadingIfFull() }
    finishIfDone()
  }

  func fill(_ output: inout OutputBuffer) {
    writeFrames(to: &output)
    if session.offence != nil, !isTerminated {
      punish()
      writeFrames(to: &output)
    }
    if socket.readsPaused { pauseReadingIfFull() }
    if !calls.waiting.isEmpty { context.scheduler.startWaiting(self) }
    finishIfDone()
  }

  private func writeFrames(to output: inout OutputBuffer) {
    session.drain(now: loop.now) { frame in
      output.append(frame)
      return !output.isFull
    }
  }

  private func finishIfDone() {
    guard session.isFinished else { return }
    if session.connectionError != nil, !isTerminated {
      isTerminated = true
      context.counters.note(.connectionError)
    }
    socket.close(afterFlush: true)
  }

  func closed(_ error: SocketError?) {
    if handshake != nil {
      if let foreign, context.filter == nil {
        context.handshakeFailed(peer, SocketError("handshake", errno: 0, detail: foreign.ofClient))
      } else if let error {
        context.handshakeFailed(
          peer, error, isSilent: !hasSpoken && context.filter == nil && error.errno != 0)
      }
    }
    phase = .closed
    if server.log.logsEnds {
      server.log.connectionEnded(
        peer: peer, error.map { "\($0)" } ?? (goAwayText.isEmpty ? "closed" : goAwayText))
    }
    handshake = nil
    slot = nil
    handshakeTimer?.cancel()
    handshakeTimer = nil
    endWatch()
    session.close()
    context.remove(self)
  }
}

extension ServerConnection: HTTP2SessionDelegate {
  func streamArrives(_ id: Int32, _ session: HTTP2Session) -> HTTP2Stream {
    ServerStream(self, session, id: id)
  }

  func settingsReceived() {
    headerListLimit.store(session.peerHeaderListLimit, ordering: .relaxed)
    guard handshake != nil else { return }
    handshake = nil
    #if TLS
      tlsPeer = (socket.filter as? TLSEngine)?.peer
    #endif
    // A stop may have begun before, which has its own timer.
    guard phase == .handshake else { return }
    phase = .serving
    handshakeTimer?.cancel()
    let timer = LoopTimer(on: loop) { [self] in
      context.counters.note(.settingsTimeout)
      kill(HTTP2ErrorCode.settingsTimeout, "settings_timeout")
    }
    timer.schedule(after: server.options.settingsTimeout)
    handshakeTimer = timer
  }

  /// RFC 9113 §6.5.3
  func settingsAcknowledged() {
    guard phase == .serving else { return }
    handshakeTimer?.cancel()
    handshakeTimer = nil
  }

  func pingAcknowledged(_ payload: UInt64) {
    if payload == ServerConnection.drainPing { refuseNewStreams() }
  }

  func goAwayReceived(_ lastStreamID: Int32, _ code: UInt32, _ debugText: String) {}
  func needsFlush() { socket.setNeedsFlush() }
}
