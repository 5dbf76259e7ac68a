// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// A timer of one loop. Subclass it, or give it an action; touched only on its loop.
package class LoopTimer {
  package let loop: EventLoop
  /// `CLOCK_MONOTONIC` nanoseconds; meaningful while scheduled.
  package fileprivate(set) var deadline: UInt64 = 0
  fileprivate var heapIndex = -1
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

/// A binary heap that knows where each timer lies, so that cancelling really removes it: a deadline
/// far away must not outlive its call.
struct TimerQueue {
  private var heap: [LoopTimer] = []
  /// The first instant that has not been fired yet. What is scheduled for an earlier one is moved
  /// here, or a timer that puts itself into the past would hold the loop.
  private var horizon: UInt64 = 0

  var isEmpty: Bool { heap.isEmpty }

  mutating func schedule(_ timer: LoopTimer, at wanted: UInt64) {
    let deadline = max(wanted, horizon)
    if timer.heapIndex >= 0 {
      let earlier = deadline < timer.deadline
      timer.deadline = deadline
      if earlier { siftUp(timer.heapIndex) } else { siftDown(timer.heapIndex) }
    } else {
      timer.deadline = deadline
      timer.heapIndex = heap.count
      heap.append(timer)
      siftUp(timer.heapIndex)
    }
  }

  mutating func remove(_ timer: LoopTimer) {
    let index = timer.heapIndex
    guard index >= 0 else { return }
    timer.heapIndex = -1
    let last = heap.removeLast()
    guard index < heap.count else { return }
    place(last, index)
    siftUp(index)
    siftDown(last.heapIndex)
  }

  /// Milliseconds until the next timer, rounded up; -1 for none.
  func milliseconds(from now: UInt64) -> Int32 {
    guard let first = heap.first else { return -1 }
    guard first.deadline > now else { return 0 }
    return Int32(clamping: (first.deadline - now - 1) / 1_000_000 + 1)
  }

  /// Fires what is due. A timer scheduled meanwhile for the past waits for the next tick.
  mutating func popDue(_ now: UInt64) -> LoopTimer? {
    horizon = max(horizon, now == .max ? now : now + 1)
    guard let first = heap.first, first.deadline <= now else { return nil }
    remove(first)
    return first
  }

  private mutating func place(_ timer: LoopTimer, _ index: Int) {
    heap[index] = timer
    timer.heapIndex = index
  }

  private mutating func siftUp(_ start: Int) {
    var index = start
    let timer = heap[index]
    while index > 0 {
      let parent = (index - 1) / 2
      guard timer.deadline < heap[parent].deadline else { break }
      place(heap[parent], index)
      index = parent
    }
    place(timer, index)
  }

  private mutating func siftDown(_ start: Int) {
    var index = start
    let timer = heap[index]
    while true {
      var child = 2 * index + 1
      guard child < heap.count else { break }
      if child + 1 < heap.count && heap[child + 1].deadline < heap[child].deadline { child += 1 }
      guard heap[child].deadline < timer.deadline else { break }
      place(heap[child], index)
      index = child
    }
    place(timer, index)
  }
}

extension EventLoop {
  /// Fires due timers one by one, since each may schedule or cancel others.
  func fireTimers() {
    while let timer = timers.popDue(now) { timer.fire() }
  }
}
