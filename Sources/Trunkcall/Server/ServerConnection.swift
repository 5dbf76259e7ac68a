// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import DequeModule
internal import TrunkHTTP2
internal import TrunkSockets

#if TLS
  internal import TrunkTLS
#endif

/// One client's connection: socket below, HTTP/2 session in the middle, calls above. Never leaves
/// its loop.
///
/// ```
///   handshake --SETTINGS--> serving --drain()--> announced --PING ack--> draining --> closed
/// ```
final class ServerConnection {
  let server: ServerCore
  let context: ServerLoop
  let loop: EventLoop
  let peer: String
  /// Guards the metadata that handlers add to their responses.
  let responseLock = Locked(())
  private let socket: SocketConnection
  #if TLS
    /// Who the client is, by its certificate. Set before the first call, and never again.
    private(set) var tlsPeer: TLSPeer?
  #endif
  private(set) lazy var session = HTTP2Session(.server, settings: server.http2, delegate: self)

  private enum Phase { case handshake, serving, announced, draining, closed }
  private var phase = Phase.handshake
  private var handshakeTimer: LoopTimer?
  private var starting: [ServerStream] = []
  private var handlers = 0
  private var userAgent: (bytes: [UInt8], text: String) = ([], "")
  private var authority: (bytes: [UInt8], text: String) = ([], "")

  /// Comes back when the client has seen the announcement of the stop.
  private static let drainPing: UInt64 = 0x6472_6169_6e21
  /// For a client that does not answer PINGs.
  private static let drainPingTimeout: Duration = .seconds(1)

  init(_ socket: SocketConnection, _ context: ServerLoop) {
    self.socket = socket
    self.context = context
    server = context.server
    loop = context.loop
    peer = socket.peer.map { "\($0.destination)" } ?? "unknown"
  }

  func open() {
    let timer = LoopTimer(on: loop) { [weak self] in
      self?.socket.fail(SocketError.timedOut("HTTP/2 handshake"))
    }
    timer.schedule(after: server.options.handshakeTimeout)
    handshakeTimer = timer
    _ = session
    do throws(SocketError) { socket.start(self, filter: try context.filter?()) } catch {
      socket.close()
      closed(error)
    }
  }

  // MARK: Handlers

  func takeHandlerSlot() -> Bool {
    guard handlers < server.options.handlerLimit else { return false }
    handlers += 1
    return true
  }

  /// After the end nobody counts any more; what then calls this may run off the loop, which may
  /// have ended as well.
  func releaseHandlerSlot() { if phase != .closed { handlers -= 1 } }

  /// Handlers start after nghttp2 has returned, so that none runs inside its callbacks.
  func startAfterReceiving(_ stream: ServerStream) { starting.append(stream) }

  func streamClosed() {
    if phase == .draining { closeIfIdle() }
  }

  // MARK: Graceful stop

  /// "No new calls, please": two steps, so that calls on their way here are not lost
  /// (RFC 9113 §6.8).
  func drain() {
    guard phase == .handshake || phase == .serving else { return }
    phase = .announced
    session.announceShutdown()
    session.ping(ServerConnection.drainPing)
    let timer = LoopTimer(on: loop) { [weak self] in self?.refuseNewStreams() }
    timer.schedule(after: ServerConnection.drainPingTimeout)
    handshakeTimer?.cancel()
    handshakeTimer = timer
  }

  private func refuseNewStreams() {
    guard phase == .announced else { return }
    phase = .draining
    session.goAway()
    closeIfIdle()
  }

  private func closeIfIdle() {
    guard session.openStreams == 0 else { return }
    socket.close(afterFlush: true)
  }

  /// The drain's time is over.
  func closeNow() { socket.close() }

  // MARK: Names that repeat on every call of a connection

  func cachedUserAgent(_ value: UnsafeRawBufferPointer) -> String {
    ServerConnection.cached(value, &userAgent)
  }
  func cachedAuthority(_ value: UnsafeRawBufferPointer) -> String {
    ServerConnection.cached(value, &authority)
  }

  private static func cached(
    _ value: UnsafeRawBufferPointer, _ last: inout (bytes: [UInt8], text: String)
  ) -> String {
    let same =
      value.count == last.bytes.count
      && last.bytes.withUnsafeBytes { value.elementsEqual($0) }
    if !same { last = (Array(value), String(decoding: value, as: UTF8.self)) }
    return last.text
  }
}

extension ServerConnection: ConnectionDriver {
  func received(_ bytes: UnsafeRawBufferPointer) {
    session.receive(bytes)
    if !starting.isEmpty {
      // A handler may end here and now and bring the next: take them one by one.
      var index = 0
      while index < starting.count {
        starting[index].startHandler()
        index += 1
      }
      starting.removeAll(keepingCapacity: true)
    }
    if session.isFinished { socket.close(afterFlush: true) }
  }

  func fill(_ output: inout OutputBuffer) {
    session.drain { frame in
      output.append(frame)
      return !output.isFull
    }
    if session.isFinished { socket.close(afterFlush: true) }
  }

  func closed(_ error: SocketError?) {
    if phase == .handshake, let error { context.handshakeFailed(peer, error) }
    phase = .closed
    handshakeTimer?.cancel()
    handshakeTimer = nil
    session.close()
    context.remove(self)
  }
}

extension ServerConnection: HTTP2SessionDelegate {
  func streamOpened(_ stream: HTTP2Stream) { stream.handler = ServerStream(stream, self) }

  func settingsReceived() {
    guard phase == .handshake else { return }
    phase = .serving
    handshakeTimer?.cancel()
    handshakeTimer = nil
    #if TLS
      tlsPeer = (socket.filter as? TLSEngine)?.peer
    #endif
  }

  func pingAcknowledged(_ payload: UInt64) {
    if payload == ServerConnection.drainPing { refuseNewStreams() }
  }

  func goAwayReceived(_ lastStreamID: Int32, _ code: UInt32, _ debugText: String) {}
  func needsFlush() { socket.setNeedsFlush() }
}
