// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import TrunkSockets

/// Runs of resolvers by target, each with its subscribers.
///
/// ```
///   join ──► runs ── last one left ──► lingers ── join ──► runs
///                                         └── time over, or room is needed ──► ended
/// ```
final class SharedRuns: Sendable {
  typealias Event = ResolverDriver.Event

  struct Subscription: Sendable {
    let driver: ResolverDriver
    let events: AsyncStream<Event>
    fileprivate let key: Key
    fileprivate let number: UInt64
  }

  fileprivate struct Key: Hashable, Sendable {
    let target: String
    /// 0: shared. Another number has one subscriber.
    let own: UInt64
  }
  private struct Run: Sendable {
    let driver: ResolverDriver
    let generation: UInt64
    var task: Task<Void, Never>?
    var subscribers: [UInt64: AsyncStream<Event>.Continuation] = [:]
    /// What a subscriber gets when it joins.
    var latest: Event?
    var failure: Event?
    var linger: Task<Void, Never>?
  }
  private struct State: Sendable {
    var runs: [Key: Run] = [:]
    var lastNumber: UInt64 = 0
    mutating func number() -> UInt64 {
      lastNumber += 1
      return lastNumber
    }
  }
  private let state = Locked(State())
  private let linger: Duration
  private let limit: Int

  init(linger: Duration, limit: Int) {
    self.linger = linger
    self.limit = limit
  }

  var count: Int { state.withLock { $0.runs.count } }

  func join(
    _ target: String,
    _ make: (@escaping @Sendable (Event) -> Void) -> ResolverDriver
  ) -> Subscription {
    let (events, subscriber) = AsyncStream.makeStream(of: Event.self)
    let (reports, report) = AsyncStream.makeStream(of: Event.self)
    let new = make { report.yield($0) }
    let (subscription, ended) = state.withLock { state -> (Subscription, Run?) in
      let number = state.number()
      let shared = Key(target: target, own: 0)
      if var run = state.runs[shared] {
        run.linger?.cancel()
        run.linger = nil
        run.subscribers[number] = subscriber
        // Nobody waits for it yet: the stream is still to be returned.
        for event in [run.latest, run.failure] { if let event { subscriber.yield(event) } }
        state.runs[shared] = run
        return (
          Subscription(driver: run.driver, events: events, key: shared, number: number), nil
        )
      }
      let (hasRoom, ended) = SharedRuns.makeRoom(&state, limit)
      let key = hasRoom ? shared : Key(target: target, own: number)
      var run = Run(driver: new, generation: number)
      run.subscribers[number] = subscriber
      run.task = Task { [weak self] in
        await withTaskGroup(of: Void.self) { group in
          group.addTask { await new.run() }
          for await event in reports { self?.publish(event, key, number) }
          group.cancelAll()
        }
      }
      state.runs[key] = run
      return (Subscription(driver: new, events: events, key: key, number: number), ended)
    }
    ended?.task?.cancel()
    ended?.linger?.cancel()
    return subscription
  }

  func leave(_ subscription: Subscription) {
    let ended = state.withLock { state -> Run? in
      let key = subscription.key
      guard var run = state.runs[key],
        run.subscribers.removeValue(forKey: subscription.number) != nil
      else { return nil }
      guard run.subscribers.isEmpty else {
        state.runs[key] = run
        return nil
      }
      guard key.own == 0, linger > .zero else {
        state.runs[key] = nil
        return run
      }
      run.linger = Task { [linger, generation = run.generation, weak self] in
        // A cancelled sleep means a new subscriber.
        guard (try? await Task.sleep(for: linger)) != nil else { return }
        self?.end(key, generation)
      }
      state.runs[key] = run
      return nil
    }
    ended?.task?.cancel()
  }

  /// Whether there is room, and a run without subscribers that had to go for it.
  private static func makeRoom(_ state: inout State, _ limit: Int) -> (Bool, Run?) {
    guard state.runs.count >= limit else { return (true, nil) }
    guard let idle = state.runs.first(where: { $0.value.subscribers.isEmpty })?.key else {
      return (false, nil)
    }
    return (true, state.runs.removeValue(forKey: idle))
  }

  private func publish(_ event: Event, _ key: Key, _ generation: UInt64) {
    let subscribers = state.withLock { state -> [AsyncStream<Event>.Continuation] in
      guard var run = state.runs[key], run.generation == generation else { return [] }
      switch event {
      case .resolution:
        run.latest = event
        run.failure = nil
      case .failed: run.failure = event
      }
      state.runs[key] = run
      return Array(run.subscribers.values)
    }
    // One task publishes for a run, so none is followed by an older one.
    for subscriber in subscribers { subscriber.yield(event) }
  }

  private func end(_ key: Key, _ generation: UInt64) {
    let task = state.withLock { state -> Task<Void, Never>? in
      guard let run = state.runs[key], run.generation == generation, run.subscribers.isEmpty
      else { return nil }
      state.runs[key] = nil
      return run.task
    }
    task?.cancel()
  }

  deinit {
    for run in state.withLock({ $0.runs.values }) {
      run.task?.cancel()
      run.linger?.cancel()
    }
  }
}
