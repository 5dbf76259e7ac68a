// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
public import Logging
internal import Synchronization
package import TrunkSockets

/// A gRPC server.
///
/// ```
///   idle --run()--> listening --shutDown()--> draining --calls done, or the drain's time-->
///   stopped
/// ```
/// A graceful stop: health reports NOT_SERVING, the ports close, clients get GOAWAY in two steps
/// (RFC 9113 §6.8), handlers see ``ServerCall/isShuttingDown``. Calls under way go on for at most
/// ``ServerOptions/drain``; those left then end with UNAVAILABLE, and their handlers are cancelled.
public final class GRPCServer: AdvertisedServer, LongRunning {
  private let listen: Listen
  private let security: ServerSecurity
  private let core: ServerCore
  /// Loops that are owned elsewhere; nil for those of the process.
  private let group: EventLoopGroup?
  private let health: [any HealthReporting]
  private let state = Locked(State())

  private struct State {
    enum Phase { case idle, starting, listening, draining, stopped }
    var phase = Phase.idle
    var addresses: [Address] = []
    var failure: (any Error)?
    var waiters: [ObjectIdentifier: CheckedContinuation<[Address], any Error>] = [:]
    var stop: CheckedContinuation<Void, Never>?
    var stopRequested = false
    var loops: [ServerLoop] = []
  }

  /// Makes a server; nothing is opened before ``run()``.
  /// - Parameter logger: gets handlers' errors that are no status, at error level; ends of calls
  ///   and connections at debug level, if that is enabled now.
  public convenience init(
    on listen: Listen, services: [any RPCService], security: ServerSecurity = .plaintext,
    interceptors: [any ServerInterceptor] = [],
    options: ServerOptions = ServerOptions(), logger: Logger = Logger(label: "trunkcall.server")
  ) {
    self.init(
      on: listen, services: services, security: security, interceptors: interceptors,
      options: options, logger: logger, group: nil)
  }

  /// The same on loops that are owned elsewhere; used by tests.
  package init(
    on listen: Listen, services: [any RPCService], security: ServerSecurity = .plaintext,
    interceptors: [any ServerInterceptor] = [],
    options: ServerOptions = ServerOptions(), logger: Logger = Logger(label: "trunkcall.server"),
    group: EventLoopGroup?
  ) {
    self.listen = listen
    self.group = group
    self.security = security
    core = ServerCore(services, interceptors, options, logger)
    health = services.compactMap { $0 as? any HealthReporting }
    let names = core.methods.services
    for service in health { service.serves(names) }
  }

  // MARK: LongRunning

  /// Serves until ``shutDown()``, then until the drain is over. Cancelling its task stops at once.
  /// - Throws: ``ListenError`` when it cannot listen. A server runs once.
  public func run() async throws {
    try await GracefulStop.observe({ self.shutDown() }) { try await self.serve() }
  }

  /// Begins the graceful stop; ``run()`` returns when it is over.
  public func shutDown() {
    let stop = state.withLock { state in
      state.stopRequested = true
      defer { state.stop = nil }
      return state.stop
    }
    stop?.resume()
  }

  // MARK: AdvertisedServer

  /// Suspends until the server listens; see ``AdvertisedServer/listeningAddresses()``.
  public func listeningAddresses() async throws -> [Address] {
    let ticket = WaitTicket()
    let key = ObjectIdentifier(ticket)
    return try await withTaskCancellationHandler {
      try await withCheckedThrowingContinuation { continuation in
        let ready: Result<[Address], any Error>? = state.withLock { state in
          if Task.isCancelled { return .failure(CancellationError()) }
          switch state.phase {
          case .listening, .draining: return .success(state.addresses)
          case .stopped: return .failure(state.failure ?? ListenError("the server has stopped"))
          case .idle, .starting:
            state.waiters[key] = continuation
            return nil
          }
        }
        if let ready { continuation.resume(with: ready) }
      }
    } onCancel: {
      let waiter = state.withLock { $0.waiters.removeValue(forKey: ObjectIdentifier(ticket)) }
      waiter?.resume(throwing: CancellationError())
    }
  }

  /// Sets the health service's status for `name`; no effect without a health service.
  public func setServing(_ name: String, _ serving: Bool) async {
    for service in health { service.setServing(name, serving) }
  }

