// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// Whether a loop without work looks a little longer before it sleeps: waking a sleeping thread
/// costs more than a short look, above all on a virtual CPU that halts. A value: no clock.
///
/// ```
///   idle ── a wait ended within twice the limit ──► busy: looks for up to the limit, then sleeps
///    ▲────── nothing came for so long ───────────────┘
/// ```
/// So a quiet loop costs nothing, and one that is called again and again answers at once.
struct BusyPoll: Sendable {
  /// Nanoseconds; 0 never looks.
  let limit: UInt64
  private(set) var isWorthwhile = false

  init(limit: UInt64) { self.limit = limit }

  /// A wait is over that took this long.
  mutating func waited(_ nanoseconds: UInt64) {
    isWorthwhile = limit > 0 && nanoseconds / 2 <= limit
  }
}
