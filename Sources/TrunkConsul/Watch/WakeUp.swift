// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import Synchronization
internal import TrunkSockets

/// Ends a back-off early. A request while nothing sleeps is dropped: a query is under way then.
final class WakeUp: Sendable {
  private struct State {
    var isSleeping = false
    var isRequested = false
    var waiter: CheckedContinuation<Void, Never>?
  }
  private let state = Locked(State())
  private let clock: WatchClock

  init(_ clock: WatchClock) { self.clock = clock }

  func request() {
    let waiter = state.withLock { state in
      guard state.isSleeping else { return nil as CheckedContinuation<Void, Never>? }
      state.isRequested = true
      defer { state.waiter = nil }
      return state.waiter
    }
    waiter?.resume()
  }

  /// - Parameter least: the part of the sleep that a request does not shorten.
  func sleep(for duration: Duration, least: Duration) async throws {
    state.withLock { $0.isSleeping = true }
    defer { state.withLock { $0 = State() } }
    try await clock.sleep(for: least)
    guard duration > least else { return }
    try await withThrowingTaskGroup(of: Void.self) { group in
      defer { group.cancelAll() }
      group.addTask { [clock] in try await clock.sleep(for: duration - least) }
      group.addTask { await self.requested() }
      try await group.next()
    }
    try Task.checkCancellation()
  }

  private func requested() async {
    await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        let isDue = state.withLock { state in
          if state.isRequested || Task.isCancelled { return true }
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
