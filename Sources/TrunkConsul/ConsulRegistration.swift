// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
public import Logging
internal import Synchronization
public import TrunkDiscovery
internal import TrunkSockets

/// Keeps a server registered with the local Consul agent while both run, and deregisters it first
/// when the server stops.
///
/// It registers once the server listens and its health service has the name as SERVING; retries
/// without limit while the agent is down; compares every 3 s the agent's service with the
/// registered one, and registers again on a difference (the agent lost its state, another program
/// took the id, a check was removed by hand) and when the token was replaced. It logs once that the
/// agent's check fails, and its output. Order of a stop: health NOT_SERVING at once, deregister,
/// wait until the catalogue no longer has the instance, wait for watchers, return; then the server
/// sends GOAWAY and drains. A registration under way is cancelled, and deregistered as well.
public final class ConsulRegistration: LongRunning {
  /// The registered name, also the service name of a gRPC check.
  public let name: String

  let server: any AdvertisedServer
  let agent: ConsulAgent
  private let define: Define
  private let needsNodeAddress: @Sendable ([Address]) -> Bool
  let check: ConsulCheck
  let timing: RegistrationTiming
  let logger: Logger
  let sent = Locked<Sent?>(nil)
  /// The time of the stop; nil before.
  private let stopped = Locked<ContinuousClock.Instant?>(nil)
  private let stop = AsyncStream.makeStream(of: Never.self)

  /// The definition, by the bound addresses and the node's, which is nil if it is not needed or not
  /// known.
  package typealias Define =
    @Sendable (_ bound: [Address], _ nodeAddress: String?) throws -> ServiceDefinition

  /// Nothing is sent before ``run()``.
  /// - Parameters:
  ///   - name: the service's name in Consul; a DNS label if Consul's DNS should show it (RFC 1123).
  ///   - server: the server to register, e.g. a `GRPCServer`.
  ///   - agent: the local agent (Consul, Agent Service API); default: from the environment, else
  ///     127.0.0.1:8500.
  ///   - tags: none by default.
  ///   - advertise: the address for clients; port 0 stands for the bound port. Default: the bound
  ///     address, and if that is a wildcard, the address of the agent's node from `/v1/agent/self`;
  ///     if that may not be read, none, which stands for the node's. Logged as a warning if the
  ///     agent is reached over a network, since it may be on another host.
  ///   - id: unique on the agent; default `name-address-port`, without an address `name-port`.
  ///   - meta: keys of `[A-Za-z0-9_-]`.
  ///   - weights: nil: Consul's default, 1 and 1.
  ///   - check: default: a gRPC health check every 10 s, over TLS if the server uses TLS. One that
  ///     cannot work with this server is logged as a warning.
  ///   - deregisterCriticalAfter: removes the instance of a server that died (Consul, Agent Check
  ///     API): the agent deregisters it after this time in critical state, at least 1 min; nil:
  ///     never.
  public convenience init(
    _ name: String, of server: any AdvertisedServer, agent: ConsulAgent = .fromEnvironment,
    tags: [String] = [], advertise: Address? = nil, id: String? = nil,
    meta: [String: String] = [:], weights: ConsulWeights? = nil, check: ConsulCheck = .grpc(),
    deregisterCriticalAfter: Duration? = .seconds(60),
    logger: Logger = Logger(label: "trunkcall.consul.registration")
  ) {
    let security = server.checkedSecurity
    self.init(
      name, of: server, agent: agent, check: check, timing: RegistrationTiming(), logger: logger,
      needsNodeAddress: {
        ServiceDefinition.needsNodeAddress(bound: $0, advertise: advertise)
      },
      define: { bound, nodeAddress in
        try ServiceDefinition(
          name, bound: bound, nodeAddress: nodeAddress, advertise: advertise, id: id, tags: tags,
          meta: meta, weights: weights, check: check, security: security,
          deregisterCriticalAfter: deregisterCriticalAfter)
      })
  }

  package init(
    _ name: String, of server: any AdvertisedServer, agent: ConsulAgent, check: ConsulCheck,
    timing: RegistrationTiming, logger: Logger,
    needsNodeAddress: @escaping @Sendable ([Address]) -> Bool = { _ in false },
    define: @escaping Define
  ) {
    self.name = name
    self.server = server
    self.agent = agent
    self.check = check
    self.timing = timing
    self.logger = logger
    self.needsNodeAddress = needsNodeAddress
    self.define = define
  }

  /// Runs until ``shutDown()``; returns when the instance is out of the catalogue, or when the
  /// agent did not answer in time: an agent that is down does not delay the exit.
  /// - Throws: ``ConsulError`` for an agent's address or a server's that cannot be used, the error
  ///   that kept the server from listening, `CancellationError` (then nothing is deregistered).
  public func run() async throws {
    let client = try AgentClient(agent)
    defer { client.close() }
    try await stoppingWithItsGroup {
      try await untilStopped(client)
      try Task.checkCancellation()
      await deregister(since: stopped.withLock { $0 } ?? .now, by: client)
    }
  }

  /// Begins to deregister; ``run()`` returns when that is done. Calling it again changes nothing.
  public func shutDown() { stop.continuation.finish() }

