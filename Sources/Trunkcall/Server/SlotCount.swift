// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import Synchronization
internal import TrunkSockets

/// Counts the connections, or the handshakes, of a server against a limit. Each one holds a
/// ``Slot``, whose release at its end counts it off: on every path, and on any thread.
final class SlotCount: Sendable {
  let limit: Int
  private let count = Atomic<Int>(0)
  /// Whether ``waiters`` may have entries.
  private let isAwaited = Atomic<Bool>(false)
  private let waiters = Locked<[@Sendable () -> Void]>([])

  init(limit: Int) { self.limit = limit }

  var taken: Int { count.load(ordering: .relaxed) }

  /// - Returns: nil if there is no room.
  func take() -> Slot? {
    guard count.wrappingAdd(1, ordering: .sequentiallyConsistent).newValue <= limit else {
      release()
      return nil
    }
    return Slot(adopting: self)
  }

  /// Calls `body` once when there is room, on the thread that releases a slot; at once if there is
  /// room now.
  func whenRoom(_ body: @escaping @Sendable () -> Void) {
    waiters.withLock { $0.append(body) }
    isAwaited.store(true, ordering: .sequentiallyConsistent)
    if count.load(ordering: .sequentiallyConsistent) < limit { wake() }
  }

  fileprivate func release() {
    let left = count.wrappingSubtract(1, ordering: .sequentiallyConsistent).newValue
    if left < limit, isAwaited.load(ordering: .sequentiallyConsistent) { wake() }
  }

  private func wake() {
    guard isAwaited.exchange(false, ordering: .sequentiallyConsistent) else { return }
    let woken = waiters.withLock { waiters in
      defer { waiters = [] }
      return waiters
    }
    for body in woken { body() }
  }
}

/// One slot of a ``SlotCount``, released at its end.
struct Slot: ~Copyable, Sendable {
  private let count: SlotCount
  fileprivate init(adopting count: SlotCount) { self.count = count }
  deinit { count.release() }
}

/// Passes a slot to another thread, through a closure that may not consume it.
final class SlotTransfer: Sendable {
  private let slot: Mutex<Slot?>
  init(_ slot: consuming Slot) { self.slot = Mutex(slot) }
  /// - Returns: the slot, once.
  func take() -> Slot? { slot.withLock { $0.take() } }
}
