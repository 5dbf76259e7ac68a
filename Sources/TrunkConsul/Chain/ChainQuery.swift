// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import TrunkDiscovery

/// The discovery chain of a service: `GET /v1/discovery-chain/:service` (Consul, Discovery Chain API).
/// Equal queries to one agent share one watch.
///
/// Always read in the mode `default`, whatever the instances are read in: it changes seldom.
package struct ChainQuery: Sendable, Hashable {
  package var service: String
  /// The data center that the chain is compiled for; nil: the agent's. The agent's own servers compile
  /// it, since config entries are replicated.
  package var datacenter: String?
  package var namespace: String?
  package var partition: String?
  /// See ``ConsulQuery/wait``.
  package var wait = Duration.seconds(60)

  package init(_ query: ConsulQuery) {
    service = query.service
    datacenter = query.datacenter
    namespace = query.namespace
    partition = query.partition
    wait = query.wait
  }

  /// The request of one query. With `index` nil the agent answers at once.
  package func request(index: UInt64?, wait: Duration?) -> HTTPRequest {
    var request = HTTPRequest(.get, "v1", "discovery-chain", service)
    let optional = [("compile-dc", datacenter), ("ns", namespace), ("partition", partition)]
    for case (let name, let value?) in optional { request.addQuery(name, value) }
    if let index { request.addQuery("index", String(index)) }
    if index != nil, let wait { request.addQuery("wait", ConsulDuration.milliseconds(wait)) }
    return request
  }

  /// An agent without chains is so until somebody changes it (measured with 1.8.7).
  static func failure(_ error: ConsulError) -> PollSchedule.Failure {
    switch error {
    case .refused(_, 500, let text) where text.hasPrefix("Connect must be enabled"):
      .permanent(
        "the agent has no discovery chains: its configuration needs connect { enabled = true }")
    case .refused(_, 404, _): .permanent("an agent older than Consul 1.6 has no discovery chains")
    case .refused(_, 403, _):
      .status(403, "\(error.reason) (a discovery chain needs service:read)")
    default: PollSchedule.Failure(error)
    }
  }
}

extension ChainQuery {
  func source(_ client: AgentClient) -> ValueWatch<DiscoveryChain>.Source {
    ValueWatch<DiscoveryChain>.Source(
      wait: wait, request: { request(index: $0, wait: $1) }, missing: nil,
      value: { try client.chain(of: $0) }, isMissing: \.isDefault,
      missingText: "there are no config entries", failure: { ChainQuery.failure($0) })
  }
}

extension ConsulTarget {
  /// What `chain` excludes: the chain says it, or there are none of it.
  static let excludedByChain = ["connect", "peer", "prepared", "sg"]

  var chainQuery: ChainQuery? { query.chain ? ChainQuery(query) : nil }
}

extension WatchPlan {
  /// A query for each target of a chain.
  /// - Parameters:
  ///   - query: of the service that the chain is of; its filter and tags hold for each target.
  ///   - problem: why the chain may be old.
  package init(_ routes: ChainRoutes, _ query: ConsulQuery, problem: String? = nil) {
    var parts: [Part] = []
    for split in routes.splits {
      let first = split.targets[0]
      for target in split.targets {
        let label = target == first ? target.name : "\(first.name) then \(target.name)"
        parts.append(Part([first.name, target.name], query.query(for: target), label: label))
      }
    }
    var notes = ["discovery chain \(routes.description)"]
    if !routes.notApplied.isEmpty {
      notes.append("not applied: \(routes.notApplied.joined(separator: ", "))")
    }
    if let problem { notes.append("the chain: \(problem)") }
    // Two levels in any case, so that a chain that grows changes no connection.
    let groups = routes.splits.map { split in
      EndpointGroup(
        split.targets[0].name, weight: split.weight,
        groups: .priorities(split.targets.map { EndpointGroup($0.name) }))
    }
    self.init(parts, groups: .weighted(groups), note: notes.joined(separator: "; "))
  }
}

extension ConsulQuery {
  fileprivate func query(for target: ChainRoutes.Target) -> ConsulQuery {
    var query = self
    query.chain = false
    query.service = target.service
    if let filter = target.filter {
      query.filter = query.filter.map { "(\($0)) and (\(filter))" } ?? filter
    }
    if target.onlyPassing { query.health = .passing }
    if let datacenter = target.datacenter { query.datacenter = datacenter }
    if let namespace = target.namespace { query.namespace = namespace }
    if let partition = target.partition { query.partition = partition }
    query.peer = target.peer
    // A peer is asked for at the local servers.
    if target.peer != nil { query.datacenter = nil }
    return query
  }
}
