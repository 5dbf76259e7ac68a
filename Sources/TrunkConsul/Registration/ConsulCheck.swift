// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
public import TrunkDiscovery

/// How Consul checks the health of a registered server (Consul, Agent Check API).
///
/// Script, Docker and operating-system checks are not offered: an agent runs them only where its
/// configuration allows it.
public struct ConsulCheck: Sendable, Hashable {
  package enum Kind: Sendable, Hashable {
    case grpc(Address?)
    case tcp(Address?)
    case udp(Address?)
    case h2ping(Address?)
    case http(HTTP)
    case ttl
    case alias(service: String?, node: String?)
    case none
  }
  package struct HTTP: Sendable, Hashable {
    package var url: String
    package var method: String?
    package var headers: [String: String] = [:]
    package var body: String?
  }

  package var kind: Kind
  /// Between two checks, or the TTL. The agent raises less than 1 s to 1 s.
  package var interval: Duration
  /// Limit of one check; nil: ``effectiveTimeout``.
  package var timeout: Duration?
  /// How the agent connects to the server; nil: as the server does, without verifying it.
  package var tls: TLS?

  /// The last part of the check's id on the agent, `service:INSTANCE:ID`; unique in the instance.
  /// Default: none for an instance's only check (`service:INSTANCE`); its kind, numbered from the
  /// second of a kind on, where there are several: the order of different kinds is of no importance.
  public var id: String?
  /// Shown in Consul's interface. Default: Consul's, `Service 'orders' check`.
  public var name: String?
  /// For people; not used by Consul.
  public var notes: String?
  /// Checks in a row that must pass before it turns passing; default 0: one. From Consul 1.7 on.
  public var successBeforePassing = 0
  /// Checks in a row that must fail before it turns critical; default 0: one. From Consul 1.7 on.
  public var failuresBeforeCritical = 0
  /// Checks in a row that must fail before it turns to warning, at most ``failuresBeforeCritical``;
  /// default nil: the same as that. From Consul 1.11 on.
  public var failuresBeforeWarning: Int?

  /// TLS from the agent to the server (Consul, Agent Check API). A server that requires client
  /// certificates gets the agent's own only with `enable_agent_tls_for_checks` in the agent's
  /// configuration (Consul, Agent Check API).
  public struct TLS: Sendable, Hashable {
    /// Whether the agent verifies the server's certificate, against its own CAs.
    public var verifiesServer: Bool
    /// The name to verify; left out for agents before 1.9, which do not know the field.
    public var serverName: String?
    var isOff = false

    /// Plaintext, even if the server uses TLS: for a proxy before it that terminates TLS.
    public static let off: TLS = {
      var tls = TLS()
      tls.isOff = true
      return tls
    }()

    /// - Parameters: see the properties of the same names.
    public init(verifiesServer: Bool = true, serverName: String? = nil) {
      self.verifiesServer = verifiesServer
      self.serverName = serverName
    }
  }

  package init(kind: Kind, interval: Duration, timeout: Duration? = nil, tls: TLS? = nil) {
    self.kind = kind
    self.interval = interval
    self.timeout = timeout
    self.tls = tls
  }

  /// The agent calls `grpc.health.v1.Health/Check` with the service's name (Consul, Agent Check
  /// API).
  /// - Parameters:
  ///   - timeout: default: 3 s, or the interval if that is shorter.
  ///   - address: where the *agent* connects to the server; nil: the advertised address.
  ///   - tls: default: TLS if the server uses TLS. The agent does not verify it then: it is next to
  ///     it, connects to an address, and has CAs of its own.
  public static func grpc(
    every interval: Duration = .seconds(10), timeout: Duration? = nil, at address: Address? = nil,
    tls: TLS? = nil
  ) -> ConsulCheck {
    ConsulCheck(kind: .grpc(address), interval: interval, timeout: timeout, tls: tls)
  }

  /// The agent connects by TCP, no more.
  public static func tcp(
    every interval: Duration = .seconds(10), timeout: Duration? = nil, at address: Address? = nil
  ) -> ConsulCheck {
    ConsulCheck(kind: .tcp(address), interval: interval, timeout: timeout)
  }

  /// The agent sends a datagram and takes any answer, or none, but no ICMP error. From Consul 1.13
  /// on: an older agent is an error.
  public static func udp(
    every interval: Duration = .seconds(10), timeout: Duration? = nil, at address: Address? = nil
  ) -> ConsulCheck {
    ConsulCheck(kind: .udp(address), interval: interval, timeout: timeout)
  }

  /// The agent sends an HTTP/2 PING: for servers without a health service. From Consul 1.10 on, and
  /// from 1.11 on without TLS: an older agent is an error.
  /// - Parameter tls: default: TLS if the server uses TLS, not verified.
  public static func h2ping(
    every interval: Duration = .seconds(10), timeout: Duration? = nil, at address: Address? = nil,
    tls: TLS? = nil
  ) -> ConsulCheck {
    ConsulCheck(kind: .h2ping(address), interval: interval, timeout: timeout, tls: tls)
  }

  /// The agent requests a URL: 2xx is passing, 429 warning, anything else critical.
  /// - Parameters:
  ///   - url: `http://` or `https://`; the agent connects to it.
  ///   - method: default GET.
  ///   - headers: each is sent once.
  ///   - body: from Consul 1.7 on.
  ///   - tls: for `https://`; default: verified against the agent's CAs.
  public static func http(
    _ url: String, method: String? = nil, headers: [String: String] = [:], body: String? = nil,
    every interval: Duration = .seconds(10), timeout: Duration? = nil, tls: TLS? = nil
  ) -> ConsulCheck {
    ConsulCheck(
      kind: .http(HTTP(url: url, method: method, headers: headers, body: body)),
      interval: interval, timeout: timeout, tls: tls)
  }

  /// The registration sends the server's status to the agent, three times within `life` (Consul,
  /// Agent Check API) and every 3 s at least: passing, or critical while its health service has the
  /// name as NOT_SERVING. For servers that the agent cannot connect to.
  public static func ttl(_ life: Duration) -> ConsulCheck {
    ConsulCheck(kind: .ttl, interval: life)
  }

  /// As healthy as another instance that is registered.
  /// - Parameters:
  ///   - service: the other's id, not its name.
  ///   - node: the node that it is registered on; nil: this agent's. From Consul 1.19 on: an older
  ///     agent is an error, because its whole process ends when the node is not in the catalogue, now
  ///     or later (consul#21339; measured with 1.8.7).
  public static func alias(ofService service: String, onNode node: String? = nil) -> ConsulCheck {
    ConsulCheck(kind: .alias(service: service, node: node), interval: .seconds(10))
  }

  /// As healthy as a node. From Consul 1.19 on, see ``alias(ofService:onNode:)``.
  public static func alias(ofNode node: String) -> ConsulCheck {
    ConsulCheck(kind: .alias(service: nil, node: node), interval: .seconds(10))
  }

  /// No check: passing for as long as its node is.
  public static let none = ConsulCheck(kind: .none, interval: .seconds(10))
}
