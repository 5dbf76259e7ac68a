// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
package import TrunkDiscovery

/// The parts of a `consul:` target: the agent and the query.
///
/// `consul://[agent[:8500][,agent…]]/service[?parameters]`. Without an agent the options' one is used
/// (CONSUL_HTTP_ADDR, else 127.0.0.1:8500). Parameters that other resolvers have under another name
/// are accepted under both.
package struct ConsulTarget: Sendable, Hashable {
  package var agent: ConsulAgent
  package var query: ConsulQuery
  /// The key of the service config.
  package var configKey: String?
  /// In order of preference where there is more than one; else empty.
  package var datacenters: [String] { query.datacenters.count > 1 ? query.datacenters : [] }

  package var plan: WatchPlan { WatchPlan(query, datacenters: datacenters) }

  package static let parameters = [
    "address", "allow-stale", "cached", "chain", "config", "connect", "consistent", "dc", "filter",
    "health", "healthy",
    "interval", "max-stale", "near", "node-meta", "ns", "partition", "passing", "peer", "prepared",
    "require-consistent", "sg", "stale", "tag", "tags", "token", "token-file", "unix", "wait",
    "warning",
  ]
  private static let repeatable: Set = ["tag", "tags", "node-meta"]
  private static let allowed =
    "allowed: consul://[agent[:8500]]/service, e.g. consul:///helloworld"

  /// - Parameter agent: for what the target does not have: address, credentials, tenancy.
  package init(
    _ target: Target, agent: ConsulAgent, configKey: String? = nil
  ) throws(TargetError) {
    try ConsulTarget.refuseForeign(target)
    try target.rejectUnknownParameters(known: ConsulTarget.parameters)
    try ConsulTarget.checkShape(target)
    self.configKey = try ConsulTarget.configKey(of: target, default: configKey)
    self.agent = try ConsulTarget.agent(of: target, default: agent)

    query = ConsulQuery(target.endpoint)
    let tags = target[all: "tags"].flatMap { $0.split(separator: ",").map(String.init) }
    query.tags = target[all: "tag"].filter { !$0.isEmpty } + tags
    query.nodeMeta = target[all: "node-meta"]
    if let parameter = target.first("dc") {
      query.datacenters = try ConsulTarget.datacenters(parameter, of: target)
    }
    query.namespace = target.text("ns") ?? agent.namespace
    query.partition = target.text("partition") ?? agent.partition
    query.kind = try ConsulTarget.kind(of: target)
    if query.kind == .prepared, !datacenters.isEmpty, let parameter = target.first("dc") {
      throw target.bad(parameter, "a prepared query is executed in one data center")
    }
    query.chain = try target.flag("chain") ?? false
    if query.chain, let parameter = target.first(of: ConsulTarget.excludedByChain) {
      throw target.bad(parameter, "not together with chain")
    }
    if query.chain, !datacenters.isEmpty, let parameter = target.first("dc") {
      throw target.bad(
        parameter, "a discovery chain is of one data center; its failover has others")
    }
    query.peer = target.text("peer")
    query.samenessGroup = target.text("sg")
    if query.peer != nil, let parameter = target.first("sg") {
      throw target.bad(parameter, "peer and sg exclude each other")
    }
    query.near = target.text("near")
    query.filter = target.text("filter")
    query.taggedAddress = target.text("address")
    query.cached = try target.flag("cached") ?? false
    // A prepared query's definition says which ones it takes.
    query.health = query.kind == .prepared ? .any : try ConsulTarget.health(of: target)
    query.consistency = try ConsulTarget.consistency(of: target, cached: query.cached)
    if let parameter = target.first("max-stale") {
      let bound = ConsulDuration.parse(parameter.value)
      guard parameter.value == "any" || bound.map({ $0 > .zero }) == true else {
        throw target.bad(parameter, "allowed: a duration, such as 10s, or any")
      }
      guard query.consistency == .stale else {
        throw target.bad(parameter, "allowed: together with stale")
      }
      query.maxStale = bound
    }
    if let parameter = target.first("wait") {
      guard let wait = ConsulDuration.parse(parameter.value), wait >= .seconds(1),
        wait <= .seconds(600)
      else { throw target.bad(parameter, "allowed: a duration of 1s to 10m, such as 90s") }
      query.wait = wait
    }
    if let parameter = target.first("interval") {
      guard let interval = ConsulDuration.parse(parameter.value), interval >= .seconds(1),
        interval <= .seconds(600), query.kind == .prepared
      else {
        throw target.bad(
          parameter, "allowed: a duration of 1s to 10m, such as 90s, together with prepared")
      }
      query.interval = interval
    }
    for parameter in target.parameters where parameter.name == "node-meta" {
      guard parameter.value.contains(":") else { throw target.bad(parameter, "allowed: key:value") }
    }
  }

  private static func checkShape(_ target: Target) throws(TargetError) {
    guard !target.endpoint.isEmpty else {
      throw target.error(
        .missingService, column: target.endpointColumn, "missing service; \(allowed)")
    }
    let controls = target.endpoint.unicodeScalars.contains { $0.value < 0x20 || $0.value == 0x7F }
    guard !controls, !target.endpoint.hasPrefix("/"), !target.endpoint.hasSuffix("/") else {
      throw target.error(
        .malformed, column: target.endpointColumn,
        "a service name has no control characters and no slash at its ends; \(allowed)")
    }
    var seen: Set<String> = []
    for parameter in target.parameters where !repeatable.contains(parameter.name) {
      guard seen.insert(parameter.name).inserted else {
        throw target.error(
          .badParameter, column: parameter.column, "parameter \"\(parameter.name)\" is given twice")
      }
    }
  }

  private static func agent(
    of target: Target, default agent: ConsulAgent
  ) throws(TargetError) -> ConsulAgent {
    var agent = agent
    // The error does not quote the text, which holds a password.
    guard !target.authority.contains("@") else {
      throw target.error(
        .malformed, column: target.authorityColumn,
        "a target holds no user and password; use CONSUL_HTTP_AUTH, or token-file=PATH")
    }
    if !target.authority.isEmpty {
      // TLS holds for another agent as well.
      if (try? agent.parsedAddress())?.isSecure == true { agent.usesTLS = true }
      let agents = try addresses(of: target)
      agent.address = agents[0]
      agent.alternatives = Array(agents.dropFirst())
    }
    if let parameter = target.first("unix") {
      guard target.authority.isEmpty, parameter.value.hasPrefix("/") else {
        throw target.bad(parameter, "allowed: an absolute path, and no agent before the service")
      }
      agent.address = "unix://\(parameter.value)"
      agent.alternatives = []
    }
    if let parameter = target.first("token") {
      guard target.first("token-file") == nil else {
        throw target.error(
          .badParameter, column: parameter.column, "token and token-file exclude each other")
      }
      agent.token = .value(parameter.value)
    }
    if let path = target.text("token-file") { agent.token = .file(path) }
    return agent
  }

  /// `host`, `host:port,host:port`: at most 16.
  private static func addresses(of target: Target) throws(TargetError) -> [String] {
    var addresses: [String] = []
    var column = target.authorityColumn
    for part in target.authority.split(separator: ",", omittingEmptySubsequences: false) {
      let host = try target.hostPort(part, column: column)
      addresses.append(
        AgentAddress(host.address(defaultPort: AgentAddress.defaultPort)).description)
      column += part.count + 1
    }
    guard addresses.count <= 1 + ConsulAgent.maximumAlternatives,
      Set(addresses).count == addresses.count
    else {
      throw target.error(
        .malformed, column: target.authorityColumn,
        "allowed: up to \(1 + ConsulAgent.maximumAlternatives) agents, each once; \(allowed)")
    }
    return addresses
  }

  /// `dc1`, `dc1,dc2`: at most 16.
  private static func datacenters(
    _ parameter: Target.Parameter, of target: Target
  ) throws(TargetError) -> [String] {
    let names = parameter.value.split(separator: ",", omittingEmptySubsequences: false).map(
      String.init)
    guard parameter.value != "" else { return [] }
    guard !names.contains(""), Set(names).count == names.count, names.count <= 16 else {
      throw target.bad(parameter, "allowed: up to 16 data centers, each once: dc1,dc2")
    }
    return names
  }

  private static func kind(of target: Target) throws(TargetError) -> ConsulQuery.Kind {
    let isConnect = try target.flag("connect") ?? false
    guard try target.flag("prepared") ?? false else { return isConnect ? .connect : .service }
    // Consul, Prepared Queries: all this is in the query's definition.
    let others = [
      "connect", "filter", "node-meta", "passing", "health", "healthy", "peer", "sg", "tag", "tags",
      "wait",
      "warning",
    ]
    if let parameter = target.first(of: others) {
      throw target.bad(parameter, "not together with prepared: the prepared query says it")
    }
    return .prepared
  }

  private static func health(of target: Target) throws(TargetError) -> ConsulQuery.Health {
    let passing = try target.flag("passing")
    let isHealthy = try ConsulTarget.healthy(of: target)
    let healthy = try target.flag("healthy") ?? isHealthy
    if let passing = passing ?? isHealthy, let healthy, passing != healthy,
      let parameter = target.first("healthy", "health")
    {
      throw target.bad(parameter, "passing and healthy mean the same, but differ here")
    }
    if let parameter = target.first("warning") {
      guard parameter.value == "include" else { throw target.bad(parameter, "allowed: include") }
      guard passing ?? healthy ?? true else {
        throw target.bad(parameter, "passing=false has the warning instances already")
      }
      return .warning
    }
    return passing ?? healthy ?? true ? .passing : .any
  }

  /// Consul, Consistency Modes: never two modes at once, and a cached answer cannot be consistent.
  private static func consistency(
    of target: Target, cached: Bool
  ) throws(TargetError) -> ConsulQuery.Consistency {
    let stale = try target.flag("stale", "allow-stale") ?? false
    let consistent = try target.flag("consistent", "require-consistent") ?? false
    guard consistent else { return stale ? .stale : .default }
    if stale || cached, let parameter = target.first("consistent", "require-consistent") {
      throw target.bad(parameter, "consistent excludes stale and cached")
    }
    return .consistent
  }
}

extension Target {
  fileprivate func first(_ names: String...) -> Parameter? { first(of: names) }

  fileprivate func first(of names: [String]) -> Parameter? {
    parameters.first { names.contains($0.name) }
  }

  /// The value of a parameter, nil if it is missing or empty.
  fileprivate func text(_ name: String) -> String? {
    first(name).flatMap { $0.value.isEmpty ? nil : $0.value }
  }

  /// A parameter without a value is true.
  fileprivate func flag(_ names: String...) throws(TargetError) -> Bool? {
    guard let parameter = first(of: names) else { return nil }
    switch parameter.value.lowercased() {
    case "", "true", "1": return true
    case "false", "0": return false
    default: throw bad(parameter, "allowed: true, false")
    }
  }

  fileprivate func bad(_ parameter: Parameter, _ reason: String) -> TargetError {
    // Never the value: it may be a secret.
    error(.badParameter, column: parameter.column, "parameter \"\(parameter.name)\": \(reason)")
  }
}
