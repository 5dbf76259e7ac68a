// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// Finds out whether a piece of work hogs its loop: uninterrupted runs of 1 ms and more.
///
/// ```
///   unsuspected --long run (wall clock)--> suspected --long run confirmed--> hog (for good)
///        ^                                     |
///        +--------- 1,000 runs without --------+
/// ```
/// The wall clock alone would blame a handler for the time in which the kernel gave the CPU to
/// somebody else. So a suspect is measured closely: its long run counts when the thread burnt the
/// CPU for that long, or gave it up of its own will (it blocked).
///
/// Touched only by one loop's thread.
package final class RunMeter {
  /// An uninterrupted run of this many nanoseconds is too long for a loop.
  package static let longRun: UInt64 = 1_000_000
  /// Runs after which a suspicion is dropped.
  static let probation = 1_000

  @exclusivity(unchecked) package private(set) var isHog = false
  /// Long runs seen, confirmed or not.
  @exclusivity(unchecked) package private(set) var longRuns: UInt64 = 0
  @exclusivity(unchecked) private var probationLeft = 0
  /// When the piece of work under way began, and what the thread had used by then (of a suspect).
  @exclusivity(unchecked) private var start: UInt64 = 0
  @exclusivity(unchecked) private var usage = ThreadUsage(cpu: 0, voluntarySwitches: 0)
  private let onHog: (_ nanoseconds: UInt64) -> Void

  package init(onHog: @escaping (_ nanoseconds: UInt64) -> Void) { self.onHog = onHog }

  @inline(__always)
  package func measure(_ run: () -> Void) {
    if probationLeft > 0 { usage = ThreadUsage.now() }
    start = Clock.now()
    run()
    lap()
  }

  /// One piece of work ends here and the next begins, within one run.
  @inline(__always)
  package func lap() {
    let now = Clock.now()
    let taken = now &- start
    start = now
    if probationLeft > 0 {
      judge(taken)
    } else if taken >= RunMeter.longRun {
      suspect()
    }
  }

  private func suspect() {
    longRuns += 1
    guard !isHog else { return }
    probationLeft = RunMeter.probation
    usage = ThreadUsage.now()
  }

  private func judge(_ taken: UInt64) {
    let before = usage
    usage = ThreadUsage.now()
    probationLeft -= 1
    guard taken >= RunMeter.longRun else { return }
    longRuns += 1
    let burnt = usage.cpu &- before.cpu
    if burnt >= RunMeter.longRun || usage.voluntarySwitches != before.voluntarySwitches {
      isHog = true
      probationLeft = 0
      onHog(taken)
    } else {
      probationLeft = RunMeter.probation
    }
  }
}
