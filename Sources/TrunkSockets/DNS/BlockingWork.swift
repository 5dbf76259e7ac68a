// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import DequeModule
internal import Glibc
internal import Synchronization

/// A few helper threads for calls that block (look-ups). They start on demand, end when idle, and a
/// caller that gives up does not wait for them.
package enum BlockingWork {
  /// Threads at most; further work waits in line.
  package static let threads = 4

  private struct State: Sendable {
    var queue = Deque<@Sendable () -> Void>()
    var running = 0
  }
  private static let state = Locked(State())

  /// Runs `body` on a helper thread.
  /// - Throws: `SocketError` (`isTimeout`) when it takes longer, `CancellationError`.
  package static func run<R: Sendable>(
    timeout: Duration, _ what: String, _ body: @escaping @Sendable () -> R
  ) async throws -> R {
    let outcome = Outcome<R>()
    let work: @Sendable () -> Void = { outcome.settle(.success(body())) }
    return try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask {
        try await Task.sleep(for: timeout)
        outcome.settle(.failure(SocketError(what, errno: ETIMEDOUT, detail: "\(what) timed out")))
      }
      defer { group.cancelAll() }
      return try await withTaskCancellationHandler {
        try await withCheckedThrowingContinuation { continuation in
          outcome.wait(continuation)
          submit(work)
        }
      } onCancel: {
        outcome.settle(.failure(CancellationError()))
      }
    }
  }

  private static func submit(_ work: @escaping @Sendable () -> Void) {
    let needsThread = state.withLock { state in
      state.queue.append(work)
      guard state.running < threads else { return false }
      state.running += 1
      return true
    }
    guard needsThread else { return }
    var handle = pthread_t()
    let started = spawnThread(
      { _ in
        BlockingWork.drain()
        return nil
      }, nil, &handle)
    if started { pthread_detach(handle) } else { drain() }
  }

  private static func drain() {
    while true {
      let work = state.withLock { state in
        let next = state.queue.popFirst()
        if next == nil { state.running -= 1 }
        return next
      }
      guard let work else { return }
      work()
    }
  }

  /// Takes the first result; a later one is dropped.
  private final class Outcome<R: Sendable>: Sendable {
    private struct Slot: Sendable {
      var result: Result<R, any Error>?
      var waiter: CheckedContinuation<R, any Error>?
      var isDone = false
    }
    private let slot = Locked(Slot())

    func wait(_ continuation: CheckedContinuation<R, any Error>) {
      let ready = slot.withLock { slot -> Result<R, any Error>? in
        if slot.result == nil { slot.waiter = continuation } else { slot.isDone = true }
        return slot.result
      }
      if let ready { continuation.resume(with: ready) }
    }

    func settle(_ result: Result<R, any Error>) {
      let waiter = slot.withLock { slot -> CheckedContinuation<R, any Error>? in
        guard slot.result == nil, !slot.isDone else { return nil }
        slot.result = result
        defer { slot.waiter = nil }
        return slot.waiter
      }
      waiter?.resume(with: result)
    }
  }
}
