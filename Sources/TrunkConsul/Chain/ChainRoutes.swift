// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import TrunkDiscovery

/// A discovery chain as a client without a proxy uses it: weighted splits, each with its targets in
/// order of preference. No I/O, no clock.
///
/// ```
///   router ── its first route, if that takes every call ──► splitter or resolver
///   splitter ── each split with a weight above 0 ──► splitter (weights multiply) or resolver
///   resolver ──► its target, then those of its failover
/// ```
/// - Splits that end at one target are one. A split whose weight is 0 is left out, with all of its
///   targets.
/// - What would send a call elsewhere than Consul says is refused, by name: a route that does not take
///   every call, a changed path, an unknown kind of node. What changes how a call is made (timeouts,
///   retries, headers, the policy within a target) is not applied, and named in ``notApplied``.
/// - The compiled chain comes from the network: a node that does not exist, a loop, or a chain beyond
///   the limits is refused.
package struct ChainRoutes: Sendable, Hashable {
  package struct Target: Sendable, Hashable {
    /// Unique: `v2.web`, `v2.web@dc2`. Consul's own ids have another form in other versions, so that an
    /// update of the servers would change the groups.
    package var name: String
    package var service: String
    /// An expression of Consul's filter language; nil: every instance.
    package var filter: String?
    package var onlyPassing = false
    /// These are nil where the target's are those of the chain.
    package var datacenter: String?
    package var namespace: String?
    package var partition: String?
    package var peer: String?
  }
  package struct Split: Sendable, Hashable {
    /// Parts of a million, at least 1.
    package var weight: UInt32
    /// The target, then its failover; not empty.
    package var targets: [Target]
  }
  /// Why a chain cannot be used; one line.
  package struct Refusal: Error, Sendable, Hashable, CustomStringConvertible {
    package var description: String
    init(_ description: String) { self.description = description }
  }

  /// Nodes inside of each other.
  package static let maximumDepth = 16
  /// Nodes on all ways through the chain.
  package static let maximumVisits = 1_000
  /// Each target is a query of its own, and an agent has room for 100.
  package static let maximumTargets = 64
  static let whole = 1_000_000.0

  /// Not empty.
  package private(set) var splits: [Split] = []
  /// Each once, in order.
  package private(set) var notApplied: [String] = []

  package init(_ chain: DiscoveryChain) throws(Refusal) {
    var walk = Walk(chain: chain)
    try walk.visit(chain.startNode, share: 1, depth: 1)
    for (resolver, share) in walk.leaves {
      let targets = try walk.targets(of: resolver)
      if let place = splits.firstIndex(where: { $0.targets[0].name == targets[0].name }) {
        splits[place].weight += ChainRoutes.weight(share)
      } else {
        splits.append(Split(weight: ChainRoutes.weight(share), targets: targets))
      }
    }
    guard !splits.isEmpty else { throw Refusal("it leads to no target") }
    let count = splits.reduce(0) { $0 + $1.targets.count }
    guard count <= ChainRoutes.maximumTargets else {
      throw Refusal("\(count) targets; at most \(ChainRoutes.maximumTargets) are allowed")
    }
    notApplied = walk.notApplied
  }

  private static func weight(_ share: Double) -> UInt32 {
    UInt32(max(1, (share * whole).rounded()))
  }

  /// `90% v1.web, 10% v2.web (then v1.web)`
  package var description: String {
    let total = splits.reduce(0) { $0 + Int($1.weight) }
    let texts = splits.map { split in
      let hundredths = (Int(split.weight) * 10_000 + total / 2) / total
      let decimals = hundredths % 100
      let fraction =
        decimals == 0
        ? ""
        : decimals % 10 == 0
          ? ".\(decimals / 10)" : decimals < 10 ? ".0\(decimals)" : ".\(decimals)"
      let failover = split.targets.dropFirst().map(\.name).joined(separator: ", ")
      let share = splits.count == 1 ? "" : "\(hundredths / 100)\(fraction)% "
      return "\(share)\(split.targets[0].name)" + (failover.isEmpty ? "" : " (then \(failover))")
    }
    return texts.joined(separator: ", ")
  }
}

