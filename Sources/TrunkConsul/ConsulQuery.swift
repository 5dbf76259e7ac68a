// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// The parameters of `GET /v1/health/service/:name` (Consul, Health API): the service and
/// everything that filters or orders its instances. Equal queries to one agent share one watch.
package struct ConsulQuery: Sendable, Hashable {
  package enum Consistency: String, Sendable, Hashable { case `default`, stale, consistent }
  package enum Health: Sendable, Hashable {
    /// The agent leaves out instances with a check that is not passing. The default.
    case passing
    /// Passing and warning instances; filtered by this library (Consul, Health API).
    case warning
    /// Every instance, with checks in any state.
    case any
  }

  package var service: String
  package var health = Health.passing
  /// All must be there (AND).
  package var tags: [String] = []
  package var datacenter: String?
  package var namespace: String?
  package var partition: String?
  package var near: String?
  package var filter: String?
  /// `key:value` pairs.
  package var nodeMeta: [String] = []
  package var consistency = Consistency.default
  package var cached = false
  /// How long ago the server of a stale answer may have heard of the leader (Consul, Consistency
  /// Modes); an older one is asked for once more without `stale`. Default 10 s; nil: any age.
  package var maxStale: Duration? = .seconds(10)
  /// How long one long poll may wait for a change, 1 s...10 min (Consul, Blocking Queries). Default
  /// 60 s: the death of an agent is noticed after that time and a margin, and an abandoned poll
  /// holds its connection at the agent no longer (measured with 1.8.7).
  package var wait = Duration.seconds(60)
  /// The tagged address to use instead of the service's own, e.g. `wan` (Consul, Health API).
  package var taggedAddress: String?

  package init(_ service: String) { self.service = service }

  /// The request of one query. With `index` nil the agent answers at once.
  package func request(index: UInt64?, wait: Duration?, health: Health? = nil) -> HTTPRequest {
    var request = HTTPRequest(.get, "v1", "health", "service", service)
    if (health ?? self.health) == .passing { request.addQuery("passing") }
    for tag in tags { request.addQuery("tag", tag) }
    for pair in nodeMeta { request.addQuery("node-meta", pair) }
    let optional = [
      ("dc", datacenter), ("ns", namespace), ("partition", partition), ("near", near),
      ("filter", filter),
    ]
    for case (let name, let value?) in optional { request.addQuery(name, value) }
    if consistency != .default { request.addQuery(consistency.rawValue) }
    if cached { request.addQuery("cached") }
    if let index { request.addQuery("index", String(index)) }
    if index != nil, let wait { request.addQuery("wait", ConsulDuration.milliseconds(wait)) }
    return request
  }
}
