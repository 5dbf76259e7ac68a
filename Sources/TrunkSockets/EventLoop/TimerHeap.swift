// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// Has its index in a ``TimerHeap``; -1 is none.
protocol HeapTimer: AnyObject {
  var deadline: UInt64 { get set }
  var heapIndex: Int { get set }
}

/// A binary heap with each timer's index in the timer, so that cancelling removes it: a distant
/// deadline must not outlive its call.
struct TimerHeap<Timer: HeapTimer> {
  private var heap: [Timer] = []

  var isEmpty: Bool { heap.isEmpty }
  var count: Int { heap.count }
  /// The one that is due next.
  var first: Timer? { heap.first }

  /// Adds a timer; one that is in the heap is moved.
  mutating func schedule(_ timer: Timer, at deadline: UInt64) {
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

  mutating func remove(_ timer: Timer) {
    let index = timer.heapIndex
    guard index >= 0 else { return }
    timer.heapIndex = -1
    let last = heap.removeLast()
    guard index < heap.count else { return }
    place(last, index)
    siftUp(index)
    siftDown(last.heapIndex)
  }

  private mutating func place(_ timer: Timer, _ index: Int) {
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