/// One walk through a chain, from its start to its resolvers.
private struct Walk {
  typealias Refusal = ChainRoutes.Refusal

  let chain: DiscoveryChain
  var leaves: [(resolver: DiscoveryChain.Resolver, share: Double)] = []
  var notApplied: [String] = []
  private var visits = 0
  private var known: [String: ChainRoutes.Target] = [:]

  init(chain: DiscoveryChain) { self.chain = chain }

  mutating func visit(_ id: String, share: Double, depth: Int) throws(Refusal) {
    visits += 1
    guard visits <= ChainRoutes.maximumVisits else {
      throw Refusal("more than \(ChainRoutes.maximumVisits) nodes")
    }
    guard depth <= ChainRoutes.maximumDepth else {
      throw Refusal(
        "more than \(ChainRoutes.maximumDepth) nodes inside of each other, at \(quoted(id))")
    }
    guard let node = chain.nodes[id] else { throw Refusal("it has no node \(quoted(id))") }
    if case .object(let fields)? = node.loadBalancer, case .string(let policy)? = fields["Policy"],
      !policy.isEmpty
    {
      skip("LoadBalancer \(shown(policy)) of \(shown(node.name))")
    }
    switch node.type {
    case "router": try follow(node, share, depth)
    case "splitter": try split(node, share, depth)
    case "resolver":
      guard let resolver = node.resolver else { throw Refusal("node \(quoted(id)) is empty") }
      leaves.append((resolver, share))
    default:
      throw Refusal("node \(quoted(id)) is of the unknown kind \(quoted(node.type))")
    }
  }

  /// The routes are tried in order (Consul, service-router): those behind one that takes every call
  /// are never used.
  private mutating func follow(
    _ node: DiscoveryChain.Node, _ share: Double, _ depth: Int
  ) throws(Refusal) {
    guard let route = node.routes.first else {
      throw Refusal("router \(quoted(node.name)) has no routes")
    }
    let definition = route.definition?.fields ?? [:]
    let conditions = ChainRoutes.conditions(definition["Match"])
    guard conditions.isEmpty else {
      throw Refusal(
        "router \(quoted(node.name)) has a route for \(shown(conditions.joined(separator: ", "))); "
          + "without a proxy only a route that takes every call can be followed")
    }
    let places: Set = ["Service", "ServiceSubset", "Namespace", "Partition"]
    for (name, value) in (definition["Destination"]?.fields ?? [:]).sorted(by: { $0.key < $1.key })
    where !places.contains(name) && !value.isEmpty {
      guard name != "PrefixRewrite" else {
        throw Refusal(
          "router \(quoted(node.name)) has a route that changes the path (PrefixRewrite)")
      }
      skip("\(shown(name)) of router \(shown(node.name))")
    }
    try visit(route.nextNode, share: share, depth: depth + 1)
  }

  private mutating func split(
    _ node: DiscoveryChain.Node, _ share: Double, _ depth: Int
  ) throws(Refusal) {
    for split in node.splits where !(0...100).contains(split.weight) {
      throw Refusal("splitter \(quoted(node.name)) has the weight \(split.weight)")
    }
    // 100, or nearly so: Consul rounds what it multiplies.
    let sum = node.splits.reduce(0) { $0 + $1.weight }
    guard sum > 0 else { throw Refusal("splitter \(quoted(node.name)) has no weight above 0") }
    for split in node.splits where split.weight > 0 {
      for name in ["RequestHeaders", "ResponseHeaders"]
      where split.definition?.fields[name]?.isEmpty == false {
        skip("\(name) of splitter \(shown(node.name))")
      }
      try visit(split.nextNode, share: share * split.weight / sum, depth: depth + 1)
    }
  }

