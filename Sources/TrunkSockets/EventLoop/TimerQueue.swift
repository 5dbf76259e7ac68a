// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// A timer of one loop. Subclass it, or give it an action; accessed only on its loop.
package class LoopTimer: HeapTimer {
  package let loop: EventLoop
  /// `CLOCK_MONOTONIC` nanoseconds; meaningful while scheduled.
  @exclusivity(unchecked) package final internal(set) var deadline: UInt64 = 0
  @exclusivity(unchecked) final var heapIndex = -1
  private let action: (() -> Void)?

  package init(on loop: EventLoop, action: (() -> Void)? = nil) {
    self.loop = loop
    self.action = action
  }

  package var isScheduled: Bool { heapIndex >= 0 }

  /// Fires once at `deadline`; a timer that is scheduled already is moved.
  package func schedule(at deadline: UInt64) { loop.timers.schedule(self, at: deadline) }
  package func schedule(after duration: Duration) {
    schedule(at: Clock.now().adding(duration))
  }
  package func cancel() { loop.timers.remove(self) }

  /// Called on the loop when the time has come.
  package func fire() { action?() }
}

/// The timers of one loop.
struct TimerQueue {
  private var heap = TimerHeap<LoopTimer>()
  /// The first instant that has not been fired yet. A timer for an earlier one is moved here;
  /// otherwise a timer that schedules itself in the past would occupy the loop.
  private var horizon: UInt64 = 0

  var isEmpty: Bool { heap.isEmpty }

  mutating func schedule(_ timer: LoopTimer, at wanted: UInt64) {
    heap.schedule(timer, at: max(wanted, horizon))
  }

  mutating func remove(_ timer: LoopTimer) { heap.remove(timer) }

  /// Milliseconds until the next timer, rounded up; -1 for none.
  func milliseconds(from now: UInt64) -> Int32 {
    guard let first = heap.first else { return -1 }
    guard first.deadline > now else { return 0 }
    return Int32(clamping: (first.deadline - now - 1) / 1_000_000 + 1)
  }

  /// Fires what is due. A timer scheduled for the past meanwhile waits for the next tick.
  mutating func popDue(_ now: UInt64) -> LoopTimer? {
    horizon = max(horizon, now == .max ? now : now + 1)
    guard let first = heap.first, first.deadline <= now else { return nil }
    heap.remove(first)
    return first
  }
}

extension EventLoop {
  /// Fires due timers one by one, since each may schedule or cancel others.
  func fireTimers() {
    while let timer = timers.popDue(now) { timer.fire() }
  }
}
