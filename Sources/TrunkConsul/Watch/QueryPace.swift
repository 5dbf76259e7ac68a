// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// How often one watch may query (Consul, Blocking Queries). Two buckets:
///
/// - Ten queries at once, then two a second. Since every answer holds all changes up to its moment,
///   a change waits at most 0.5 s, however fast others follow it.
/// - Answers that changed nothing (an absent service is woken by everything in the catalogue:
///   measured with 1.8.7) draw on a second bucket: 300 at once, then one in 15 s. Only after 300
///   such answers within two and a half minutes may a change wait longer, 15 s at most.
package struct QueryPace: Sendable, Hashable {
  package typealias Instant = ContinuousClock.Instant

  package static let burst = 10
  package static let interval = Duration.milliseconds(500)
  package static let idleBurst = 300
  package static let idleInterval = Duration.seconds(15)

  private var bucket = TokenBucket(capacity: burst, interval: interval)
  private var idle = TokenBucket(capacity: idleBurst, interval: idleInterval)

  package init() {}

  package func delay(at now: Instant) -> Duration {
    max(bucket.delay(at: now), idle.delay(at: now))
  }

  package mutating func asked(at now: Instant) {
    bucket.take(at: now)
    idle.take(at: now)
  }

  /// A useful answer takes nothing from the second bucket.
  package mutating func answered(useful: Bool) {
    if useful { idle.refund() }
  }
}
