// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
public import Logging
internal import Synchronization
public import TrunkDiscovery
internal import TrunkSockets

/// Keeps a server registered with the local Consul agent while both run, and deregisters it first
/// when the server stops.
///
/// It registers once the server listens; retries without limit while the agent is down; compares
/// every 3 s the agent's service and checks with the registered ones, and registers again on a
/// difference (the agent lost its state, another program took the id, a check was removed by hand)
/// and when the token was replaced. Checks begin as passing while the health service has the name
/// as SERVING, else as critical. A name that is not set is set to SERVING; one that is NOT_SERVING
/// stays so: the application's, or that of an earlier registration of the same running server, whose
/// stop has set it. Set it to SERVING before such a server is registered a second time. An operator's
/// maintenance is never ended.
///
/// Order of a stop: health NOT_SERVING at once; maintenance, so that clients see it taken out on
/// purpose; wait until the catalogue shows that, and for watchers; deregister; wait until the
/// catalogue no longer has the instance; return; then the server sends GOAWAY and drains. A
/// registration under way is cancelled, and deregistered as well.
///
///     let registration = ConsulRegistration(
///       "orders", of: server, checks: [.grpc(), .http("http://127.0.0.1:9090/ready")])
///     try await runUntilSignalled(server, registration, logger: logger)
public final class ConsulRegistration: LongRunning {
  /// The registered name, also the service name of a gRPC check.
  public let name: String

  let server: any AdvertisedServer
  let agent: ConsulAgent
  let template: ServiceTemplate
  let options: ConsulRegistrationOptions
  let timing: RegistrationTiming
  let logger: Logger
  let sent = Locked<Sent?>(nil)
  let desired: Locked<Desired>
  let changes = Signal()
  let status = RegistrationStatus()
  /// The server's calls when the deregistration was confirmed.
  let callsBefore = Locked<Int?>(nil)
  /// The time of the stop; nil before.
  let stopped = Locked<ContinuousClock.Instant?>(nil)
  private let stop = AsyncStream.makeStream(of: Never.self)

  /// What the application wants at this moment.
  struct Desired: Sendable {
    var content: ConsulService
    /// The reason of a maintenance.
    var maintenance: String?
  }

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
  ///   - meta: see ``ConsulService/meta``.
  ///   - weights: nil: Consul's default, 1 and 1.
  ///   - taggedAddresses: see ``ConsulService/taggedAddresses``.
  ///   - check: default: a gRPC health check every 10 s, over TLS if the server uses TLS. One that
  ///     cannot work with this server is logged as a warning.
  ///   - deregisterCriticalAfter: removes the instance of a server that died (Consul, Agent Check
  ///     API): the agent deregisters it after this time in critical state, which it raises to 1 min;
  ///     nil: never. Default 10 min: an instance that is critical for another reason, e.g. a
  ///     partition, is registered again only by this registration, within 3 s of its removal.
  ///   - options: see ``ConsulRegistrationOptions``.
  public convenience init(
    _ name: String, of server: any AdvertisedServer, agent: ConsulAgent = .fromEnvironment,
    tags: [String] = [], advertise: Address? = nil, id: String? = nil,
    meta: [String: String] = [:], weights: ConsulWeights? = nil,
    taggedAddresses: [String: Address] = [:], check: ConsulCheck = .grpc(),
    deregisterCriticalAfter: Duration? = .seconds(600),
    options: ConsulRegistrationOptions = ConsulRegistrationOptions(),
    logger: Logger = Logger(label: "trunkcall.consul.registration")
  ) {
    self.init(
      name, of: server, agent: agent, tags: tags, advertise: advertise, id: id, meta: meta,
      weights: weights, taggedAddresses: taggedAddresses, checks: [check],
      deregisterCriticalAfter: deregisterCriticalAfter, options: options, logger: logger)
  }

