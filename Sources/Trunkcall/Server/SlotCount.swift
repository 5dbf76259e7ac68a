// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import Synchronization

/// How many of something are under way, and how many may be. Each one holds a ``Slot``, whose end is its
/// release: on whatever path, and on whatever thread.
final class SlotCount: Sendable {
  let limit: Int
  fileprivate let count = Atomic<Int>(0)

  init(limit: Int) { self.limit = limit }

  var taken: Int { count.load(ordering: .relaxed) }

  /// - Returns: nil if there is no room.
  func take() -> Slot? {
    guard count.wrappingAdd(1, ordering: .relaxed).newValue <= limit else {
      count.wrappingSubtract(1, ordering: .relaxed)
      return nil
    }
    return Slot(adopting: self)
  }
}

/// One of a ``SlotCount``'s, for as long as it is there.
struct Slot: ~Copyable, Sendable {
  private let home: SlotCount
  fileprivate init(adopting home: SlotCount) { self.home = home }
  deinit { home.count.wrappingSubtract(1, ordering: .relaxed) }
}

/// Carries a slot to another thread, through a closure that may not consume it.
final class SlotHandover: Sendable {
  private let slot: Mutex<Slot?>
  init(_ slot: consuming Slot) { self.slot = Mutex(slot) }
  /// - Returns: the slot, once.
  func take() -> Slot? { slot.withLock { $0.take() } }
}
