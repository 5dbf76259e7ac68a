// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// A health service; `GRPCServer` forwards ``AdvertisedServer/setServing(_:_:)`` to it.
public protocol HealthReporting: RPCService {
  /// The names of its server's services, `package.Service` each: SERVING until something else is
  /// set. Called when the server is made. The default does nothing.
  func serves(_ services: [String])
  /// Sets the status of a service; `name` is empty for the server as a whole.
  func setServing(_ name: String, _ serving: Bool)
  /// The status that it reports for `name`; nil if none is set. Default nil.
  func isServing(_ name: String) -> Bool?
  /// Every name is NOT_SERVING from now on, whatever is set later (health-checking.md).
  func beginShutdown()
}

extension HealthReporting {
  /// nil: not known.
  public func isServing(_ name: String) -> Bool? { nil }
  /// Ignores the names.
  public func serves(_ services: [String]) {}
}
