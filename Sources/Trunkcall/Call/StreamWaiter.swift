// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import Synchronization
internal import TrunkHTTP2

/// One continuation that waits on the loop, resumed there with a value or by its cancellation.
///
/// Every wait has a number, so that a cancellation that reaches the loop after its wait has ended
/// does not end the next one:
/// ```
///   on the loop:  begin(number) ── wait ──► resumed    its cancellation reads `current`
///   elsewhere:    a job with the ticket ──► wait ──► resumed   its cancellation has the ticket
/// ```
/// Numbers distinguish waits under way only, so they may wrap around after 2^31: a cancellation
/// stays in the loop's inbox for one of its rounds. A cancellation before its wait is kept in the
/// wait's own ticket, not by a number.
struct StreamWaiter<Value: Sendable>: ~Copyable, Sendable {
  private var continuation: UnsafeContinuation<Value, Never>?
  /// Of the present wait, or the last one. Written on the loop, while nothing waits.
  private let number = Atomic<UInt32>(0)

  var isWaiting: Bool { continuation != nil }

  /// From any thread, for the cancellation of a wait on the loop.
  var current: UInt32 { number.load(ordering: .relaxed) }

  /// A task on the loop is about to wait.
  /// - Returns: false while another one waits.
  mutating func begin(_ wait: UInt32) -> Bool {
    guard !isWaiting else { return false }
    number.store(wait, ordering: .relaxed)
    return true
  }

  /// The wait that has begun; its cancellation cannot reach the loop before this.
  mutating func wait(_ continuation: UnsafeContinuation<Value, Never>, _ wait: UInt32) {
    number.store(wait, ordering: .relaxed)
    self.continuation = continuation
  }

  /// - Returns: whether the wait was cancelled before it began; the continuation is not kept then.
  mutating func wait(
    _ continuation: UnsafeContinuation<Value, Never>, _ ticket: WaitTicket
  ) -> Bool {
    if ticket.isCancelled { return true }
    wait(continuation, ticket.number)
    return false
  }

  mutating func resume(_ value: Value) { take()?.resume(returning: value) }

  /// Ends the wait. Where a lock guards the waiter, the continuation is resumed after the lock is
  /// released: resuming needs the lock of the task's status, which whoever cancels the task holds
  /// while its cancellation handlers ask for the waiter's lock.
  mutating func take() -> UnsafeContinuation<Value, Never>? {
    defer { continuation = nil }
    return continuation
  }

  mutating func cancel(_ wait: UInt32, _ value: Value) { take(wait)?.resume(returning: value) }

  /// As ``take()``, if it is that wait.
  mutating func take(_ wait: UInt32) -> UnsafeContinuation<Value, Never>? {
    current == wait ? take() : nil
  }
}

/// A wait that begins on another thread than its loop, where its cancellation may come first.
///
/// Its number is odd, unique in the process; a loop has even ones of its own, which need no atomic
/// operation.
final class WaitTicket: Sendable {
  static let last = Atomic<UInt32>(1)
  let number = WaitTicket.last.wrappingAdd(2, ordering: .relaxed).newValue
  private let cancelled = Atomic<Bool>(false)

  var isCancelled: Bool { cancelled.load(ordering: .acquiring) }
  /// Called before the cancellation is posted to the loop.
  func cancel() { cancelled.store(true, ordering: .releasing) }
}
