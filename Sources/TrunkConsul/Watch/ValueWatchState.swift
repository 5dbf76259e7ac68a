// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// The rules of the blocking query for one value (a key of the KV store, a discovery chain): the next
/// request, its time, and what to publish. Index, wait, rate and back-off are those of
/// ``PollSchedule``. No I/O, no clock.
///
///     begin -> ASKING --answered: a value, or that there is none -> publish what is new -> ASKING
///                 ^      '------- none after an error, or without a leader: kept, -> ASKING
///            timerFired -- WAITING <-- failed (back-off), no token (rate limit), overBudget
///
/// - The last answer stays in force while the agent cannot be reached, or refuses.
/// - A value that is missing after a transport error or 5xx is believed to be so after `holdTime` only:
///   an agent that has lost its state knows no keys (measured with 1.8.7). One that is missing from an
///   answer of a server without a leader after `leaderlessHold`.
package struct ValueWatchState<Value: Sendable & Hashable>: Sendable {
  package typealias Instant = ContinuousClock.Instant

  package enum Next: Sendable, Hashable {
    /// See ``BlockingQuery/Next``.
    case query(index: UInt64?, wait: Duration?, timeout: Duration)
    case sleep(Duration)
    case backOff(Duration, least: Duration)
  }
  package struct Snapshot: Sendable, Hashable {
    /// nil: it was never known.
    package var value: Value?
    /// Why the value may be old, or is not known.
    package var problem: String?
    package init(_ value: Value?, problem: String? = nil) {
      self.value = value
      self.problem = problem
    }
  }
  /// First publish, then do `next`.
  package struct Step: Sendable, Hashable {
    package var publish: Snapshot?
    package var next: Next
  }

  private let timing: BlockingQueryTiming
  private let missing: String
  private var schedule: PollSchedule
  private var known: Value?
  private var isMissing = true
  private var published: Snapshot?
  /// A transport error or 5xx since the last answer with a value.
  private var interrupted = false
  /// Until then a missing key has no effect.
  private var holdUntil: Instant?

  /// - Parameter missing: what is said of a missing value.
  package init(
    wait: Duration, timing: BlockingQueryTiming = .init(), missing: String = "is missing"
  ) {
    self.timing = timing
    self.missing = missing
    schedule = PollSchedule(wait: wait, timing: timing)
  }

  package mutating func begin(at now: Instant) -> Step { Step(publish: nil, next: ask(at: now)) }

  package mutating func timerFired(at now: Instant) -> Step {
    Step(publish: nil, next: query(at: now))
  }

  /// Another agent is asked from now on: an index of the one before says nothing, and this one may
  /// have lost its state.
  package mutating func moved(at now: Instant) -> Step {
    schedule.startOver()
    interrupted = true
    return Step(publish: nil, next: query(at: now))
  }

  package mutating func overBudget(using random: inout some RandomNumberGenerator) -> Step {
    Step(publish: nil, next: .sleep(schedule.overBudget(using: &random)))
  }

  /// - Parameters:
  ///   - isMissing: whether the value is what an agent without data answers.
  ///   - index: `X-Consul-Index` as it came.
  package mutating func answered(
    _ value: Value, isMissing: Bool, index: String?, knowsLeader: Bool? = nil, at now: Instant,
    using random: inout some RandomNumberGenerator
  ) -> Step {
    guard let received = PollSchedule.index(index) else {
      return failed(
        .malformed("an answer without a usable X-Consul-Index"), at: now, using: &random)
    }
    schedule.succeeded()
    if !schedule.answered(received) { interrupted = true }
    var problem: String?
    if isMissing, !self.isMissing, interrupted || knowsLeader == false {
      let hold = interrupted ? timing.holdTime : timing.leaderlessHold
      let until = holdUntil ?? now + hold
      if now < until {
        holdUntil = until
        problem =
          (interrupted
            ? "\(missing) since the agent was lost" : "\(missing), and there is no leader")
          + "; the last one is kept for \(ConsulDuration.text(hold))"
      }
    }
    if problem == nil {
      holdUntil = nil
      interrupted = false
      known = value
      self.isMissing = isMissing
    }
    let change = change(to: Snapshot(known, problem: problem))
    schedule.answered(useful: change != nil)
    return Step(publish: change, next: ask(at: now))
  }

  package mutating func failed(
    _ failure: PollSchedule.Failure, at now: Instant,
    using random: inout some RandomNumberGenerator
  ) -> Step {
    if failure.interrupts { interrupted = true }
    let most = known == nil ? timing.emptyBackoff : nil
    let delay = schedule.failed(failure, most: most, using: &random)
    return Step(
      publish: change(to: Snapshot(known, problem: failure.reason)),
      next: .backOff(delay, least: failure.isPermanent ? delay : min(delay, timing.leastBackoff)))
  }

  private mutating func change(to snapshot: Snapshot) -> Snapshot? {
    guard snapshot != published else { return nil }
    published = snapshot
    return snapshot
  }

  private mutating func ask(at now: Instant) -> Next {
    let delay = schedule.delay(at: now)
    return delay > .zero ? .sleep(delay) : query(at: now)
  }

  private mutating func query(at now: Instant) -> Next {
    let left = holdUntil.map { PollSchedule.wait(endingIn: $0 - now) }
    let (index, wait, timeout) = schedule.query(at: now, longest: left)
    return .query(index: index, wait: wait, timeout: timeout)
  }
}
