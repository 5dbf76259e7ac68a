// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import DequeModule
internal import Glibc

/// A few helper threads for one kind of blocking calls. They start on demand and end when idle.
/// Kinds are separate, so that look-ups that hang delay neither files nor the other address family.
///
/// ```
///   run ── queue is full ──► error
///    └──► waits ── thread ──► body runs ── ends ──► result
///           │                    └── timeout, cancelled: the result is dropped
///           └── timeout, cancelled: leaves the queue, body never runs
/// ```
package final class BlockingWork: Sendable {
  /// The system's look-ups (`getaddrinfo`, both families at once).
  package static let lookUps = BlockingWork(threads: 4)
  /// TXT records: a server that does not answer for them delays no addresses.
  package static let lookUpsOfRecords = BlockingWork(threads: 2)
  /// SRV records.
  package static let lookUpsOfServices = BlockingWork(threads: 4)
  package static let lookUpsIPv4 = BlockingWork(threads: 4)
  package static let lookUpsIPv6 = BlockingWork(threads: 4)
  /// Certificate files, and returning memory to the system.
  package static let files = BlockingWork(threads: 2)

  /// Calls of one kind that may wait for a thread.
  package static let waitingLimit = 1_000

  private struct Work: Sendable {
    var number: UInt64
    var body: @Sendable () -> Void
  }
  private struct State: Sendable {
    var queue = Deque<Work>()
    var running = 0
    /// Threads of `running` that have not taken work yet.
    var starting = 0
    var waiting: Int { max(0, queue.count - starting) }
    var lastNumber: UInt64 = 0
  }
  private let state = Locked(State())
  private let threads: Int
  private let waitingLimit: Int

  /// - Parameter threads: at most; further work waits.
  package init(threads: Int, waiting: Int = BlockingWork.waitingLimit) {
    self.threads = threads
    waitingLimit = waiting
  }

  /// The number of calls that wait for a thread.
  package var waiting: Int { state.withLock { $0.waiting } }

  /// Runs `body` on a helper thread; not at all if the time is over, or the caller was cancelled,
  /// before a thread is free.
  /// - Throws: `SocketError` (`isTimeout`) if it takes longer, or if ``waitingLimit`` is reached;
  ///   `CancellationError`.
  package func run<R: Sendable>(
    timeout: Duration, _ what: String, _ body: @escaping @Sendable () -> R
  ) async throws -> R {
    let outcome = Outcome<R>()
    let number = state.withLock { state in
      state.lastNumber &+= 1
      return state.lastNumber
    }
    let work = Work(number: number) {
      if !outcome.isSettled { outcome.settle(.success(body())) }
    }
    let abandon: @Sendable (any Error) -> Void = { error in
      outcome.settle(.failure(error))
      self.state.withLock { $0.queue.removeAll { $0.number == number } }
    }
    return try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask {
        try await Task.sleep(for: timeout)
        abandon(SocketError(what, errno: ETIMEDOUT, detail: "\(what) timed out"))
      }
      defer { group.cancelAll() }
      return try await withTaskCancellationHandler {
        try await withCheckedThrowingContinuation { continuation in
          outcome.wait(continuation)
          if let problem = submit(work) {
            outcome.settle(
              .failure(SocketError(what, errno: EAGAIN, detail: "\(what): \(problem)")))
          }
        }
      } onCancel: {
        abandon(CancellationError())
      }
    }
  }

  /// Why the work is refused; nil if it was queued.
  private func submit(_ work: Work) -> String? {
    enum Place {
      case full
      case inLine
      case needsThread
    }
    let place = state.withLock { state -> Place in
      guard state.running >= threads else {
        state.queue.append(work)
        state.running += 1
        state.starting += 1
        return .needsThread
      }
      guard state.waiting < waitingLimit else { return .full }
      state.queue.append(work)
      return .inLine
    }
    switch place {
    case .full: return "\(waitingLimit) others wait already"
    case .inLine: return nil
    case .needsThread:
      if startThread() { return nil }
      // Running threads will take it; without any it would wait without end.
      let isLost = state.withLock { state in
        state.running -= 1
        state.starting -= 1
        guard state.running == 0 else { return false }
        state.queue.removeAll { $0.number == work.number }
        return true
      }
      return isLost ? "no thread can be started" : nil
    }
  }

  private func startThread() -> Bool {
    var handle = pthread_t()
    let pool = Unmanaged.passRetained(self)
    let started = spawnThread(
      { argument in
        guard let argument else { return nil }
        Unmanaged<BlockingWork>.fromOpaque(argument).takeRetainedValue().drain()
        return nil
      }, pool.toOpaque(), &handle)
    if started { pthread_detach(handle) } else { pool.release() }
    return started
  }

  private func drain() {
    var isFirst = true
    while true {
      let work = state.withLock { state in
        if isFirst { state.starting -= 1 }
        isFirst = false
        let next = state.queue.popFirst()
        if next == nil { state.running -= 1 }
        return next
      }
      guard let work else { return }
      work.body()
    }
  }

  /// Keeps the first result; a later one is dropped.
  private final class Outcome<R: Sendable>: Sendable {
    private struct Slot: Sendable {
      var result: Result<R, any Error>?
      var waiter: CheckedContinuation<R, any Error>?
    }
    private let slot = Locked(Slot())

    var isSettled: Bool { slot.withLock { $0.result != nil } }

    func wait(_ continuation: CheckedContinuation<R, any Error>) {
      let ready = slot.withLock { slot -> Result<R, any Error>? in
        if slot.result == nil { slot.waiter = continuation }
        return slot.result
      }
      if let ready { continuation.resume(with: ready) }
    }

    func settle(_ result: Result<R, any Error>) {
      let waiter = slot.withLock { slot -> CheckedContinuation<R, any Error>? in
        guard slot.result == nil else { return nil }
        slot.result = result
        defer { slot.waiter = nil }
        return slot.waiter
      }
      waiter?.resume(with: result)
    }
  }
}
