// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// `random_subsetting_experimental` (gRFC A68): its child gets a few of the endpoints, chosen by
/// rendezvous hashing with a seed of its own, so that each client has other ones.
///
/// An endpoint that comes or goes changes at most one of the chosen ones. The child gets them in the
/// order of their hashes, which for pick_first is another one for each client.
package struct RandomSubsetting: Balancer {
  package static var name: String { "random_subsetting_experimental" }

  /// `{"subsetSize": n, "childPolicy": [...]}`
  package struct Config: Sendable {
    /// At least 1.
    var subsetSize: Int
    var child: PreparedPolicy
  }

  package static func parse(_ json: [UInt8]) throws(ServiceConfigError) -> Config {
    try parse(json, policies: BalancerRegistry())
  }
  package static func parse(
    _ json: [UInt8], policies: BalancerRegistry
  ) throws(ServiceConfigError) -> Config {
    let fields = try JSONReader(JSONValue(parsing: json), path: name)
    return Config(
      subsetSize: try fields.required(
        "subsetSize", fields.integer("subsetSize", in: 1...Int(UInt32.max))),
      child: try policies.prepare("childPolicy", of: fields))
  }

  private var config: Config
  private var child = ChildPolicy()
  private var seed: UInt64?

  package init(_ config: Config) { self.config = config }
  /// True: the seed is kept, so that the subset grows or shrinks with its size.
  package mutating func reconfigure(_ config: Config) -> Bool {
    self.config = config
    return true
  }

  package mutating func handle(_ event: BalancerEvent, _ actions: inout BalancerActions) {
    var isChanged = false
    var event = event
    if case .resolved(var resolution) = event {
      let seed = seed ?? actions.random.next()
      self.seed = seed
      resolution.endpoints = subset(resolution.endpoints, seed)
      event = .resolved(resolution)
      isChanged = child.install(config.child, &actions)
    }
    if child.handle(event, &actions) || isChanged { actions.changed(child.state) }
  }

  package func explain(now: UInt64) -> PolicyExplanation {
    PolicyExplanation(
      RandomSubsetting.name, children: child.explain(now: now).map { [.init("", $0)] } ?? [])
  }

  package mutating func makePicker() -> any Picker { child.makePicker() }

  /// The endpoints with the lowest hashes; all if there are no more.
  private func subset(_ endpoints: [Endpoint], _ seed: UInt64) -> [Endpoint] {
    guard endpoints.count > config.subsetSize else { return endpoints }
    var seen: Set<Endpoint.Identity> = []
    let hashed = endpoints.filter { !$0.addresses.isEmpty && seen.insert($0.identity).inserted }
      .map { (hash: rendezvousHash($0.identity, seed), endpoint: $0) }
    return hashed.sorted { $0.hash < $1.hash }.prefix(config.subsetSize).map(\.endpoint)
  }
}

/// FNV-1a over the endpoint's names, mixed so that each bit depends on each of the seed.
private func rendezvousHash(_ endpoint: Endpoint.Identity, _ seed: UInt64) -> UInt64 {
  var hash = mixed(seed)
  let names = endpoint.addresses.map(\.description) + [endpoint.instanceID ?? ""]
  for name in names {
    for byte in name.utf8 { hash = (hash ^ UInt64(byte)) &* 0x0000_0100_0000_01b3 }
    hash = mixed(hash)
  }
  return hash
}