  /// The health service's status for `name`; nil if none is set, or without a health service.
  public func isServing(_ name: String) -> Bool? {
    let answers = health.compactMap { $0.isServing(name) }
    return answers.isEmpty ? nil : answers.allSatisfy { $0 }
  }

  /// Whether one of the services is a ``HealthReporting``.
  public var hasHealthService: Bool { !health.isEmpty }

  /// What a registry's health check needs to know of ``ServerSecurity``.
  public var checkedSecurity: CheckedSecurity { security.checked }

  /// The calls begun so far; see ``statistics``.
  public var callsStarted: Int? {
    Int(clamping: loops.reduce(0) { $0 + $1.counters.callsStarted.load(ordering: .relaxed) })
  }

  // MARK: Introspection

  /// Figures since the start, over all loops and for each of them.
  public var statistics: ServerStatistics {
    let now = Clock.now()
    return loops.reduce(into: ServerStatistics()) { sum, loop in
      let counters = loop.counters
      sum.callsStarted += counters.callsStarted.load(ordering: .relaxed)
      sum.callsSucceeded += counters.callsSucceeded.load(ordering: .relaxed)
      sum.callsFailed += counters.callsFailed.load(ordering: .relaxed)
      sum.callsCancelled += counters.callsCancelled.load(ordering: .relaxed)
      sum.connections += counters.connections.load(ordering: .relaxed)
      sum.handshakesFailed += counters.handshakesFailed.load(ordering: .relaxed)
      sum.handlersRunning += counters.handlersRunning
      sum.callsWaiting += counters.callsWaiting
      sum.events.merge(counters.eventCounts) { $0 + $1 }
      sum.loops.append(LoopStatistics(of: loop))
    } + core.methods.methods.filter { $0.hasMoved(at: now) }.map(\.name.text)
  }

  /// One for each event loop; empty before it listens.
  var loops: [ServerLoop] { state.withLock { $0.loops } }

  // MARK: Serving

  private func serve() async throws {
    let isFirst = state.withLock { state in
      guard state.phase == .idle else { return false }
      state.phase = .starting
      return true
    }
    guard isFirst else { throw ListenError("a server runs once") }
    do { try await serveOnce() } catch {
      settle(.failure(error))
      throw error
    }
    settle(.failure(ListenError("the server has stopped")))
  }

  private func serveOnce() async throws {
    switch security.kind {
    case .plaintext: try await serveOnce(filter: nil)
    #if TLS
      case .tls(let tls):
        let certificates = try ServerCertificates(tls, core.logger)
        try await withThrowingTaskGroup(of: Void.self) { group in
          group.addTask { await certificates.watch() }
          defer { group.cancelAll() }
          try await serveOnce { () throws(SocketError) in try certificates.filter() }
        }
    #endif
    }
  }

  private func serveOnce(filter: ServerLoop.Filter?) async throws {
    if let bytes = core.options.freeMemoryKept { FreeMemory.keep(bytes) }
    let own = try core.options.loops.map {
      try EventLoopGroup(loops: $0, busyPoll: core.options.busyPoll)
    }
    defer { own?.shutdown() }
    let loopGroup = (own ?? group ?? .shared).loops
    let loops = loopGroup.map { ServerLoop(core, $0, of: loopGroup.count, filter) }
    state.withLock { $0.loops = loops }
    let listeners = try await open(loops)
    let addresses = await addresses(of: listeners)
    core.logger.info("listening", metadata: ["addresses": "\(addresses)"])
    settle(.success(addresses))

    let isCancelled = await waitForStop()
    for service in health { service.beginShutdown() }
    if !isCancelled { core.stop.begin() }
    state.withLock { $0.phase = .draining }
    for listener in listeners { await listener.loop.perform { listener.value.close() } }
    if !isCancelled { await drain(loops) }
    for loop in loops { loop.closeAll() }
    // Each loop has closed its connections once it has run this.
    for loop in loops { await loop.loop.perform {} }
  }

  private func settle(_ result: Result<[Address], any Error>) {
    let waiters = state.withLock { state in
      switch result {
      case .success(let addresses):
        state.phase = .listening
        state.addresses = addresses
      case .failure(let error):
        state.phase = .stopped
        state.failure = error
      }
      defer { state.waiters = [:] }
      return state.waiters.values
    }
    for waiter in waiters { waiter.resume(with: result) }
  }

