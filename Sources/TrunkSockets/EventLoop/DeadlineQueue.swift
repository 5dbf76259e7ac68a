// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// Deadlines that any thread sets and removes, behind one timer of a loop.
///
/// Setting a loop's timer from another thread wakes that loop, which costs more than a call within
/// the process. So the timer is moved only for a deadline earlier than all set ones, and removing a
/// deadline leaves it as it is: when it fires it is set to the next. With equal timeouts that is
/// one wake-up per timeout, however many calls there were.
///
/// `@unchecked Sendable`: the timer is accessed on its loop only, the rest is guarded by the lock.
package final class DeadlineQueue: @unchecked Sendable {
  /// One deadline.
  ///
  /// `@unchecked Sendable`: its state is accessed under the lock of its queue only.
  package final class Entry: HeapTimer, @unchecked Sendable {
    var deadline: UInt64 = 0
    var heapIndex = -1
    /// While it is set.
    fileprivate var owner: (any DeadlineOwner)?

    package init() {}
  }

  /// `@unchecked Sendable`: accessed under the lock only.
  private struct State: @unchecked Sendable {
    var heap = TimerHeap<Entry>()
    /// When the timer fires, or will once its loop has run the posted job; `.max` for never.
    var armed = UInt64.max
    var loop: EventLoop?
  }
  private let state = Locked(State())
  private var timer: LoopTimer?

  /// Takes a loop of the shared group when it is first needed.
  package init() {}

  deinit {
    // No deadline is set: owners hold their queue. The timer may still be set.
    guard let timer = timer.map({ LoopBound($0, on: $0.loop) }) else { return }
    timer.loop.run { timer.value.cancel() }
  }

  /// Deadlines that are set.
  package var count: Int { state.withLock { $0.heap.count } }

  /// Holds the owner until the deadline has passed or is removed.
  package func add(_ entry: Entry, of owner: any DeadlineOwner, at deadline: UInt64) {
    let loop: EventLoop? = state.withLock { state in
      entry.owner = owner
      state.heap.schedule(entry, at: deadline)
      guard deadline < state.armed else { return nil }
      state.armed = deadline
      if state.loop == nil { state.loop = EventLoopGroup.shared.next() }
      return state.loop
    }
    guard let loop else { return }
    loop.run { self.arm(loop) }
  }

  /// No effect if it has passed or was removed before.
  package func remove(_ entry: Entry) {
    // Released outside of the lock: its deinit may call back.
    let owner = state.withLock { state in
      state.heap.remove(entry)
      return DeadlineQueue.release(entry)
    }
    _ = owner
  }

  private static func release(_ entry: Entry) -> (any DeadlineOwner)? {
    defer { entry.owner = nil }
    return entry.owner
  }

  // MARK: On the loop

  private func arm(_ loop: EventLoop) {
    let armed = state.withLock { $0.armed }
    guard armed != .max else { return }
    let timer = timer ?? LoopTimer(on: loop) { [weak self] in self?.fire(loop) }
    self.timer = timer
    timer.schedule(at: armed)
  }

  private func fire(_ loop: EventLoop) {
    let now = Clock.now()
    let due = state.withLock { state in
      var due: [any DeadlineOwner] = []
      while let first = state.heap.first, first.deadline <= now {
        state.heap.remove(first)
        if let owner = DeadlineQueue.release(first) { due.append(owner) }
      }
      state.armed = state.heap.first?.deadline ?? .max
      return due
    }
    arm(loop)
    for owner in due { owner.deadlinePassed() }
  }
}

/// The owner of a deadline in a ``DeadlineQueue``.
package protocol DeadlineOwner: AnyObject, Sendable {
  /// Called on the queue's loop, at most once, when the time has come; the deadline is removed
  /// then.
  func deadlinePassed()
}
