// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// Names a call in a queue of ``PendingCalls``; never reused there.
struct PendingTicket: Hashable { fileprivate let number: UInt64 }

/// Calls that wait for a picker or a stream, in the order they came. A call that is withdrawn leaves a
/// hole, so that withdrawing is cheap; there are never more holes than calls and ``fewHoles``.
struct PendingCalls<Call> {
  /// Up to this many holes are not compacted.
  static var fewHoles: Int { 64 }

  let limit: Int
  private(set) var count = 0
  /// Slots before it are holes.
  private var head = 0
  /// In the order of their tickets.
  private var slots: [(ticket: UInt64, call: Call?)] = []
  private var nextTicket: UInt64 = 0

  init(limit: Int) { self.limit = limit }

  var isEmpty: Bool { count == 0 }
  /// Calls and holes.
  var slotCount: Int { slots.count }

  /// Appends a call; nil if the queue is full.
  mutating func add(_ call: Call) -> PendingTicket? {
    guard count < limit else { return nil }
    let ticket = nextTicket
    nextTicket += 1
    slots.append((ticket, call))
    count += 1
    return PendingTicket(number: ticket)
  }

  /// Removes a call; nil if it was removed before.
  @discardableResult
  mutating func remove(_ ticket: PendingTicket) -> Call? {
    guard let index = index(of: ticket.number), let call = slots[index].call else { return nil }
    slots[index].call = nil
    count -= 1
    compact()
    return call
  }

  /// Removes and returns the call that came first.
  mutating func takeFirst() -> Call? {
    guard count > 0 else { return nil }
    while slots[head].call == nil { head += 1 }
    let call = slots[head].call
    slots[head].call = nil
    head += 1
    count -= 1
    compact()
    return call
  }

  private mutating func compact() {
    if count == 0 {
      slots.removeAll(keepingCapacity: true)
    } else if slots.count - count > max(count, PendingCalls.fewHoles) {
      slots.removeAll { $0.call == nil }
    } else {
      return
    }
    head = 0
  }

  /// Removes and returns all calls, in order.
  mutating func takeAll() -> [Call] {
    let calls = slots.compactMap(\.call)
    count = 0
    slots.removeAll(keepingCapacity: slots.count <= PendingCalls.fewHoles)
    head = 0
    return calls
  }

  /// By bisection: tickets increase.
  private func index(of ticket: UInt64) -> Int? {
    var low = 0
    var high = slots.count
    while low < high {
      let middle = (low + high) / 2
      if slots[middle].ticket < ticket { low = middle + 1 } else { high = middle }
    }
    return low < slots.count && slots[low].ticket == ticket ? low : nil
  }
}
