// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import TrunkSockets

/// A unary call within the process.
///
/// ```
///   handler's task ── response, error ┐
///   DeadlineQueue ──── deadline, if any ┼──► the first one is the call's end; the caller returns
///   caller's task ──── cancelled ──────┘    (by the other two the handler is cancelled)
/// ```
/// The handler has a task of its own on the global pool, so that one that does not react to
/// cancellation, or never suspends, does not hold up its caller, and one that cancels its own task
/// does not cancel the caller.
final class TimedCall: DeadlineOwner {
  enum End: Sendable {
    case response([UInt8])
    /// Thrown by the handler.
    case failed(any Error)
    /// By this side.
    case cut(RPCError)
  }
  private struct State: Sendable {
    var end: End?
    var waiter: UnsafeContinuation<End, Never>?
    var handler: Task<Void, Never>?
  }
  private let state = Locked(State())
  private let deadlines: DeadlineQueue
  private let entry: DeadlineQueue.Entry?

  private init(_ deadlines: DeadlineQueue, hasDeadline: Bool) {
    self.deadlines = deadlines
    entry = hasDeadline ? DeadlineQueue.Entry() : nil
  }

  /// - Parameter deadline: `CLOCK_MONOTONIC` nanoseconds; nil for none. Inherited by the handler's
  ///   calls.
  static func run(
    until deadline: UInt64?, _ deadlines: DeadlineQueue,
    _ handler: @escaping @Sendable () async throws -> [UInt8]
  ) async -> End {
    if Task.isCancelled { return .cut(cancelled) }
    if let deadline, deadline <= Clock.now() { return .cut(expired) }
    let call = TimedCall(deadlines, hasDeadline: deadline != nil)
    if let deadline, let entry = call.entry { deadlines.add(entry, of: call, at: deadline) }
    let inherited = InheritedDeadline.current
    let task = Task {
      guard deadline != inherited else { return await call.perform(handler) }
      await InheritedDeadline.$current.withValue(deadline) { await call.perform(handler) }
    }
    return await withTaskCancellationHandler {
      await withUnsafeContinuation { call.wait($0, task) }
    } onCancel: {
      call.settle(.cut(cancelled))
      task.cancel()
    }
  }

  private func perform(_ handler: @Sendable () async throws -> [UInt8]) async {
    do { settle(.response(try await handler())) } catch { settle(.failed(error)) }
  }

  func deadlinePassed() { settle(.cut(TimedCall.expired)) }

  private func wait(_ continuation: UnsafeContinuation<End, Never>, _ task: Task<Void, Never>) {
    let end: End? = state.withLock { state in
      if state.end == nil {
        state.waiter = continuation
        state.handler = task
      }
      return state.end
    }
    guard let end else { return }
    if case .cut = end { task.cancel() }
    continuation.resume(returning: end)
  }

  /// Only the first call has an effect.
  private func settle(_ end: End) {
    let before = state.withLock { state in
      let before = state
      if before.end == nil { state = State(end: end) }
      return before
    }
    guard before.end == nil else { return }
    if let entry { deadlines.remove(entry) }
    if case .cut = end { before.handler?.cancel() }
    before.waiter?.resume(returning: end)
  }

  static let expired = RPCError(.deadlineExceeded, "the deadline has passed")
  static let cancelled = RPCError(.cancelled, "the call was cancelled")
}
