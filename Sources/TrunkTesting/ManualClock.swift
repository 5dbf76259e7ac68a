// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import Synchronization
private import TrunkSockets

/// A clock that stands still until a test moves it, so that a back-off of a minute takes no time.
///
///     let clock = ManualClock()
///     var options = ConsulOptions(agent: ConsulAgent(agent.address))
///     options.clock = clock
///     // … the agent has answered with 500; then:
///     await clock.waitForSleepers()
///     clock.advance(by: .seconds(60))
public final class ManualClock: _Concurrency.Clock {
  /// The time since the clock was made.
  public struct Instant: InstantProtocol {
    /// Since the clock was made.
    public var elapsed: Duration

    /// See `InstantProtocol`.
    public func advanced(by duration: Duration) -> Instant {
      Instant(elapsed: elapsed + duration)
    }
    /// See `InstantProtocol`.
    public func duration(to other: Instant) -> Duration { other.elapsed - elapsed }
    /// The earlier one is less.
    public static func < (a: Instant, b: Instant) -> Bool { a.elapsed < b.elapsed }
  }
  /// As of the system's clocks.
  public typealias Duration = Swift.Duration

  private struct Sleeper {
    var deadline: Instant
    var continuation: CheckedContinuation<Bool, Never>
  }
  private struct State {
    var now = Instant(elapsed: .zero)
    var sleepers: [UInt64: Sleeper] = [:]
    var cancelled: Set<UInt64> = []
    var nextID: UInt64 = 0
  }
  private let state = Locked(State())

  /// Stands at zero.
  public init() {}

  /// The time that the test has set.
  public var now: Instant { state.withLock { $0.now } }

  /// Zero: a sleep ends exactly when the clock reaches its deadline.
  public var minimumResolution: Duration { .zero }

  /// How long until the earliest sleep ends; nil: nothing sleeps.
  public var next: Duration? {
    state.withLock { state in
      state.sleepers.values.map(\.deadline).min().map { state.now.duration(to: $0) }
    }
  }

  /// How many tasks sleep.
  public var sleepers: Int { state.withLock { $0.sleepers.count } }

  /// Moves the clock on, and ends the sleeps whose time has come. Does not wait for their tasks. It never
  /// goes back.
  public func advance(by duration: Duration) {
    let duration = max(.zero, duration)
    let due = state.withLock { state -> [Sleeper] in
      state.now = state.now.advanced(by: duration)
      let ids = state.sleepers.filter { $0.value.deadline <= state.now }.map(\.key)
      return ids.compactMap { state.sleepers.removeValue(forKey: $0) }
    }
    for sleeper in due.sorted(by: { $0.deadline < $1.deadline }) {
      sleeper.continuation.resume(returning: true)
    }
  }

  /// Returns when at least `count` tasks sleep, or when `limit` of real time is over.
  /// - Returns: whether they do.
  @discardableResult
  public nonisolated(nonsending) func waitForSleepers(
    _ count: Int = 1, within limit: Duration = .seconds(10)
  ) async -> Bool {
    let end = ContinuousClock.now + limit
    while sleepers < count {
      guard ContinuousClock.now < end, !Task.isCancelled else { return false }
      try? await Task.sleep(for: .milliseconds(1))
    }
    return true
  }

  /// Sleeps until ``advance(by:)`` has reached the deadline.
  /// - Throws: `CancellationError`.
  public func sleep(until deadline: Instant, tolerance: Duration?) async throws {
    try Task.checkCancellation()
    let id = state.withLock { state in
      defer { state.nextID += 1 }
      return state.nextID
    }
    let isOver = await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        let result = state.withLock { state -> Bool? in
          if state.cancelled.remove(id) != nil { return false }
          guard deadline > state.now else { return true }
          state.sleepers[id] = Sleeper(deadline: deadline, continuation: continuation)
          return nil
        }
        if let result { continuation.resume(returning: result) }
      }
    } onCancel: {
      let sleeper = state.withLock { state -> Sleeper? in
        guard let sleeper = state.sleepers.removeValue(forKey: id) else {
          state.cancelled.insert(id)
          return nil
        }
        return sleeper
      }
      sleeper?.continuation.resume(returning: false)
    }
    state.withLock { _ = $0.cancelled.remove(id) }
    guard isOver else { throw CancellationError() }
  }
}