  private func untilStopped(_ client: AgentClient) async throws {
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { try await self.keepRegistered(by: client) }
      group.addTask {
        for await _ in self.stop.stream {}
        guard !Task.isCancelled else { return }
        self.stopped.withLock { $0 = .now }
        // At once, even if a registration under way waits.
        await self.server.setServing(self.name, false)
      }
      let first = await group.nextResult()
      group.cancelAll()
      while await group.nextResult() != nil {}
      // Either of the two may see the stop first.
      guard stopped.withLock({ $0 }) == nil else { return }
      try first?.get()
    }
  }

  // MARK: Being registered

  private func keepRegistered(by client: AgentClient) async throws {
    let bound = try await server.listeningAddresses()
    // A definition that cannot be registered is an error at once.
    var definition = try define(bound, nil)
    var isDefined = !needsNodeAddress(bound)
    // SERVING first, so that the initial status is true (Consul, Agent Check API).
    await server.setServing(name, true)
    warn(asksForAddress: !isDefined)

    var token: String?
    var random = SystemRandom()
    var state = RegistrationState(
      confirmEvery: timing.confirmInterval, life: check.kind == .ttl ? check.interval : nil)
    var step = state.begin()
    while true {
      try checkNotStopped()
      log(step.notice, definition, client)
      do {
        switch step.next {
        case .register:
          if !isDefined {
            definition = try define(
              bound, try await client.nodeAddress(timeout: timing.requestTimeout))
            isDefined = true
          }
          token = try client.currentToken()
          try await registerWhole(definition, by: client)
          step = state.registered(using: &random)
        case .confirm where try client.currentToken() != token: step = state.renewed()
        case .confirm:
          switch try await confirm(definition, by: client) {
          case .well(let critical): step = state.confirmed(critical: critical, using: &random)
          case .forgotten: step = state.forgotten()
          case .drifted(let what): step = state.drifted(what, at: .now)
          }
        case .sleep(let duration):
          try await Task.sleep(for: duration)
          step = state.timerFired()
        }
      } catch let error as ConsulError {
        step = state.failed(
          step.next, error.reason, status: error.status, at: .now, using: &random)
      }
    }
  }

  /// Checks for the stop between its steps: reads are cancelled at once, writes after a timeout.
  private func registerWhole(
    _ definition: ServiceDefinition, by client: AgentClient
  ) async throws {
    let timeout = timing.requestTimeout
    let understood = await client.understood(definition, timeout: timeout)
    try checkNotStopped()
    let isFirst = sent.withLock { $0?.isCertain != true }
    try await write(definition) { try await client.register(understood, timeout: timeout) }
    guard isFirst, check.isMadeByAgent else { return }
    // An instance that crashed and is restarted at once finds its former check, whose status stays
    // as it is until the agent checks again (Consul, Agent Check API, Status). This server listens
    // and is SERVING, so the old check is removed first.
    let old = try? await client.check(ofService: definition.id, timeout: timeout)
    try checkNotStopped()
    guard case .found(let check)? = old, check.status == "critical" else { return }
    try await write(definition) {
      try await client.deregister(serviceID: definition.id, timeout: timeout)
    }
    try checkNotStopped()
    try await write(definition) { try await client.register(understood, timeout: timeout) }
  }

  /// - Throws: `CancellationError` once the stop has begun, or run() is cancelled.
  private func checkNotStopped() throws {
    try Task.checkCancellation()
    if stopped.withLock({ $0 }) != nil { throw CancellationError() }
  }

  /// A write without an answer may have been carried out, or may still be. So a stop waits for it
  /// for a short time; `sent` records one that was cancelled.
  private func write(
    _ definition: ServiceDefinition, _ body: @escaping @Sendable () async throws -> Void
  ) async throws {
    sent.withLock { sent in
      sent = Sent(
        definition: definition, isCertain: sent?.isCertain ?? false, isUnderWay: true)
    }
    let task = Task { try await body() }
    let writeTimeout = timing.leaveTimeout / 2
    try await withTaskCancellationHandler {
      do {
        try await task.value
        sent.withLock { $0 = Sent(definition: definition, isCertain: true) }
      } catch {
        if !(error is CancellationError) { sent.withLock { $0?.isUnderWay = false } }
        throw error
      }
    } onCancel: {
      // If run() itself is cancelled, it deregisters nothing and waits for nothing.
      guard stopped.withLock({ $0 }) != nil else { return task.cancel() }
      Task {
        try? await Task.sleep(for: writeTimeout)
        task.cancel()
      }
    }
  }
}

/// The times of a ``ConsulRegistration``.
package struct RegistrationTiming: Sendable, Hashable {
  package var confirmInterval = Duration.seconds(3)
  /// For one request to a local agent.
  package var requestTimeout = Duration.seconds(3)
  /// For the deregistration, half of it for a write under way before; and the same again for
  /// waiting until the catalogue shows it.
  package var leaveTimeout = Duration.seconds(2)
  package var pollInterval = Duration.milliseconds(20)
  package var propagation = Duration.milliseconds(200)
  package init() {}
}
