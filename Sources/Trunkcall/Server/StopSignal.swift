// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import Synchronization
internal import TrunkSockets

#if ServiceLifecycle
  // The task-local value behind `withGracefulShutdownHandler`; there is no other way to bind it for
  // tasks that are not the service group's own.
  @_spi(TestKit) internal import ServiceLifecycle
#endif

/// Signals the graceful stop of a server to its handlers.
final class StopSignal: Sendable {
  private struct State {
    var hasBegun = false
    var waiters: [ObjectIdentifier: CheckedContinuation<Void, any Error>] = [:]
  }
  private let state = Locked(State())
  #if ServiceLifecycle
    private let manager = GracefulShutdownManager()
  #endif

  /// For calls without a server that could stop.
  static let never = StopSignal()

  var hasBegun: Bool { state.withLock { $0.hasBegun } }

  func begin() {
    let waiters = state.withLock { state in
      state.hasBegun = true
      defer { state.waiters = [:] }
      return state.waiters.values
    }
    for waiter in waiters { waiter.resume() }
    #if ServiceLifecycle
      manager.shutdownGracefully()
    #endif
  }

  /// Runs `make`; tasks that it creates get the stop by swift-service-lifecycle's API as well.
  func bind<R>(_ make: () -> R) -> R {
    #if ServiceLifecycle
      TaskLocals.$gracefulShutdownManager.withValue(manager, operation: make)
    #else
      make()
    #endif
  }

  func wait() async throws(CancellationError) {
    let ticket = WaitTicket()
    do {
      try await withTaskCancellationHandler {
        try await withCheckedThrowingContinuation { continuation in
          let ready: Result<Void, any Error>? = state.withLock { state in
            if state.hasBegun { return .success(()) }
            if Task.isCancelled { return .failure(CancellationError()) }
            state.waiters[ObjectIdentifier(ticket)] = continuation
            return nil
          }
          if let ready { continuation.resume(with: ready) }
        }
      } onCancel: {
        let waiter = state.withLock { $0.waiters.removeValue(forKey: ObjectIdentifier(ticket)) }
        waiter?.resume(throwing: CancellationError())
      }
    } catch { throw CancellationError() }
  }
}
