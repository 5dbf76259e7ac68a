// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import Logging
internal import TrunkHTTP2
internal import TrunkSockets

/// A server's part on one loop: its connections, its methods' executors, its counters.
///
/// `@unchecked Sendable`: what is `var` is touched on the loop only; the rest is constant or
/// atomic.
final class ServerLoop: @unchecked Sendable {
  /// Makes what stands between a connection and its socket: TLS.
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
  @exclusivity(unchecked) var lastWait: UInt32 = 0
  /// Connections that have gone since memory was last given back.
  private var closedCount = 0
  /// So many are worth it.
  private static let trimThreshold = 1_000
  private var drained: (@Sendable () -> Void)?

  init(_ server: ServerCore, _ loop: EventLoop, of loops: Int = 1, _ filter: Filter? = nil) {
    self.server = server
    self.loop = loop
    self.filter = filter
    scheduler = CallScheduler(server.options, counters, loops: loops)
    methods = server.methods.methods.map { LoopMethod($0, on: loop, server.stop, server.logger) }
  }

  /// In the place of a method that the server does not have, for the interceptors that apply to it;
  /// nil without any, and for a path that was cut: they would take it for another one.
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

  /// The method of a `:path`.
  func method(_ path: UnsafeRawBufferPointer) -> LoopMethod? {
    let index = server.methods.find(path)
    return index < 0 ? nil : methods[index]
  }

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

  /// A number for a wait of a task on this loop: even, see ``WaitTicket``.
  func nextWait() -> UInt32 {
    lastWait &+= 2
    return lastWait
  }

  /// A connection ended before the client's SETTINGS. Logged once a second at most: whoever tries
  /// them all at the door should not fill the disk.
  func handshakeFailed(_ peer: String, _ error: SocketError) {
    counters.handshakeFailed()
    guard lastHandshakeLog.map({ loop.now &- $0 >= 1_000_000_000 }) ?? true else { return }
    lastHandshakeLog = loop.now
    server.logger.notice(
      "handshake failed", metadata: ["peer": "\(peer)", "reason": "\(error)"])
  }

  func remove(_ connection: ServerConnection) {
    guard connections.removeValue(forKey: ObjectIdentifier(connection)) != nil else { return }
    closedCount += 1
    if closedCount >= ServerLoop.trimThreshold, connections.count < closedCount / 4 {
      closedCount = 0
      FreeMemory.trimSoon()
    }
    reportIfDrained()
  }

  /// Lets the calls under way finish; `done` is called once, when no connection is left.
  func drain(_ done: @escaping @Sendable () -> Void) {
    loop.run { [self] in
      isDraining = true
      drained = done
      for connection in connections.values { connection.drain() }
      reportIfDrained()
    }
  }

  /// The drain's time is over: calls that are left get a status, and their clients a moment to read
  /// it.
  func endCalls(_ error: RPCError) {
    loop.run { [self] in
      isDraining = true
      for connection in connections.values { connection.endCalls(error) }
    }
  }

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
