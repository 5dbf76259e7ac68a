// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// Whether a loop without work polls for a while before it blocks: waking a blocked thread costs
/// more than a short poll, above all on a virtual CPU that halts. A value: no clock.
///
/// ```
///   idle ── a wait ended within twice the limit ──► busy: polls for up to the limit, then blocks
///    ▲────── nothing came for so long ───────────────┘
/// ```
/// So a quiet loop costs nothing, and one with frequent calls answers at once.
struct BusyPoll: Sendable {
  /// Nanoseconds; 0 never polls.
  let limit: UInt64
  private(set) var isWorthwhile = false

  init(limit: UInt64) { self.limit = limit }

  /// A wait of this length has ended.
  mutating func waited(_ nanoseconds: UInt64) {
    isWorthwhile = limit > 0 && nanoseconds / 2 <= limit
  }
}
