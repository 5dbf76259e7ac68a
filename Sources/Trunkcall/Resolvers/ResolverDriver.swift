// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import TrunkDiscovery
internal import TrunkSockets

/// Runs a resolver for others than one channel: again after a failure with back-off, and never more
/// often than allowed. Requests for a fresher result are merged until the next look-up; one that
/// comes during the back-off ends it, no sooner than the minimum interval allows.
///
/// ```
///   run() ─► resolve ── threw ──► back-off ── over, or requested ──► resolve
///               └── returned: the last result stays in force
/// ```
final class ResolverDriver: Sendable {
  enum Event: Sendable {
    case resolution(Resolution)
    /// One line.
    case failed(String)
  }

  private struct State: Sendable {
    var schedule: RefreshSchedule
    var backoff: Backoff
    var random = SystemRandom()
    /// Reports of an earlier run are ignored.
    var generation: UInt64 = 0
    /// Yielded to when there is a request.
    var waiters: [UInt64: AsyncStream<Void>.Continuation] = [:]
    var lastWaiter: UInt64 = 0
  }
  private let state: Locked<State>
  private let resolver: any Resolver
  private let target: Target
  private let onEvent: @Sendable (Event) -> Void

  /// - Parameters:
  ///   - minInterval: between two look-ups, unless the resolver has its own.
  ///   - onEvent: called in the order of the resolver's reports.
  init(
    _ resolver: any Resolver, _ target: Target, minInterval: Duration, backoff: Backoff,
    onEvent: @escaping @Sendable (Event) -> Void
  ) {
    self.resolver = resolver
    self.target = target
    self.onEvent = onEvent
    state = Locked(
      State(
        schedule: RefreshSchedule(own: resolver.refreshInterval, requests: minInterval),
        backoff: backoff))
  }

  /// Somebody wants a fresher result.
  func requestRefresh() {
    let waiters = state.withLock { state in
      state.schedule.request()
      return Array(state.waiters.values)
    }
    for waiter in waiters { waiter.yield() }
  }

  /// Runs until its task is cancelled.
  func run() async {
    while !Task.isCancelled {
      let generation = state.withLock { state in
        state.generation += 1
        state.schedule.began(at: Clock.now())
        return state.generation
      }
      do {
        try await resolver.resolve(target, session(generation))
        // The last result stays in force.
        try? await wait { _ in nil }
        return
      } catch {
        if Task.isCancelled { return }
        failed("\(error)", generation)
      }
      let delay = state.withLock { $0.backoff.next(using: &$0.random) }
      let end = Clock.now().adding(.nanoseconds(Int64(clamping: delay)))
      try? await wait { min(end, $0.dueByRequest ?? .max) }
    }
  }

  private func session(_ generation: UInt64) -> ResolverSession {
    ResolverSession(
      onReport: { [weak self] in self?.reported($0, generation) },
      onFailure: { [weak self] in self?.failed($0, generation) },
      onRefreshWithin: { [weak self] age in
        let start = Clock.now()
        guard let self else { throw CancellationError() }
        try await wait { $0.due(waitingSince: start, age: age) }
      })
  }

  private func reported(_ resolution: Resolution, _ generation: UInt64) {
    let isCurrent = state.withLock { state in
      guard state.generation == generation else { return false }
      state.schedule.reported()
      state.backoff.reset()
      return true
    }
    if isCurrent { onEvent(.resolution(resolution)) }
  }

  private func failed(_ note: String, _ generation: UInt64) {
    if state.withLock({ $0.generation == generation }) { onEvent(.failed(note)) }
  }

  /// Suspends until `due`; nil: not before a request changes it.
  /// - Throws: `CancellationError`.
  private func wait(
    until due: @escaping @Sendable (RefreshSchedule) -> UInt64?
  ) async throws {
    while true {
      let (signals, signal) = AsyncStream.makeStream(
        of: Void.self, bufferingPolicy: .bufferingNewest(1))
      let key = state.withLock { state in
        state.lastWaiter += 1
        state.waiters[state.lastWaiter] = signal
        return state.lastWaiter
      }
      defer { state.withLock { $0.waiters[key] = nil } }
      let now = Clock.now()
      let time = state.withLock { state -> UInt64? in
        let time = due(state.schedule)
        if let time, time <= now { state.schedule.began(at: now) }
        return time
      }
      if let time, time <= now { return try Task.checkCancellation() }
      let timer = time.map { time in
        Task {
          try? await Task.sleep(for: .nanoseconds(Int64(clamping: time - now)))
          signal.yield()
        }
      }
      defer { timer?.cancel() }
      var iterator = signals.makeAsyncIterator()
      _ = await iterator.next()
      try Task.checkCancellation()
    }
  }
}
