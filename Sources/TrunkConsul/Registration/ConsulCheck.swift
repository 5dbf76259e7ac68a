// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
public import TrunkDiscovery

/// How Consul finds out whether a registered server is well.
public struct ConsulCheck: Sendable, Hashable {
  package enum Kind: Sendable, Hashable {
    case grpc(Address?)
    case tcp(Address?)
    case http(String)
    case ttl
    case none
  }

  package var kind: Kind
  /// Between two checks, or the life of a TTL. The agent raises less than 1 s to 1 s.
  package var interval: Duration
  /// How long one check may take; nil leaves it to the agent (10 s).
  package var timeout: Duration?
  /// How the agent speaks to a server that wants TLS; nil: plaintext.
  package var tls: TLS?

  /// TLS from the agent to the server. A server that requires client certificates gets the
  /// agent's own only with `enable_agent_tls_for_checks` in the agent's configuration.
  public struct TLS: Sendable, Hashable {
    /// Whether the agent checks the server's certificate, against its own CAs.
    public var verifiesServer: Bool
    /// The name to expect; left out for agents before 1.9, which do not know the field.
    public var serverName: String?

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

  /// The agent calls `grpc.health.v1.Health/Check` with the service's name.
  /// - Parameters:
  ///   - address: where the *agent* reaches the server; the advertised address if nil.
  ///   - tls: for a server that wants TLS.
  public static func grpc(
    every interval: Duration = .seconds(10), timeout: Duration? = nil, at address: Address? = nil,
    tls: TLS? = nil
  ) -> ConsulCheck {
    ConsulCheck(kind: .grpc(address), interval: interval, timeout: timeout, tls: tls)
  }

  /// The agent connects, no more.
  public static func tcp(
    every interval: Duration = .seconds(10), timeout: Duration? = nil, at address: Address? = nil
  ) -> ConsulCheck {
    ConsulCheck(kind: .tcp(address), interval: interval, timeout: timeout)
  }

  /// The agent gets a URL: 2xx is passing, 429 warning.
  public static func http(
    _ url: String, every interval: Duration = .seconds(10), timeout: Duration? = nil
  ) -> ConsulCheck {
    ConsulCheck(kind: .http(url), interval: interval, timeout: timeout)
  }

  /// The registration tells the agent that it lives, three times within `life`: for servers
  /// that the agent cannot reach.
  public static func ttl(_ life: Duration) -> ConsulCheck {
    ConsulCheck(kind: .ttl, interval: life, timeout: nil)
  }

  /// No check: passing for as long as its node is.
  public static let none = ConsulCheck(kind: .none, interval: .seconds(10), timeout: nil)
}

/// How big a share of the calls an instance should get while passing and while warning, 1...65535
/// each. Consul's default is 1 and 1.
public struct ConsulWeights: Sendable, Hashable {
  public var passing: UInt16
  public var warning: UInt16
  public init(passing: UInt16, warning: UInt16 = 1) {
    // V-16: the agent refuses 0.
    self.passing = max(1, passing)
    self.warning = max(1, warning)
  }
}
