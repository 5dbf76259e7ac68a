// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
public import TrunkDiscovery

/// What of a registered service may change while it runs; see ``ConsulRegistration/update(_:)``.
///
/// What Consul would refuse is refused before it is sent, by ``ConsulError/invalidService(_:reason:)``.
public struct ConsulService: Sendable, Hashable {
  /// None by default.
  public var tags: [String] = []
  /// At most 64 pairs: keys of 1 to 128 characters `[A-Za-z0-9_-]` that do not begin with `consul-`,
  /// values of at most 512 bytes (Consul, Agent Service API; measured with 1.8.7).
  public var meta: [String: String] = [:]
  /// nil: Consul's default, 1 and 1.
  public var weights: ConsulWeights?
  /// Further addresses by name, e.g. `wan`, for clients that ask for one (`address=wan` in a
  /// target). Port 0 stands for the registered port. `lan_ipv4` and `wan_ipv4` take IPv4 addresses,
  /// `lan_ipv6` and `wan_ipv6` IPv6 ones; the agent adds those of the service's address itself.
  public var taggedAddresses: [String: Address] = [:]
  /// Whether others may change the tags in the catalogue (`EnableTagOverride`). Default false: the
  /// agent reverts such changes (Consul, Anti-Entropy). While it is true, tags are not compared, and
  /// a registration again keeps those in the catalogue until ``tags`` is changed.
  public var allowsTagOverride = false

  /// No tags, no metadata.
  public init() {}
}

/// The share of the calls that an instance should get while passing and while warning, 1...65535
/// each (Consul, Agent Service API). Consul's default is 1 and 1.
public struct ConsulWeights: Sendable, Hashable {
  /// While every check passes; 1 or more.
  public var passing: UInt16
  /// While a check is warning; 1 or more.
  public var warning: UInt16
  /// A registration with 0 fails, as the agent would refuse it.
  public init(passing: UInt16, warning: UInt16 = 1) {
    self.passing = passing
    self.warning = warning
  }
}
