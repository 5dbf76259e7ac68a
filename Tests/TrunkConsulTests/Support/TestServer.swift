// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Synchronization
import TrunkDiscovery
import TrunkSockets

/// A server that only says where it listens and remembers what it was told to serve.
final class TestServer: AdvertisedServer {
  private let addresses: [Address]
  private let told = Locked<[String]>([])
  private let onServing: @Sendable (Bool) -> Void

  init(_ addresses: Address..., onServing: @escaping @Sendable (Bool) -> Void = { _ in }) {
    self.addresses = addresses
    self.onServing = onServing
  }
  /// `+name` and `-name` in order.
  var serving: [String] { told.withLock { $0 } }

  func listeningAddresses() async throws -> [Address] { addresses }
  func setServing(_ name: String, _ serving: Bool) async {
    told.withLock { $0.append((serving ? "+" : "-") + name) }
    onServing(serving)
  }
}

/// Suspends until something is so; fails by returning false after a limit.
func eventually(
  within limit: Duration = .seconds(10), _ condition: () async throws -> Bool
) async throws -> Bool {
  let deadline = ContinuousClock.now + limit
  while ContinuousClock.now < deadline {
    if try await condition() { return true }
    try await Task.sleep(for: .milliseconds(5))
  }
  return try await condition()
}
