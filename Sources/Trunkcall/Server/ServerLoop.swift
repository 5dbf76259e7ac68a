// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import Logging
internal import TrunkHTTP2
internal import TrunkSockets

/// A server on one event loop: its connections there, its methods' task pools, the scheduler of its
/// calls, its counters.
///
/// `@unchecked Sendable`: each `var` is accessed on the loop only; the rest is constant or atomic.
final class ServerLoop: @unchecked Sendable {
  /// Makes the byte filter of a new connection (TLS).
  typealias Filter = @Sendable () throws(SocketError) -> any ByteFilter

  let server: ServerCore
  let loop: EventLoop
  /// nil for plaintext.
  let filter: Filter?
  /// By `ServedMethod.index`.
  private let methods: [LoopMethod]
  let counters = ServerCounters()
  let scheduler: CallScheduler
  private var connections: [ObjectIdentifier: ServerConnection] = [:] {
    didSet { counters.connected(connections.count) }
  }
  private var isDraining = false
  private var lastHandshakeLog: UInt64?
  /// See ``nextWait()``.
  @exclusivity(unchecked) var lastWait: UInt32 = 0
  /// Connections closed since freed memory was last returned to the system.
  private var closedCount = 0
  /// Closed connections after which it is returned, if few are open.
  private static let trimThreshold = 1_000
  /// Called when a drain has ended.
  private var drained: (@Sendable () -> Void)?

  init(_ server: ServerCore, _ loop: EventLoop, of loops: Int = 1, _ filter: Filter? = nil) {
    self.server = server
    self.loop = loop
    self.filter = filter
    scheduler = CallScheduler(server.options, counters, loops: loops)
    methods = server.methods.methods.map { LoopMethod($0, on: loop, server.stop, server.logger) }
  }

  // MARK: Methods

  /// The method of a call to a path that is not served: the interceptors that apply to the path run,
  /// then the call ends with `status`. nil if none applies, and for a path that was cut at
  /// ``ServerStream/maxPathSize``, which interceptors would take for another one.
  func unknownMethod(_ path: String, _ status: RPCError) -> LoopMethod? {
    guard !server.interceptors.isEmpty, path.utf8.count < ServerStream.maxPathSize else {
      return nil
    }
    let name = MethodName(path)
    let interceptors = server.interceptors.applying(to: name)
    guard !interceptors.isEmpty else { return nil }
    let method = ServedMethod(
      name, { MethodTable.unknown(status) }, index: -1, dispatch: .concurrent,
      interceptors: interceptors)
    return LoopMethod(method, on: loop, server.stop, server.logger)
  }

  /// The method of a `:path`; nil if it is not served.
  func method(_ path: UnsafeRawBufferPointer) -> LoopMethod? {
    let index = server.methods.find(path)
    return index < 0 ? nil : methods[index]
  }

  // MARK: Connections

  /// Opens a connection on an accepted socket, from any thread; a server that drains closes it.
  func adopt(_ socket: AcceptedSocket, _ place: ConnectionPlace) {
    loop.run { [self] in
      guard !isDraining, let connection = place.connection.take(),
        let handshake = place.handshake.take()
      else { return socket.close() }
      let new = ServerConnection(socket.adopt(on: loop), self, connection, handshake)
      connections[ObjectIdentifier(new)] = new
      new.open()
    }
  }

  /// A number for one wait of a task on this loop: even, see ``WaitTicket``.
  func nextWait() -> UInt32 {
    lastWait &+= 2
    return lastWait
  }

  /// A connection ended before the client's SETTINGS. Logged once a second at most, so that clients
  /// which fail again and again do not fill the log.
  /// - Parameter isSilent: nothing was received, as from a TCP health check: at debug level.
  func handshakeFailed(_ peer: String, _ error: SocketError, isSilent: Bool = false) {
    counters.handshakeFailed()
    if isSilent {
      return server.logger.debug(
        "a connection ended without a byte", metadata: ["peer": "\(peer)", "reason": "\(error)"])
    }
    guard lastHandshakeLog.map({ loop.now &- $0 >= 1_000_000_000 }) ?? true else { return }
    lastHandshakeLog = loop.now
    server.logger.notice(
      "handshake failed", metadata: ["peer": "\(peer)", "reason": "\(error)"])
  }

  /// The connection is closed.
  func remove(_ connection: ServerConnection) {
    guard connections.removeValue(forKey: ObjectIdentifier(connection)) != nil else { return }
    closedCount += 1
    if closedCount >= ServerLoop.trimThreshold, connections.count < closedCount / 4 {
      closedCount = 0
      FreeMemory.trimSoon()
    }
    reportIfDrained()
  }

  // MARK: Stop

  /// Lets the calls under way finish; `done` is called once, when no connection is left.
  func drain(_ done: @escaping @Sendable () -> Void) {
    loop.run { [self] in
      isDraining = true
      drained = done
      for connection in connections.values { connection.drain() }
      reportIfDrained()
    }
  }

  /// The drain's time is over: the calls that are left end with `error`, see
  /// ``ServerConnection/endCalls(_:)``.
  func endCalls(_ error: RPCError) {
    loop.run { [self] in
      isDraining = true
      for connection in connections.values { connection.endCalls(error) }
    }
  }

  /// Closes every connection without GOAWAY; handlers are cancelled.
  func closeAll() {
    loop.run { [self] in
      isDraining = true
      for connection in connections.values { connection.closeNow() }
    }
  }

  private func reportIfDrained() {
    guard isDraining, connections.isEmpty, let done = drained else { return }
    drained = nil
    done()
  }
}