  /// As ``init(_:of:agent:tags:advertise:id:meta:weights:taggedAddresses:check:deregisterCriticalAfter:options:logger:)``,
  /// with several checks. Consul takes the worst of them as the instance's state.
  /// - Parameter checks: empty: none, passing for as long as its node is.
  public convenience init(
    _ name: String, of server: any AdvertisedServer, agent: ConsulAgent = .fromEnvironment,
    tags: [String] = [], advertise: Address? = nil, id: String? = nil,
    meta: [String: String] = [:], weights: ConsulWeights? = nil,
    taggedAddresses: [String: Address] = [:], checks: [ConsulCheck],
    deregisterCriticalAfter: Duration? = .seconds(600),
    options: ConsulRegistrationOptions = ConsulRegistrationOptions(),
    logger: Logger = Logger(label: "trunkcall.consul.registration")
  ) {
    var content = ConsulService()
    content.tags = tags
    content.meta = meta
    content.weights = weights
    content.taggedAddresses = taggedAddresses
    self.init(
      ServiceTemplate(
        name, advertise: advertise, id: id, checks: checks,
        deregisterCriticalAfter: deregisterCriticalAfter, security: server.checkedSecurity),
      content, of: server, agent: agent, options: options, timing: RegistrationTiming(),
      logger: logger)
  }

  package init(
    _ template: ServiceTemplate, _ content: ConsulService = ConsulService(),
    of server: any AdvertisedServer, agent: ConsulAgent,
    options: ConsulRegistrationOptions = ConsulRegistrationOptions(), timing: RegistrationTiming,
    logger: Logger
  ) {
    name = template.name
    self.template = template
    self.server = server
    self.agent = agent
    self.options = options
    self.timing = timing
    self.logger = logger
    desired = Locked(Desired(content: content))
  }

  /// Runs until ``shutDown()``; returns when the instance is out of the catalogue, or when the
  /// agent did not answer in time: an agent that is down does not delay the exit.
  /// - Throws: ``ConsulError`` for an agent's address, a server's, or a definition that cannot be
  ///   used, see ``ConsulRegistrationOptions/onRefusal``; the error that kept the server from
  ///   listening; `CancellationError` (then nothing is deregistered).
  public func run() async throws {
    defer { status.set(.gone) }
    guard agent.alternatives.isEmpty else {
      throw ConsulError.badAddress(
        agent.description,
        reason: "a server registers with one agent, that of its host; allowed: no alternatives")
    }
    let client = try AgentClient(agent, logger: logger)
    defer { client.close() }
    try await stoppingWithItsGroup {
      try await untilStopped(client)
      try Task.checkCancellation()
      await leave(since: stopped.withLock { $0 } ?? .now, by: client)
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
        self.status.set(.leaving)
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

  // MARK: While it runs

  /// Changes tags, metadata, weights or tagged addresses. Sent at once while the agent answers, and
  /// with every registration from then on. ``states`` tells of a refusal. `change` runs once more
  /// where another update came in between.
  /// - Throws: ``ConsulError/invalidService(_:reason:)``; then nothing is changed.
  public func update(_ change: (inout ConsulService) -> Void) throws(ConsulError) {
    // `change` is the application's: it does not run under the lock, but again after another change.
    while true {
      let before = desired.withLock { $0.content }
      var content = before
      change(&content)
      if let problem = template.problem(of: content) {
        throw .invalidService(name, reason: problem)
      }
      let isLatest = desired.withLock { [content] desired in
        guard desired.content == before else { return false }
        desired.content = content
        return true
      }
      if isLatest { return changes.signal() }
    }
  }

  /// Takes the instance out of service, or back in, without deregistering it (Consul, Agent Service
  /// API, Maintenance Mode). The server goes on serving the calls that arrive. It is set again after
  /// each registration; an operator's maintenance is neither replaced nor ended.
  /// - Parameter reason: shown to operators, behind `trunkcall: `.
  public func setMaintenance(_ isOn: Bool, reason: String = "maintenance") {
    desired.withLock { $0.maintenance = isOn ? Maintenance.prefix + reason : nil }
    changes.signal()
  }

  /// Calls that arrived at the server after its deregistration was confirmed: from clients that
  /// keep a connection without looking at Consul. nil before that, if it was not confirmed, or if
  /// the server does not count its calls.
  public var callsAfterDeregistration: Int? {
    guard let before = callsBefore.withLock({ $0 }), let now = server.callsStarted else {
      return nil
    }
    return now - before
  }
}
