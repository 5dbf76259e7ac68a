// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// A service config that was refused: which field, and what is allowed there.
public struct ServiceConfigError: Error, Sendable, Hashable, CustomStringConvertible {
  /// E.g. `loadBalancingConfig[0].round_robin`.
  public var path: String
  /// One line: what is wrong and what is allowed.
  public var reason: String

  /// For policies that parse a config (``Balancer/parse(_:)``).
  public init(path: String, _ reason: String) {
    self.path = path
    self.reason = reason
  }
  public var description: String { "service config: \(path): \(reason)" }
}
