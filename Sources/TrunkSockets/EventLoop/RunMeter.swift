// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// Detects a piece of work that hogs its loop: uninterrupted runs of 1 ms and more.
///
/// ```
///   unsuspected --long run (wall clock)--> suspected --long run confirmed--> a verdict, and
///   suspected anew
///        ^                                     |
///        +--------- 1,000 runs without --------+
/// ```
/// The wall clock also counts time in which the kernel gave the CPU to other threads, so a long run
/// by it only makes a handler suspected. The runs of a suspected one are measured more closely: a long one counts if the thread used the CPU for that long, or slept for that long. A
/// lock that was held for a short time is no sleep, and neither is the wait for a processor that
/// follows it on a busy machine.
///
/// Accessed only by one loop's thread.
package final class RunMeter {
  /// An uninterrupted run of this many nanoseconds is too long for a loop.
  package static let longRun: UInt64 = 1_000_000
  /// Runs after which a suspicion is dropped.
  static let probation = 1_000

  /// Long runs that were confirmed.
  @exclusivity(unchecked) package private(set) var verdicts: UInt64 = 0
  /// Long runs seen, confirmed or not.
  @exclusivity(unchecked) package private(set) var longRuns: UInt64 = 0
  @exclusivity(unchecked) private var probationLeft = 0
  /// When the piece of work under way began, and the thread's usage by then (of a suspected one).
  @exclusivity(unchecked) private var start: UInt64 = 0
  @exclusivity(unchecked) private var usage = ThreadUsage()
  /// The thread's run-queue wait when a long run ended last: read for long runs only.
  @exclusivity(unchecked) private var waited: UInt64?
  private let isWatching: Bool
  private let onHog: (_ nanoseconds: UInt64) -> Void

  /// - Parameter isWatching: false where a verdict has no effect; long runs are counted only.
  package init(isWatching: Bool = true, onHog: @escaping (_ nanoseconds: UInt64) -> Void) {
    self.isWatching = isWatching
    self.onHog = onHog
  }

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
    guard isWatching else { return }
    probationLeft = RunMeter.probation
    usage = ThreadUsage.now()
    waited = ThreadUsage.runQueueWait()
  }

  private func judge(_ taken: UInt64) {
    let before = usage
    usage = ThreadUsage.now()
    probationLeft -= 1
    guard taken >= RunMeter.longRun else { return }
    longRuns += 1
    probationLeft = RunMeter.probation
    // Waits between the two long runs count for this one: in doubt it is not a verdict.
    let earlier = waited
    waited = ThreadUsage.runQueueWait()
    let wait = waited.flatMap { now in earlier.map { now &- $0 } }
    guard usage.isHogging(since: before, taken, waited: wait) else { return }
    verdicts += 1
    onHog(taken)
  }
}

extension ThreadUsage {
  /// Whether a run of `taken` nanoseconds was caused by the thread itself.
  /// - Parameter waited: how long it had no processor in that time, at most; nil if the kernel does
  ///   not tell.
  func isHogging(since before: ThreadUsage, _ taken: UInt64, waited: UInt64?) -> Bool {
    let burnt = cpu &- before.cpu
    if burnt >= RunMeter.longRun { return true }
    guard voluntarySwitches != before.voluntarySwitches else { return false }
    // Without the kernel's figures a voluntary switch counts as sleep.
    guard let waited else { return true }
    let awake = burnt &+ waited
    return taken > awake && taken - awake >= RunMeter.longRun
  }
}
