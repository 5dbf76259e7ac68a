// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
public import TrunkDiscovery

extension ConsulResolver {
  /// Asks Consul as the resolver does for this target, and says for each instance of the service why
  /// it is used or not. Nothing is cached and no watch is begun; those that the process has for the
  /// target are read. Each request has 5 s, all together a minute; if the first is not answered, no other is sent.
  ///
  /// Consul's errors, an agent that cannot be reached among them, are part of the explanation.
  /// - Throws: `TargetError` for a malformed target; ``ConsulError/badAddress(_:reason:)``;
  ///   `CancellationError`.
  public func explain(_ target: String) async throws -> ConsulExplanation {
    try await explain(Target.parse(target))
  }

  /// As for a target's text.
  public func explain(_ target: Target) async throws -> ConsulExplanation {
    guard target.scheme == scheme else {
      throw target.error(.unknownScheme, column: 1, "only a consul: target can be explained here")
    }
    let consul = try ConsulTarget(
      target, agent: options.agent, configKey: options.serviceConfigKey)
    var draft = ExplanationDraft(try AgentClient(consul.agent))
    var plan: WatchPlan? = consul.plan
    if let chain = consul.chainQuery {
      plan = await draft.plan(of: chain, consul.query)
      // As a watch does: a chain that cannot be used keeps the one before it.
      let known = watches.chains.status(.init(agent: consul.agent, query: chain))?.latest
      if plan == nil, let routes = known?.routes { plan = WatchPlan(routes, consul.query) }
    }
    var start = 0
    for part in plan?.parts ?? [] {
      // The splits of a chain are used side by side.
      if consul.query.chain, part.path.first == part.path.last { start = draft.instances.count }
      let key = SharedWatches.Key(agent: consul.agent, query: part.query)
      await draft.explain(
        part.query, for: part.label, watch: watches.services.status(key), after: start)
    }
    if let config = consul.configQuery { await draft.explain(config) }
    let version = await draft.version()
    try Task.checkCancellation()
    let statistics = statistics(of: consul, plan, agent: draft.client.name)
    return ConsulExplanation(
      target: target.description, agent: draft.client.name, agentVersion: version,
      token: consul.agent.token.shown, problem: draft.isAnswered ? nil : draft.problem,
      requests: draft.requests, instances: draft.sorted, unreadable: draft.unreadable,
      config: draft.config, advice: draft.advice, watches: statistics.own,
      processWatches: watches.count, polls: statistics.polls)
  }

  private func statistics(
    of consul: ConsulTarget, _ plan: WatchPlan?, agent: String
  ) -> (own: [ConsulWatchStatistics], polls: ConsulAgentStatistics) {
    let watch = options.watch
    var queries: [ConsulQuery] = []
    for part in plan?.parts ?? [] where !queries.contains(part.query) { queries.append(part.query) }
    var own = queries.compactMap {
      watches.statistics(.init(agent: consul.agent, query: $0), watch)
    }
    if let chain = consul.chainQuery,
      let statistics = watches.statistics(.init(agent: consul.agent, query: chain), watch)
    {
      own.append(statistics)
    }
    if let config = consul.configQuery,
      let statistics = watches.statistics(.init(agent: consul.agent, query: config), watch)
    {
      own.append(statistics)
    }
    let limit = watch.maximumWatches
    let polls = watches.budgets.statistics(limit: limit, at: watch.clock.now)
      .first { $0.address == agent }
    let none = PollBudget().statistics(agent: agent, limit: limit, at: watch.clock.now)
    return (own, polls ?? none)
  }
}

extension ConsulAgent.Token? {
  /// Never the token.
  fileprivate var shown: String {
    switch self {
    case nil: "no token is sent"
    case .value: "a token is sent"
    case .file(let path): "the token is in \(path)"
    }
  }
}
