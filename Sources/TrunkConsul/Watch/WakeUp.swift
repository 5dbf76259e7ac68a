// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import TrunkSockets

/// Ends a back-off early. A request while nothing sleeps is dropped: a query is under way then.
final class WakeUp: Sendable {
  private let isSleeping = Locked(false)
  private let signal: Signal
  private let clock: WatchClock

  init(_ clock: WatchClock) {
    self.clock = clock
    signal = Signal(clock)
  }

  func request() {
    if isSleeping.withLock({ $0 }) { signal.signal() }
  }

  /// - Parameter least: the part of the sleep that a request does not shorten.
  func sleep(for duration: Duration, least: Duration) async throws {
    signal.clear()
    isSleeping.withLock { $0 = true }
    defer { isSleeping.withLock { $0 = false } }
    try await clock.sleep(for: least)
    if duration > least { _ = try await signal.sleep(for: duration - least) }
  }
}
