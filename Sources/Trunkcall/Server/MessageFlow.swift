// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import DequeModule
internal import Synchronization
internal import TrunkHTTP2

/// What a stream of messages needs and a unary call does not.
final class MessageFlow {
  @exclusivity(unchecked) var inbox = Deque<ReceivedMessage>()
  @exclusivity(unchecked) var reading = StreamWaiter<Inbound>()

  /// Nobody waits, and nothing does.
  var isIdle: Bool { inbox.isEmpty && !reading.isWaiting }
}

/// One continuation that waits on the loop, resumed there with a value or by its cancellation.
///
/// Every wait has a number, so that a cancellation which reaches the loop when its wait is over does not
/// end the next one:
/// ```
///   on the loop:  begin(number) ── wait ──► resumed      its cancellation finds the number in `current`
///   elsewhere:    a job with the number ──► wait ──► resumed     its cancellation has the number with it
/// ```
struct StreamWaiter<Value: Sendable>: ~Copyable, Sendable {
  private var continuation: UnsafeContinuation<Value, Never>?
  /// Of the wait under way, or the last one. Written on the loop, when nobody waits.
  private let number = Atomic<UInt32>(0)
  /// The wait whose cancellation came last.
  private var cancelled: UInt32 = 0

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

  /// - Returns: whether the wait was cancelled before it began; the continuation is not kept then.
  mutating func wait(_ continuation: UnsafeContinuation<Value, Never>, _ wait: UInt32) -> Bool {
    if cancelled == wait { return true }
    number.store(wait, ordering: .relaxed)
    self.continuation = continuation
    return false
  }

  mutating func resume(_ value: Value) {
    guard let waiting = continuation else { return }
    continuation = nil
    waiting.resume(returning: value)
  }

  mutating func cancel(_ wait: UInt32, _ value: Value) {
    cancelled = wait
    if current == wait { resume(value) }
  }
}

/// Numbers of waits. Odd ones are the process's; a loop has even ones of its own, for which it needs no
/// atomic operation.
enum WaitTicket {
  private static let last = Atomic<UInt32>(1)
  static func next() -> UInt32 { last.wrappingAdd(2, ordering: .relaxed).newValue }
}
