// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// A service that tells whether the server is well; `GRPCServer` forwards what it is told.
public protocol HealthReporting: RPCService {
  /// The services of its server, `package.Service` each: well until something else is set. Called
  /// when the server is made. The default does nothing.
  func serves(_ services: [String])
  /// `name` is empty for the server as a whole.
  func setServing(_ name: String, _ serving: Bool)
  /// What it answers for `name`; nil if it has not been told. Default nil.
  func isServing(_ name: String) -> Bool?
  /// Everything is NOT_SERVING from now on, whatever is set later.
  func beginShutdown()
}

extension HealthReporting {
  /// nil: not known.
  public func isServing(_ name: String) -> Bool? { nil }
  /// Ignores the names.
  public func serves(_ services: [String]) {}
}
