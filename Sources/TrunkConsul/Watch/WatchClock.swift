// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// The time by which watches pause, hold and linger: the system's, or that of a test. The deadlines of
/// requests are always the system's.
package struct WatchClock: Sendable {
  private let elapsed: @Sendable () -> Duration
  private let wait: @Sendable (Duration) async throws -> Void
  private let start = ContinuousClock.now

  /// The system's clock, which goes on while the machine sleeps.
  package static let system = WatchClock(ContinuousClock())

  package init<Source: Clock>(_ clock: Source) where Source.Duration == Duration {
    let origin = clock.now
    elapsed = { origin.duration(to: clock.now) }
    wait = { try await clock.sleep(until: clock.now.advanced(by: $0), tolerance: nil) }
  }

  package var now: ContinuousClock.Instant { start + elapsed() }

  package func sleep(for duration: Duration) async throws { try await wait(duration) }
}
