// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// An agent's version, as far as features depend on it: `1.8.7`, `1.16.0-dev`, `1.15.2+ent`.
package struct ConsulVersion: Sendable, Hashable, Comparable, CustomStringConvertible {
  package var major: Int
  package var minor: Int

  /// `TLSServerName` of a check (Consul, Agent Check API).
  package static let checksWithServerName = ConsulVersion(1, 9)
  /// `SuccessBeforePassing`, `FailuresBeforeCritical` and `Body` of a check (Consul, changelog).
  package static let checksWithThresholds = ConsulVersion(1, 7)
  /// `FailuresBeforeWarning` of a check (Consul, changelog).
  package static let checksWithWarningThreshold = ConsulVersion(1, 11)
  /// consul#8431.
  package static let h2pingChecks = ConsulVersion(1, 10)
  /// `H2PingUseTLS` (consul#10690).
  package static let h2pingWithoutTLS = ConsulVersion(1, 11)
  /// consul#12722.
  package static let udpChecks = ConsulVersion(1, 13)

  /// An older agent ends with a nil pointer when it looks for an alias check's node and the catalogue
  /// does not have it (consul#21339; measured with 1.8.7).
  package static let aliasChecksOfNodes = ConsulVersion(1, 19)

  package init(_ major: Int, _ minor: Int) {
    self.major = major
    self.minor = minor
  }

  package init?(_ text: String) {
    let parts = text.split(separator: ".").prefix(2).compactMap { Int($0) }
    guard parts.count == 2 else { return nil }
    self.init(parts[0], parts[1])
  }

  package var description: String { "\(major).\(minor)" }

  package static func < (one: ConsulVersion, other: ConsulVersion) -> Bool {
    (one.major, one.minor) < (other.major, other.minor)
  }
}
