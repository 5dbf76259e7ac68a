// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// An agent's version, as far as features depend on it: `1.8.7`, `1.16.0-dev`, `1.15.2+ent`.
package struct ConsulVersion: Sendable, Hashable, Comparable, CustomStringConvertible {
  package var major: Int
  package var minor: Int

  /// `TLSServerName` of a check (Consul, Agent Check API).
  package static let checksWithServerName = ConsulVersion(1, 9)

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
