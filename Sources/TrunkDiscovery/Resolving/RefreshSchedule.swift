// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// When a resolver that waits between two look-ups goes on: on request or when its answer is too
/// old, whichever is first.
///
/// ```
///   requested ── minInterval since the last look-up ──► due
///   waits with an age ── age over, and leastAge since the last look-up ──► due
/// ```
/// Requests come from failures, which may be as frequent as calls; an age comes from whoever answered, and
/// is followed down to 1 s. A resolver's own interval bounds both.
package struct RefreshSchedule: Sendable, Hashable {
  /// Nanoseconds.
  package let minInterval: UInt64
  private let leastAge: UInt64
  /// Somebody wants a fresher result than the last one.
  package private(set) var isRequested = false
  /// When the last look-up began, on the clock of `now`.
  package private(set) var lastLookUp: UInt64 = 0

  /// - Parameters:
  ///   - own: the resolver's interval (``Resolver/refreshInterval``).
  ///   - requests: between two requests without it.
  package init(own: Duration?, requests: Duration) {
    minInterval = UInt64(clamping: (own ?? requests) / .nanoseconds(1))
    leastAge = UInt64(clamping: (own ?? .seconds(1)) / .nanoseconds(1))
  }

  /// Many requests until the next look-up are one.
  package mutating func request() { isRequested = true }
  /// A look-up begins, for the first time or because it was due.
  package mutating func began(at now: UInt64) {
    lastLookUp = now
    isRequested = false
  }
  /// A result was reported: what was asked for before is answered.
  package mutating func reported() { isRequested = false }

  /// When a request may be granted; nil if there is none.
  package var dueByRequest: UInt64? { isRequested ? lastLookUp.saturating(minInterval) : nil }

  /// When a resolver goes on that waits since `start`; nil: not before a request.
  /// - Parameter age: how old the result may get without a request; nil: any age.
  package func due(waitingSince start: UInt64, age: Duration?) -> UInt64? {
    guard let age else { return dueByRequest }
    let dueByAge = max(
      lastLookUp.saturating(leastAge), start.saturating(UInt64(clamping: age / .nanoseconds(1))))
    return min(dueByRequest ?? .max, dueByAge)
  }
}

extension UInt64 {
  fileprivate func saturating(_ other: UInt64) -> UInt64 {
    let (sum, overflow) = addingReportingOverflow(other)
    return overflow ? .max : sum
  }

  /// Saturates at both ends; NaN is 0.
  fileprivate init(clamping value: Double) {
    self = value < 1 || value.isNaN ? 0 : value < 1.8e19 ? UInt64(value) : .max
  }
}
