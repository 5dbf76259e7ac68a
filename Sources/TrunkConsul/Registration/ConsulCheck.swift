// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
public import TrunkDiscovery

/// How Consul checks the health of a registered server (Consul, Agent Check API).
public struct ConsulCheck: Sendable, Hashable {
  package enum Kind: Sendable, Hashable {
    case grpc(Address?)
    case tcp(Address?)
    case http(String)
    case ttl
    case none
  }

  package var kind: Kind
  /// Between two checks, or the TTL. The agent raises less than 1 s to 1 s.
  package var interval: Duration
  /// Limit of one check; nil: ``effectiveTimeout``.
  package var timeout: Duration?
  /// How the agent connects to the server; nil: as the server does, without verifying it.
  package var tls: TLS?

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

  package init(kind: Kind, interval: Duration, timeout: Duration?, tls: TLS? = nil) {
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

  /// A server that hangs turns critical within the interval plus this. A health service answers at
  /// once or not at all, so the agent's own 10 s would only delay that; nil leaves it to the agent.
  var effectiveTimeout: Duration? {
    if timeout == nil, case .grpc = kind { return min(max(interval, .seconds(1)), .seconds(3)) }
    return timeout
  }

  /// TLS of a check to a server; nil: plaintext.
  func effectiveTLS(of security: CheckedSecurity) -> TLS? {
    guard let tls else { return security.usesTLS ? TLS(verifiesServer: false) : nil }
    return tls.isOff ? nil : tls
  }

  /// Why it cannot work with this server; nil if no reason is known.
  func obstacle(_ security: CheckedSecurity, hasHealthService: Bool) -> String? {
    guard case .grpc = kind else { return nil }
    let speaksTLS = effectiveTLS(of: security) != nil
    if !hasHealthService {
      return "the server has no health service, which the agent's gRPC check asks; "
        + "add HealthService() to its services, or take another check"
    }
    if speaksTLS != security.usesTLS {
      return "the agent's gRPC check speaks \(speaksTLS ? "TLS" : "plaintext"), "
        + "the server \(security.usesTLS ? "TLS" : "plaintext")"
    }
    if security.requiresClientCertificates {
      return "the server requires client certificates, and the agent shows one to checks only with "
        + "enable_agent_tls_for_checks in its configuration"
    }
    return nil
  }

  /// The agent connects by TCP, no more.
  public static func tcp(
    every interval: Duration = .seconds(10), timeout: Duration? = nil, at address: Address? = nil
  ) -> ConsulCheck {
    ConsulCheck(kind: .tcp(address), interval: interval, timeout: timeout)
  }

  /// The agent GETs a URL: 2xx is passing, 429 warning, anything else critical.
  public static func http(
    _ url: String, every interval: Duration = .seconds(10), timeout: Duration? = nil
  ) -> ConsulCheck {
    ConsulCheck(kind: .http(url), interval: interval, timeout: timeout)
  }

  /// The registration sends the server's status to the agent, three times within `life` (Consul,
  /// Agent Check API) and every 3 s at least: passing, or critical while its health service has the
  /// name as NOT_SERVING. For servers that the agent cannot connect to.
  public static func ttl(_ life: Duration) -> ConsulCheck {
    ConsulCheck(kind: .ttl, interval: life, timeout: nil)
  }

  /// No check: passing for as long as its node is.
  public static let none = ConsulCheck(kind: .none, interval: .seconds(10), timeout: nil)
}

/// The share of the calls that an instance should get while passing and while warning, 1...65535
/// each (Consul, Agent Service API). Consul's default is 1 and 1.
public struct ConsulWeights: Sendable, Hashable {
  /// While every check passes; 1 or more.
  public var passing: UInt16
  /// While a check is warning; 1 or more.
  public var warning: UInt16
  /// 0 counts as 1.
  public init(passing: UInt16, warning: UInt16 = 1) {
    // Measured with 1.8.7: the agent refuses 0.
    self.passing = max(1, passing)
    self.warning = max(1, warning)
  }
}
