// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
public import TrunkDiscovery

/// A channel in a group of services: list it before those that use it. It can be used before
/// ``run()``, and is closed when they have stopped.
extension GRPCChannel: LongRunning {
  /// Returns when the channel is closed: by ``shutDown()``, ``close()``, or the graceful shutdown
  /// of its service group. Cancelling its task closes it without waiting for calls under way.
  public func run() async throws {
    try await GracefulStop.observe({ self.shutDown() }) {
      for await state in self.stateChanges where state == .shutdown { break }
      guard !Task.isCancelled else { return self.shutDown() }
      await self.close()
    }
  }

  /// Begins to close, as ``close()`` does, and returns at once.
  public func shutDown() { context.onControlLoop { $0.shutDown() } }
}