  mutating func targets(
    of resolver: DiscoveryChain.Resolver
  ) throws(Refusal) -> [ChainRoutes.Target] {
    var targets: [ChainRoutes.Target] = []
    for id in [resolver.target] + resolver.failover {
      guard let found = chain.targets[id] else { throw Refusal("it has no target \(quoted(id))") }
      guard !found.service.isEmpty else { throw Refusal("target \(quoted(id)) names no service") }
      let target = ChainRoutes.Target(found, in: chain)
      // It becomes part of log lines and notes.
      guard target.name.unicodeScalars.allSatisfy({ $0.value >= 0x20 && $0.value != 0x7F }) else {
        throw Refusal("target \(quoted(id)) has control characters in its names")
      }
      if !found.meshGateway.isEmpty, found.meshGateway != "none" {
        skip("the mesh gateway (\(shown(found.meshGateway))) of \(shown(target.name))")
      }
      guard known[target.name, default: target] == target else {
        throw Refusal("two targets are \(quoted(target.name))")
      }
      known[target.name] = target
      if !targets.contains(target) { targets.append(target) }
      guard targets.count <= ChainRoutes.maximumTargets else { break }  // refused as too many
    }
    if resolver.requestTimeout?.isEmpty == false {
      skip("RequestTimeout of \(shown(targets[0].name))")
    }
    if case .string(let mode)? = resolver.failoverPolicy?.fields["Mode"],
      !["", "sequential"].contains(mode)
    {
      skip("the failover mode \(shown(mode)) of \(shown(targets[0].name))")
    }
    return targets
  }

  private mutating func skip(_ what: String) {
    guard notApplied.count < 20, !notApplied.contains(what) else { return }
    notApplied.append(what)
  }

  /// Names from the answer, cut to what fits a line.
  private func shown(_ text: String) -> String {
    let visible = text.unicodeScalars.filter { $0.value >= 0x20 && $0.value != 0x7F }.prefix(80)
    return String(String.UnicodeScalarView(visible))
  }
  private func quoted(_ text: String) -> String { "\"\(shown(text))\"" }
}

extension ChainRoutes {
  /// The conditions of a route, for a text; empty if it takes every call.
  fileprivate static func conditions(_ match: JSONValue?) -> [String] {
    var conditions: [String] = []
    for (kind, value) in (match?.fields ?? [:]).sorted(by: { $0.key < $1.key }) {
      guard kind == "HTTP" else {
        if !value.isEmpty { conditions.append(kind) }
        continue
      }
      for (name, value) in value.fields.sorted(by: { $0.key < $1.key })
      where !value.isEmpty && !(name == "PathPrefix" && value == .string("/")) {
        if case .string(let text) = value {
          conditions.append("\(name) \(text)")
        } else if name != "CaseInsensitive" {
          conditions.append(name)
        }
      }
    }
    return conditions
  }
}

extension ChainRoutes.Target {
  init(_ target: DiscoveryChain.Target, in chain: DiscoveryChain) {
    service = target.service
    filter = target.filter.isEmpty ? nil : target.filter
    onlyPassing = target.onlyPassing
    func foreign(_ value: String, _ own: String) -> String? {
      value.isEmpty || value == own ? nil : value
    }
    peer = foreign(target.peer, "")
    // A peer's instances are asked for at the local servers.
    datacenter = peer == nil ? foreign(target.datacenter, chain.datacenter) : nil
    namespace = foreign(target.namespace, chain.namespace)
    partition = peer == nil ? foreign(target.partition, chain.partition) : nil
    let subset = target.subset.isEmpty ? "" : "\(target.subset)."
    let places = [namespace, partition, datacenter, peer].compactMap { $0 }
    let suffix = places.isEmpty ? "" : "@\(places.joined(separator: "."))"
    name = "\(subset)\(target.service)\(suffix)"
  }
}

extension JSONValue {
  /// Of an object; none of anything else.
  fileprivate var fields: [String: JSONValue] {
    if case .object(let fields) = self { fields } else { [:] }
  }

  /// Go's zero value.
  fileprivate var isEmpty: Bool {
    switch self {
    case .null: true
    case .bool(let bool): !bool
    case .number(let number): number == 0
    case .string(let text): text.isEmpty
    case .array(let array): array.isEmpty
    case .object(let fields): fields.values.allSatisfy(\.isEmpty)
    }
  }
}
