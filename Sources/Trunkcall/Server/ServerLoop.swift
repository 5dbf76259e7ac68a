// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import Logging
internal import Synchronization
internal import TrunkHTTP2
internal import TrunkSockets

/// What all loops of a server share and none changes.
final class ServerCore: Sendable {
  let options: ServerOptions
  let http2: HTTP2Settings
  let keepalive: Keepalive.Settings?
  let life: ConnectionLife.Settings
  /// Fresh, for each connection to copy.
  let abuse: AbuseBudget
  let connections: SlotCount
  let handshakes: SlotCount
  let stop = StopSignal()
  let methods: MethodIndex
  let interceptors: [any ServerInterceptor]
  let logger: Logger
  let log: CallLog

  init(
    _ services: [any RPCService], _ interceptors: [any ServerInterceptor], _ options: ServerOptions,
    _ logger: Logger
  ) {
    methods = MethodIndex(services, interceptors) {
      options.dispatchByMethod[$0.text] ?? options.dispatch
    }
    self.options = options
    http2 = options.http2
    keepalive = options.keepalive
    life = options.life
    abuse = options.abuseBudget
    connections = SlotCount(limit: max(1, options.maxConnections))
    handshakes = SlotCount(limit: max(1, options.maxHandshakes))
    self.interceptors = interceptors
    self.logger = logger
    log = CallLog(logger)
    methods.warnOfIdle(interceptors, logger)
  }
}

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

/// A method on one loop: its runners, and the size of its responses.
final class LoopMethod {
  let served: ServedMethod
  /// The loop's own: its reference count would go back and forth between the processors of the
  /// loops that share it, twice for each call.
  let handler: MethodTable.Handler
  let isUnary: Bool
  let taskPool: HandlerTaskPool
  let replies = ReplySize()

  init(_ method: ServedMethod, on loop: EventLoop, _ stop: StopSignal, _ logger: Logger) {
    served = method
    handler = method.makeHandler()
    isUnary = if case .unary = handler { true } else { false }
    taskPool = HandlerTaskPool(on: loop, stop, watchesHogs: method.dispatch == .automatic) {
      method.moveToPool($0, at: loop.now, logger)
    }
  }
}

/// Always-on figures of one loop: written by it alone, read by anybody.
final class ServerCounters: Sendable {
  let callsStarted = Atomic<UInt64>(0)
  let callsSucceeded = Atomic<UInt64>(0)
  let callsFailed = Atomic<UInt64>(0)
  let callsCancelled = Atomic<UInt64>(0)
  let connections = Atomic<Int>(0)
  let handshakesFailed = Atomic<UInt64>(0)
  private let running = Atomic<Int>(0)
  private let waiting = Atomic<Int>(0)
  /// Rare, and from more than one thread.
  private let events = Locked<[ServerEvent: UInt64]>([:])

  var handlersRunning: Int { running.load(ordering: .relaxed) }
  var callsWaiting: Int { waiting.load(ordering: .relaxed) }
  var eventCounts: [ServerEvent: UInt64] { events.withLock { $0 } }
  func note(_ event: ServerEvent) { events.withLock { $0[event, default: 0] += 1 } }

  // One writer: a load and a store do, where an atomic addition would lock the bus.
  private func bump(_ counter: borrowing Atomic<UInt64>) {
    counter.store(counter.load(ordering: .relaxed) &+ 1, ordering: .relaxed)
  }
  func started() { bump(callsStarted) }
  func handshakeFailed() { bump(handshakesFailed) }
  func cancelled() { bump(callsCancelled) }
  func succeeded() { bump(callsSucceeded) }
  func failed() { bump(callsFailed) }
  func running(_ change: Int) {
    running.store(running.load(ordering: .relaxed) + change, ordering: .relaxed)
  }
  func waiting(_ change: Int) {
    waiting.store(waiting.load(ordering: .relaxed) + change, ordering: .relaxed)
  }
  func connected(_ count: Int) { connections.store(count, ordering: .relaxed) }
}
