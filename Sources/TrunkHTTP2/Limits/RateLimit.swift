// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// `burst` events at once, and `perSecond` a second after that.
package struct RateLimit: Sendable, Hashable {
  package var burst: Int
  package var perSecond: Double

  package init(burst: Int, perSecond: Double) {
    self.burst = burst
    self.perSecond = perSecond
  }
}

/// Counts against a RateLimit: a leaking bucket that is kept as the instant at which it will be
/// empty (GCRA), so that counting is an addition and a comparison.
package struct RateBudget: Sendable {
  /// Nanoseconds per event.
  private let interval: UInt64
  private let tolerance: UInt64
  private var emptyAt: UInt64 = 0

  package init(_ limit: RateLimit) {
    let burst = UInt64(max(1, limit.burst))
    // At least one in a hundred seconds: slower would be "never", and overflow the tolerance.
    let rate = limit.perSecond.isFinite ? min(max(limit.perSecond, 0.01), 1e9) : 1e9
    interval = UInt64(1e9 / rate)
    let (product, overflow) = burst.multipliedReportingOverflow(by: interval)
    tolerance = overflow ? .max : product
  }

  /// Counts `count` events at `now` nanoseconds.
  /// - Returns: whether they are within the limit.
  package mutating func take(_ count: Int = 1, now: UInt64) -> Bool {
    let (cost, costOverflow) = UInt64(max(0, count)).multipliedReportingOverflow(by: interval)
    let (next, overflow) = max(emptyAt, now).addingReportingOverflow(costOverflow ? .max : cost)
    emptyAt = overflow ? .max : next
    return emptyAt - min(emptyAt, now) <= tolerance
  }
}
