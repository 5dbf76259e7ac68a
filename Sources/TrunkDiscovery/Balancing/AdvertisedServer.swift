// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// A server as a registration sees it: where it listens, and whether it says that it is well.
public protocol AdvertisedServer: AnyObject, Sendable {
  /// The addresses it accepts on; suspends until it listens.
  /// - Throws: what kept it from listening, or `CancellationError`.
  func listeningAddresses() async throws -> [Address]
  /// Sets what the health service answers for `name` (empty: the whole server).
  func setServing(_ name: String, _ serving: Bool) async
}
