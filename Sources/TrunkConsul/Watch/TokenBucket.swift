// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// A rate limit: `capacity` at once, then one per `interval`. Time is an argument.
package struct TokenBucket: Sendable, Hashable {
  package typealias Instant = ContinuousClock.Instant

  private let capacity: Int
  private let interval: Duration
  /// When the bucket would be full again if nothing more were taken; the level follows from it.
  private var fullAt: Instant?

  package init(capacity: Int, interval: Duration) {
    self.capacity = max(1, capacity)
    self.interval = interval
  }

  /// The time until a token is available; zero if one is now.
  package func delay(at now: Instant) -> Duration {
    guard let fullAt, fullAt > now else { return .zero }
    let wanted = fullAt - now - interval * (capacity - 1)
    return max(.zero, wanted)
  }

  /// Takes one token, even one that is not available yet: wait for ``delay(at:)`` first.
  package mutating func take(at now: Instant) {
    fullAt = max(fullAt ?? now, now) + interval
  }

  /// Returns one token.
  package mutating func refund() {
    fullAt = fullAt.map { $0 - interval }
  }
}
