// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// The task executor of an ``EventLoop``: `Task(executorPreference: loop.tasks)`.
///
/// A server makes one per method, so that every job of a handler's task has the method's
/// ``RunMeter``, however often the task suspends.
///
/// `@unchecked Sendable`: `owner` is set once, before the object is shared, and outlives it (loops
/// end after everything that ran on them); the meter and `step` are accessed on the loop's thread
/// only.
package final class LoopTasks: TaskExecutor, @unchecked Sendable {
  private unowned(unsafe) var owner: EventLoop?
  private let meter: RunMeter?
  // On the loop's thread only: see `runNow`.
  @exclusivity(unchecked) private var isStepping = false
  @exclusivity(unchecked) private var step: UnownedJob?

  /// The loop's own executor; it attaches itself while it is made.
  init() { meter = nil }
  func attach(_ loop: EventLoop) { owner = loop }

  /// A second executor of the same loop, whose runs are measured.
  package init(of loop: EventLoop, meter: RunMeter) {
    owner = loop
    self.meter = meter
  }

  package func enqueue(_ job: consuming ExecutorJob) {
    guard let owner else { return }
    let job = UnownedJob(job)
    if owner.isCurrent, isStepping, step == nil {
      step = job
    } else {
      owner.push(.task(job, self))
    }
  }

  /// Resumes a task of this executor at once instead of in the loop's next round: `resume` enqueues
  /// its job, which is then run. On the loop only, and not inside a job.
  package func runNow(_ resume: () -> Void) {
    isStepping = true
    resume()
    isStepping = false
    guard let job = step else { return }
    step = nil
    run(job)
  }

  @inline(__always)
  func run(_ job: UnownedJob) {
    guard let meter else { return job.runSynchronously(on: asUnownedTaskExecutor()) }
    meter.measure { job.runSynchronously(on: asUnownedTaskExecutor()) }
  }
}
