// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

internal import Glibc

/// `CLOCK_MONOTONIC` in nanoseconds: the unit of deadlines and timers.
package enum Clock {
  @inline(__always)
  package static func now() -> UInt64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return UInt64(bitPattern: Int64(time.tv_sec)) &* 1_000_000_000
      &+ UInt64(bitPattern: Int64(time.tv_nsec))
  }
}

extension UInt64 {
  /// This instant plus a duration, saturating at both ends.
  package func adding(_ duration: Duration) -> UInt64 {
    let nanoseconds = duration.nanoseconds
    if nanoseconds < 0 {
      let back = UInt64(nanoseconds.magnitude)
      return back > self ? 0 : self - back
    }
    let (sum, overflow) = addingReportingOverflow(UInt64(nanoseconds))
    return overflow ? .max : sum
  }
}

extension Duration {
  /// Whole nanoseconds, saturating (about ±292 years).
  package var nanoseconds: Int64 {
    let (seconds, attoseconds) = components
    let (whole, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000_000)
    if overflow { return seconds < 0 ? .min : .max }
    let (sum, carried) = whole.addingReportingOverflow(attoseconds / 1_000_000_000)
    return carried ? (seconds < 0 ? .min : .max) : sum
  }
}

/// The calling thread's CPU usage.
struct ThreadUsage {
  var cpu: UInt64 = 0
  /// Times the thread left the CPU voluntarily: it waited for something.
  var voluntarySwitches = 0
}
