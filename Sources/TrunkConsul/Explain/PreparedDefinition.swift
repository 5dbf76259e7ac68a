// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// What a prepared query asks for: `GET /v1/query/:name/explain` (Consul, Prepared Queries).
struct PreparedDefinition: Decodable, Sendable {
  var service = ""
  /// False takes instances with a warning as well; critical ones are never taken.
  var onlyPassing = false
  /// With `!` before it: a tag that must not be there.
  var tags: [String] = []
  var nodeMeta: [String: String] = [:]
  var serviceMeta: [String: String] = [:]
  /// Checks that do not count.
  var ignoredChecks: [String] = []
  var isConnect = false
  var failover: [String] = []

  private enum Key: String, CodingKey {
    case query = "Query", service = "Service", onlyPassing = "OnlyPassing", tags = "Tags"
    case nodeMeta = "NodeMeta", serviceMeta = "ServiceMeta", ignoredChecks = "IgnoreCheckIDs"
    case connect = "Connect", failover = "Failover", datacenters = "Datacenters"
  }
  init() {}
  init(from decoder: any Decoder) throws {
    let fields = try decoder.container(keyedBy: Key.self)
      .nestedContainer(keyedBy: Key.self, forKey: .query)
      .nestedContainer(keyedBy: Key.self, forKey: .service)
    service = try fields.decode(String.self, forKey: .service)
    onlyPassing = try fields.decodeIfPresent(Bool.self, forKey: .onlyPassing) ?? false
    tags = try fields.decodeIfPresent([String].self, forKey: .tags) ?? []
    nodeMeta = try fields.decodeIfPresent([String: String].self, forKey: .nodeMeta) ?? [:]
    serviceMeta = try fields.decodeIfPresent([String: String].self, forKey: .serviceMeta) ?? [:]
    ignoredChecks = try fields.decodeIfPresent([String].self, forKey: .ignoredChecks) ?? []
    isConnect = try fields.decodeIfPresent(Bool.self, forKey: .connect) ?? false
    let failover = try? fields.nestedContainer(keyedBy: Key.self, forKey: .failover)
    self.failover = (try? failover?.decode([String].self, forKey: .datacenters)) ?? []
  }

  /// The health query with its conditions, as far as one has them.
  func query(like prepared: ConsulQuery) -> ConsulQuery {
    var query = prepared
    query.kind = isConnect ? .connect : .service
    query.service = service
    query.health = onlyPassing ? .passing : .warning
    query.tags = tags.filter { !$0.hasPrefix("!") }
    query.nodeMeta = nodeMeta.map { "\($0.key):\($0.value)" }.sorted()
    return query
  }

  /// `service orders, passing, tags v2, failover to dc2`
  var text: String {
    var facts = ["service \(service)", onlyPassing ? "passing" : "passing and warning"]
    if isConnect { facts.append("connect") }
    if !tags.isEmpty { facts.append("tags \(tags.joined(separator: ","))") }
    for (name, pairs) in [("node meta", nodeMeta), ("service meta", serviceMeta)]
    where !pairs.isEmpty {
      let list = pairs.map { "\($0.key):\($0.value)" }.sorted().joined(separator: ",")
      facts.append("\(name) \(list)")
    }
    if !failover.isEmpty { facts.append("failover to \(failover.joined(separator: ","))") }
    return facts.joined(separator: ", ")
  }
}
