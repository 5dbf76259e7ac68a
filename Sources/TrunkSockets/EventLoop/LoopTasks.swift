// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// The task-executor face of an ``EventLoop``: `Task(executorPreference: loop.tasks)`.
///
/// A server makes one per method, so that every job of a handler's task carries the method's
/// ``RunMeter`` with it, however often the task suspends.
///
/// `@unchecked Sendable`: `home` is set once, before the object is shared, and outlives it (loops end
/// after everything that ran on them); the meter is touched on the loop's thread only.
package final class LoopTasks: TaskExecutor, @unchecked Sendable {
  private unowned(unsafe) var home: EventLoop?
  private let meter: RunMeter?

  /// The loop's own face; it attaches itself while it is made.
  init() { meter = nil }
  func attach(_ loop: EventLoop) { home = loop }

  /// A second face of the same loop, whose runs are measured.
  package init(of loop: EventLoop, meter: RunMeter) {
    home = loop
    self.meter = meter
  }

  package func enqueue(_ job: consuming ExecutorJob) {
    home?.push(.task(UnownedJob(job), self))
  }

  @inline(__always)
  func run(_ job: UnownedJob) {
    guard let meter else { return job.runSynchronously(on: asUnownedTaskExecutor()) }
    meter.measure { job.runSynchronously(on: asUnownedTaskExecutor()) }
  }
}