  private func open(_ loops: [ServerLoop]) async throws -> [LoopBound<Listener>] {
    var listeners: [LoopBound<Listener>] = []
    let next = RoundRobinLoops(loops)
    let core = core
    do {
      var port: UInt16?
      for address in try await HostLookup.addresses(of: listen.destination, timeout: .seconds(10)) {
        let address = port.map { address.with(port: $0) } ?? address
        let options = core.options.socket
        let loop = loops[listeners.count % loops.count].loop
        let listener = try await loop.perform { () -> Result<LoopBound<Listener>, SocketError> in
          do throws(SocketError) {
            let resumption = Resumption()
            let admission = ServerAdmission(core, next.loop.counters)
            let listener = try Listener(
              on: address, loop: loop, options: options,
              paused: { next.loop.counters.note(.acceptPaused) },
              admission: Listener.Admission(
                timeout: core.options.acceptTimeout,
                next: {
                  guard let place = admission.next(whenRoom: { resumption.resume() }) else {
                    return nil
                  }
                  return { next.loop.adopt($0, place) }
                }, refused: { admission.refused() }))
            try listener.start()
            let bound = LoopBound(listener, on: loop)
            resumption.attach(to: bound)
            return .success(bound)
          } catch { return .failure(error) }
        }.get()
        listeners.append(listener)
        port = await loop.perform { listener.value.address.port }
      }
      guard !listeners.isEmpty else { throw ListenError("cannot listen on \(listen): no address") }
      return listeners
    } catch {
      for listener in listeners { await listener.loop.perform { listener.value.close() } }
      throw error is ListenError ? error : ListenError("cannot listen on \(listen): \(error)")
    }
  }

  private func addresses(of listeners: [LoopBound<Listener>]) async -> [Address] {
    var addresses: [Address] = []
    for listener in listeners {
      let destination = await listener.loop.perform { listener.value.address.destination }
      addresses.append(Address(destination))
    }
    return addresses
  }

  /// - Returns: whether the task was cancelled, in which case nothing is drained.
  private func waitForStop() async -> Bool {
    await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        let isOver = state.withLock { state in
          if state.stopRequested || Task.isCancelled { return true }
          state.stop = continuation
          return false
        }
        if isOver { continuation.resume() }
      }
    } onCancel: {
      shutDown()
    }
    return Task.isCancelled
  }

  private func drain(_ loops: [ServerLoop]) async {
    await withTaskGroup(of: Bool.self) { group in
      group.addTask {
        try? await Task.sleep(for: self.core.options.drain)
        return false
      }
      group.addTask {
        // All at once, so that every client gets its GOAWAY now.
        await withDiscardingTaskGroup { group in
          for loop in loops { group.addTask { await Drained.wait(loop) } }
        }
        return true
      }
      let inTime = await group.next() ?? false
      if !inTime {
        core.logger.notice(
          "the drain's time is over; calls still under way are cancelled",
          metadata: ["handlers": "\(loops.reduce(0) { $0 + $1.counters.handlersRunning })"])
        let status = RPCError(.unavailable, "the server is shutting down")
        for loop in loops { loop.endCalls(status) }
        group.addTask {
          try? await Task.sleep(for: ServerConnection.finalFlushTimeout)
          return false
        }
        _ = await group.next()
        for loop in loops { loop.closeAll() }
      }
      group.cancelAll()
    }
  }
}

/// Awaits one loop's drain.
private enum Drained {
  static func wait(_ loop: ServerLoop) async {
    await withCheckedContinuation { continuation in loop.drain { continuation.resume() } }
  }
}

/// Distributes accepted sockets over the loops in turn.
private final class RoundRobinLoops: Sendable {
  private let loops: [ServerLoop]
  private let cursor = Atomic<Int>(0)
  init(_ loops: [ServerLoop]) { self.loops = loops }
  var loop: ServerLoop {
    let turn = cursor.wrappingAdd(1, ordering: .relaxed).oldValue
    return loops[Int(UInt(bitPattern: turn) % UInt(loops.count))]
  }
}

/// Makes a paused listener accept again, once it exists.
private final class Resumption: Sendable {
  private let listener: Locked<LoopBound<Listener>?> = Locked(nil)
  func attach(to listener: LoopBound<Listener>) { self.listener.withLock { $0 = listener } }
  /// From any thread.
  func resume() {
    guard let listener = listener.withLock({ $0 }) else { return }
    listener.loop.run { listener.value.resume() }
  }
}
