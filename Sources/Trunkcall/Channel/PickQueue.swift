// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// Calls that wait for a picker, in the order they came. A call that gives up leaves a hole, so that
/// leaving costs nothing.
struct PickQueue<Call> {
  /// Names a place in the queue; never reused.
  struct Ticket: Hashable { fileprivate let number: UInt64 }

  let limit: Int
  private(set) var count = 0
  private var slots: [Call?] = []
  /// The ticket of the first slot.
  private var first: UInt64 = 0

  init(limit: Int) { self.limit = limit }

  var isEmpty: Bool { count == 0 }

  /// Takes a call in; nil if the queue is full.
  mutating func add(_ call: Call) -> Ticket? {
    guard count < limit else { return nil }
    slots.append(call)
    count += 1
    return Ticket(number: first + UInt64(slots.count - 1))
  }

  /// Takes a call out; nil if it is gone already.
  @discardableResult
  mutating func remove(_ ticket: Ticket) -> Call? {
    guard ticket.number >= first, ticket.number - first < UInt64(slots.count) else { return nil }
    let index = Int(ticket.number - first)
    guard let call = slots[index] else { return nil }
    slots[index] = nil
    count -= 1
    if count == 0 { forget() }
    return call
  }

  /// Everyone, in order; the queue is empty then.
  mutating func takeAll() -> [Call] {
    let calls = slots.compactMap { $0 }
    count = 0
    forget()
    return calls
  }

  private mutating func forget() {
    first += UInt64(slots.count)
    slots.removeAll(keepingCapacity: true)
  }
}
