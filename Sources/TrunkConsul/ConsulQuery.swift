// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// The parameters of `GET /v1/health/service/:name` (Consul, Health API) or one of its relatives: the
/// service and everything that filters or orders its instances. Equal queries to one agent share one
/// watch.
///
///     var query = ConsulQuery("orders")
///     query.tags = ["v2"]
///     query.datacenters = ["dc1", "dc2"]
///     let channel = try GRPCChannel(to: query.target(), resolvers: [.consul()])
///
/// Nothing is checked here: the channel's initializer refuses a target that cannot be, and says why. An
/// empty text counts as none.
public struct ConsulQuery: Sendable, Hashable {
  /// Which of Consul's endpoints is asked.
  public enum Kind: Sendable, Hashable {
    /// `/v1/health/service/:name`.
    case service
    /// `/v1/health/connect/:name`: instances that take Connect's mutual TLS, or their proxies.
    case connect
    /// `/v1/query/:name/execute` (Consul, Prepared Queries): filters, order and failover are in its
    /// definition. It cannot block.
    case prepared
  }
  /// Consul, Consistency Modes.
  public enum Consistency: String, Sendable, Hashable {
    /// The leader answers.
    case `default`
    /// Any server answers; see ``maxStale``.
    case stale
    /// The leader asks its peers before it answers.
    case consistent
  }
  /// Which instances are used.
  public enum Health: Sendable, Hashable {
    /// The agent leaves out instances with a check that is not passing. The default.
    case passing
    /// Passing and warning instances; filtered by this library (Consul, Health API).
    case warning
    /// Every instance, with checks in any state.
    case any
  }

  /// Default: a service.
  public var kind = Kind.service
  /// Its name in Consul. Of a prepared query its name or id.
  public var service: String
  /// Not for a prepared query, whose definition says it. Default: passing.
  public var health = Health.passing
  /// All must be there (AND). Default: none.
  public var tags: [String] = []
  /// In order of preference, at most 16: calls go to the next one while those before it have no usable
  /// instance. Default empty: the agent's own.
  public var datacenters: [String] = []
  /// Consul Enterprise. Default nil: the agent's, see ``ConsulAgent/namespace``.
  public var namespace: String?
  /// Consul Enterprise 1.11. Default nil: the agent's.
  public var partition: String?
  /// A cluster peer whose instances are wanted (Consul 1.13).
  public var peer: String?
  /// Consul Enterprise 1.16.
  public var samenessGroup: String?
  /// `_agent`, or a node's name: instances are ordered by round-trip time from it, and the order is kept.
  public var near: String?
  /// An expression of Consul's filter language (Consul, Filtering).
  public var filter: String?
  /// `key:value` pairs of the node's metadata; all must be there.
  public var nodeMeta: [String] = []
  /// Default: the leader's answer.
  public var consistency = Consistency.default
  /// The agent answers from its cache (Consul, Agent Caching). Default false.
  public var cached = false
  /// The service's discovery chain says which services, subsets and data centers the instances are
  /// from (Consul, Discovery Chain API), and ``health``, ``tags`` and the like are not used. Default false.
  public var chain = false
  /// How long ago the server of a stale answer may have heard of the leader (Consul, Consistency
  /// Modes); an older one is asked for once more without `stale`. Default 10 s; nil: any age.
  public var maxStale: Duration? = .seconds(10)
  /// How long one long poll may wait for a change, 1 s...10 min (Consul, Blocking Queries). Default
  /// 60 s: the death of an agent is noticed after that time and a margin, and an abandoned poll
  /// holds its connection at the agent no longer (measured with 1.8.7).
  public var wait = Duration.seconds(60)
  /// Between two executions of a prepared query, ±20 %. Default 10 s.
  public var interval = Duration.seconds(10)
  /// The tagged address to use instead of the service's own, e.g. `wan` (Consul, Health API).
  public var taggedAddress: String?

  /// The instances of a service that pass all their checks.
  public init(_ service: String) { self.service = service }

  /// The only, or the first data center.
  package var datacenter: String? {
    get { datacenters.first }
    set { datacenters = newValue.map { [$0] } ?? [] }
  }

  /// The request of one query. With `index` nil the agent answers at once.
  package func request(index: UInt64?, wait: Duration?, health: Health? = nil) -> HTTPRequest {
    var request =
      switch kind {
      case .service: HTTPRequest(.get, "v1", "health", "service", service)
      case .connect: HTTPRequest(.get, "v1", "health", "connect", service)
      case .prepared: HTTPRequest(.get, "v1", "query", service, "execute")
      }
    if kind != .prepared, (health ?? self.health) == .passing { request.addQuery("passing") }
    for tag in tags { request.addQuery("tag", tag) }
    for pair in nodeMeta { request.addQuery("node-meta", pair) }
    let optional = [
      ("dc", datacenter), ("ns", namespace), ("partition", partition), ("peer", peer),
      ("sg", samenessGroup), ("near", near), ("filter", filter),
    ]
    for case (let name, let value?) in optional { request.addQuery(name, value) }
    if consistency != .default { request.addQuery(consistency.rawValue) }
    if cached { request.addQuery("cached") }
    if let index { request.addQuery("index", String(index)) }
    if index != nil, let wait { request.addQuery("wait", ConsulDuration.milliseconds(wait)) }
    return request
  }

  /// The oldest agent that knows all parameters, and the one that it has to know: older ones ignore it,
  /// and answer something else.
  package var leastVersion: (version: ConsulVersion, parameter: String)? {
    if samenessGroup != nil { return (ConsulVersion(1, 16), "sg") }
    if peer != nil { return (ConsulVersion(1, 13), "peer") }
    return partition == nil ? nil : (ConsulVersion(1, 11), "partition")
  }
}
