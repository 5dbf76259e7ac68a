public import Logging
// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import Synchronization
public import TrunkDiscovery
internal import TrunkSockets

/// Keeps a server registered with the local Consul agent while both run, and takes it out first
/// when the server stops.
///
/// It registers once the server listens and says SERVING for the name; tries again for ever while
/// the agent is away; asks the agent every 3 s whether it still knows the service and registers
/// again if not (an agent that lost its state). Order of a stop (R-14): health NOT_SERVING,
/// deregister, wait until the catalogue no longer shows the instance, give watchers a moment, return;
/// then the server sends GOAWAY and drains.
public final class ConsulRegistration: LongRunning {
  /// The registered name, also the service name of a gRPC check.
  public let name: String

  private let server: any AdvertisedServer
  private let agent: ConsulAgent
  private let define: @Sendable ([Address]) throws -> ServiceDefinition
  private let check: ConsulCheck
  private let timing: RegistrationTiming
  private let logger: Logger
  /// Set before the first registration is sent: what must be taken out again.
  private let definition = Locked<ServiceDefinition?>(nil)
  private let stop = AsyncStream.makeStream(of: Never.self)

  /// Nothing is sent before ``run()``.
  /// - Parameters:
  ///   - name: the service's name in Consul; a DNS label if Consul's DNS should show it (R-2).
  ///   - server: what is registered, e.g. a `GRPCServer`.
  ///   - agent: the local agent (R-1, R-18); default: from the environment, else 127.0.0.1:8500.
  ///   - tags: none by default.
  ///   - advertise: what others connect to (R-3); port 0 stands for the bound port. Default: the
  ///     first bound address, and 127.0.0.1 if that is a wildcard.
  ///   - id: unique on the agent; default `name-address-port`.
  ///   - meta: keys of `[A-Za-z0-9_-]`.
  ///   - weights: nil leaves Consul's 1 and 1.
  ///   - check: default: a gRPC health check every 10 s.
  ///   - deregisterCriticalAfter: the backstop for a server that died (R-8): the agent takes it out
  ///     after this time in critical state, 1 min at least; nil: never.
  public convenience init(
    _ name: String, of server: any AdvertisedServer, agent: ConsulAgent = .fromEnvironment,
    tags: [String] = [], advertise: Address? = nil, id: String? = nil,
    meta: [String: String] = [:], weights: ConsulWeights? = nil, check: ConsulCheck = .grpc(),
    deregisterCriticalAfter: Duration? = .seconds(60),
    logger: Logger = Logger(label: "trunkcall.consul.registration")
  ) {
    self.init(
      name, of: server, agent: agent, check: check, timing: RegistrationTiming(), logger: logger
    ) { bound in
      try ServiceDefinition(
        name, bound: bound, advertise: advertise, id: id, tags: tags, meta: meta, weights: weights,
        check: check, deregisterCriticalAfter: deregisterCriticalAfter)
    }
  }

  package init(
    _ name: String, of server: any AdvertisedServer, agent: ConsulAgent, check: ConsulCheck,
    timing: RegistrationTiming, logger: Logger,
    define: @escaping @Sendable ([Address]) throws -> ServiceDefinition
  ) {
    self.name = name
    self.server = server
    self.agent = agent
    self.check = check
    self.timing = timing
    self.logger = logger
    self.define = define
  }

  /// Returns when the instance is out of the catalogue, or when the agent did not answer in time:
  /// an agent that is down holds up no exit (R-15).
  /// - Throws: ``ConsulError`` for an agent's address or a server's that cannot be used, what kept
  ///   the server from listening, `CancellationError` (then nothing is deregistered).
  public func run() async throws {
    let client = try AgentClient(agent)
    defer { client.close() }
    try await stoppingWithItsGroup {
      try await untilStopped(client)
      try Task.checkCancellation()
      if let definition = definition.withLock({ $0 }) { await leave(definition, by: client) }
    }
  }

  public func shutDown() { stop.continuation.finish() }

