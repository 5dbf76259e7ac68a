// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import Synchronization
internal import TrunkSockets

/// Ends a sleep early. A signal that comes while nothing sleeps ends the next sleep.
final class Signal: Sendable {
  private struct State {
    var isSignalled = false
    var waiter: CheckedContinuation<Void, Never>?
  }
  private let state = Locked(State())
  private let clock: WatchClock

  init(_ clock: WatchClock = .system) { self.clock = clock }

  /// Forgets a signal that has not ended a sleep.
  func clear() { state.withLock { $0.isSignalled = false } }

  func signal() {
    let waiter = state.withLock { state in
      state.isSignalled = true
      defer { state.waiter = nil }
      return state.waiter
    }
    waiter?.resume()
  }

  /// One task at a time.
  /// - Returns: whether it was signalled; false: the time is over.
  func sleep(for duration: Duration) async throws -> Bool {
    await withTaskGroup(of: Void.self) { group in
      group.addTask { [clock] in try? await clock.sleep(for: duration) }
      group.addTask { await self.signalled() }
      await group.next()
      group.cancelAll()
    }
    try Task.checkCancellation()
    return state.withLock { state in
      defer { state.isSignalled = false }
      return state.isSignalled
    }
  }

  private func signalled() async {
    await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        let isDue = state.withLock { state in
          if state.isSignalled || Task.isCancelled { return true }
          state.waiter = continuation
          return false
        }
        if isDue { continuation.resume() }
      }
    } onCancel: {
      let waiter = state.withLock { state in
        defer { state.waiter = nil }
        return state.waiter
      }
      waiter?.resume()
    }
  }
}
