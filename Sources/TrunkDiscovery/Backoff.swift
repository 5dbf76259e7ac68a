// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// connection-backoff.md: how long from the *start* of one attempt to the start of the
/// next. 1 s, then 1.6 times as long each time, at most 120 s, ±20 %.
package struct Backoff: Sendable, Hashable {
  package var initial = Duration.seconds(1)
  package var multiplier = 1.6
  package var maximum = Duration.seconds(120)
  /// Each delay is multiplied by a number of `1-jitter ... 1+jitter`.
  package var jitter = 0.2
  /// For the first delay, instead of ``jitter``: more where many clients lose a server in the same
  /// moment. nil: the same.
  package var firstJitter: Double?
  /// How many delays were taken since the last reset.
  package private(set) var attempts = 0
  private var base: Double?

  package init() {}

  /// The delay after the attempt that begins now, in nanoseconds.
  package mutating func next(using random: inout some RandomNumberGenerator) -> UInt64 {
    let current = min(base ?? initial / .seconds(1), maximum / .seconds(1))
    base = min(current * multiplier, maximum / .seconds(1))
    let jitter = attempts == 0 ? firstJitter ?? jitter : jitter
    attempts &+= 1
    let factor = jitter > 0 ? Double.random(in: (1 - jitter)...(1 + jitter), using: &random) : 1
    let nanoseconds = current * factor * 1e9
    // An option may hold any duration; a day is the longest delay.
    return UInt64(max(0, min(nanoseconds, 86_400e9)))
  }

  /// Only after the server's SETTINGS arrived, not after TCP or TLS; or on a network change.
  package mutating func reset() {
    base = nil
    attempts = 0
  }
}