  private func untilStopped(_ client: AgentClient) async throws {
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { try await self.keepRegistered(by: client) }
      group.addTask { for await _ in self.stop.stream {} }
      let first = await group.nextResult()
      group.cancelAll()
      // An unfinished PUT is waited for, so that it cannot overtake the deregistration.
      while await group.nextResult() != nil {}
      try first?.get()
    }
  }

  // MARK: Being registered

  private func keepRegistered(by client: AgentClient) async throws {
    let definition = try define(try await server.listeningAddresses())
    // R-7: SERVING first, so that the initial status is honest.
    await server.setServing(name, true)
    self.definition.withLock { $0 = definition }
    if !DNSLabel.isValid(name) {
      logger.notice("consul's DNS will not show \(name): it is no DNS label (RFC 1123)")  // R-2
    }

    var random = SystemRandom()
    var state = RegistrationState(
      confirmEvery: timing.confirmInterval, life: check.kind == .ttl ? check.interval : nil)
    var step = state.begin()
    while true {
      try Task.checkCancellation()
      tell(step.news, definition, client)
      do {
        switch step.next {
        case .register:
          try await registerWhole(definition, by: client)
          step = state.registered(using: &random)
        case .confirm:
          let known =
            check.kind == .ttl
            ? try await client.beat(serviceID: definition.id, timeout: timing.requestTimeout)
            : try await client.knows(serviceID: definition.id, timeout: timing.requestTimeout)
          step = known ? state.confirmed(using: &random) : state.forgotten()
        case .sleep(let duration):
          try await Task.sleep(for: duration)
          step = state.woke()
        }
      } catch let error as ConsulError {
        step = state.failed(
          step.next, error.reason, status: error.status, at: .now, using: &random)
      }
    }
  }

  /// A registration is never given up half-way: it would be unknown whether it was carried out.
  private func registerWhole(
    _ definition: ServiceDefinition, by client: AgentClient
  ) async throws {
    let timeout = timing.requestTimeout
    try await Task { try await client.register(definition, timeout: timeout) }.value
  }

  private func tell(
    _ news: RegistrationState.News?, _ definition: ServiceDefinition, _ client: AgentClient
  ) {
    switch news {
    case nil: break
    case .registered(let again):
      logger.info(
        "registered with consul \(client.name)\(again ? " again" : "") as \(definition.id)")
    case .forgotten:
      logger.notice("consul \(client.name) forgot \(definition.id), registering again")
    case .trouble(let reason):
      logger.warning(
        "consul \(client.name): \(reason); \(definition.id) is served all the same, trying again")
    }
  }

  // MARK: Leaving (R-14)

  private func leave(_ definition: ServiceDefinition, by client: AgentClient) async {
    await server.setServing(name, false)
    do {
      try await client.deregister(serviceID: definition.id, timeout: timing.leaveTimeout)
    } catch {
      // R-15: the agent will find out by its check and take the entry out later.
      logger.warning("\(error); \(definition.id) could not be deregistered")
      return
    }
    await waitUntilGone(definition, by: client)
    logger.info("deregistered \(definition.id) from consul \(client.name)")
  }

  /// The agent's own answer comes before the catalogue knows. Watchers are woken within about 20 ms
  /// of that (V-6) and ask again; the margin is ten times as long. Whoever is later still is told by
  /// the server's GOAWAY, and loses no call either.
  private func waitUntilGone(_ definition: ServiceDefinition, by client: AgentClient) async {
    let deadline = ContinuousClock.now + timing.leaveTimeout
    do {
      while ContinuousClock.now < deadline,
        try await client.catalogueShows(definition, timeout: deadline - ContinuousClock.now)
      {
        try await Task.sleep(for: timing.lookAgain)
      }
      try await Task.sleep(for: timing.propagation)
    } catch {
      logger.debug("cannot see whether \(definition.id) is out of the catalogue: \(error)")
    }
  }
}

/// The times of a ``ConsulRegistration``.
package struct RegistrationTiming: Sendable, Hashable {
  package var confirmInterval = Duration.seconds(3)
  /// For one request to an agent that is near.
  package var requestTimeout = Duration.seconds(3)
  /// R-15: for the deregistration, and again for waiting until the catalogue shows it.
  package var leaveTimeout = Duration.seconds(2)
  package var lookAgain = Duration.milliseconds(20)
  package var propagation = Duration.milliseconds(200)
  package init() {}
}
