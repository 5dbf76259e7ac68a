// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
package import TrunkDiscovery

/// The rules of one blocking query as a value: the next request, its time, and what to publish.
///
///     begin -> ASKING --answered--> judge --nothing new--------------> ASKING
///                 ^                  |-----changed--------> publish -> ASKING
///                 |                  |-----empty, cause unknown -----> EXPLAINING -> publish
///                 |                  |-----empty after an error -----> ASKING, kept for 30 s
///                 |                  '-----all critical at once -----> ASKING, kept for 30 s
///            timerFired -- WAITING <-- failed (backoff), no token (rate limit), overBudget
///
/// Rules:
/// - The return of a query is no sign of change; only a different set or note is published (Consul,
///   Blocking Queries).
/// - Index, wait, rate and back-off are those of ``PollSchedule``. The index starts over after a
///   transport error or a 5xx as well (measured with 1.8.7).
/// - The last good set stays in force while the agent cannot be reached. While there is none, the
///   agent is asked again after 5 s at most, after any error.
/// - Where the polls to an agent have reached their limit, the watch queries every few seconds
///   without waiting.
/// - An empty answer after a transport error or 5xx takes effect after `holdTime` only (measured
///   with 1.8.7); without one at once, unless all instances turned critical within one check
///   interval (``FailOpen``).
/// - An answer that lacks instances and comes from a server without a leader does not take them out
///   (``LeaderlessHold``).
/// - A stale answer whose server heard of the leader longer ago than `maxStale` is not used: the query is
///   sent once more without `stale` (Consul, Consistency Modes). If that fails and there is no
///   set yet, the old answer is better than none.
/// - What cannot block (a prepared query: Consul, Prepared Queries) is asked for again after `interval`,
///   ±20 %; its index means nothing.
/// - Three kinds of fault: a call in the wrong order is a fault of this side (asserted); a
///   malformed answer comes in as `.failed`; an answer without change is ignored.
package struct BlockingQuery: Sendable {
  package typealias Instant = ContinuousClock.Instant

  /// A whole answer of the agent.
  package struct Answer: Sendable {
    /// `X-Consul-Index` as it came.
    package var index: String?
    package var mapping: InstanceMapping
    package var info: AnswerInfo
    package init(index: String?, _ mapping: InstanceMapping, _ info: AnswerInfo = AnswerInfo()) {
      self.index = index
      self.mapping = mapping
      self.info = info
    }
  }

  package typealias Failure = PollSchedule.Failure

  /// What subscribers get.
  package struct Snapshot: Sendable, Hashable {
    package var endpoints: [Endpoint]
    package var note: String
    /// False: the agent could not be reached, or refused; the endpoints are the last known ones.
    package var isAnswer: Bool
    package init(_ endpoints: [Endpoint], _ note: String, isAnswer: Bool = true) {
      self.endpoints = endpoints
      self.note = note
      self.isAnswer = isAnswer
    }
  }

  package enum Next: Sendable, Hashable {
    /// Send the query; without an index the agent answers at once. Give up after `timeout` (Consul,
    /// Blocking Queries).
    case query(index: UInt64?, wait: Duration?, timeout: Duration)
    /// Query once, without waiting and without `stale`: the answer was too old.
    case queryLeader(timeout: Duration)
    /// Query once, without waiting and without `passing`, to find the reason for an empty set.
    case explain(timeout: Duration)
    case sleep(Duration)
    /// After a failure. A call that finds no server ends it, but not before `least`.
    case backOff(Duration, least: Duration)
  }

  /// First publish, then do `next`.
  package struct Step: Sendable, Hashable {
    package var publish: Snapshot?
    package var next: Next
  }

  private let explains: Bool
  private let timing: BlockingQueryTiming
  private var schedule: PollSchedule
  private var failOpen: FailOpen
  private var leaderless: LeaderlessHold
  private let maxStale: Duration?
  /// Of queries that cannot block.
  private let interval: Duration?
  private var pause = Duration.zero
  /// The answer that was too old, while the leader is asked.
  private var tooOld: Answer?
  /// The last set that took effect; nil before the first.
  private var good: InstanceMapping?
  private var published: Snapshot?
  /// A transport error or 5xx since the last answer with instances.
  private var interrupted = false
  /// Until then an empty answer has no effect.
  private var holdUntil: Instant?
  /// The empty answer whose reason is being queried.
  private var unexplained: InstanceMapping?
  private var explainedAt: Instant?
  /// The empty answer follows an error: it is not known when its instances turned critical.
  private var afterInterruption = false
  private var lastExplanation: InstanceCounts?

  /// - Parameters:
  ///   - explains: whether the query hides instances (`passing`), so that an empty answer needs a
  ///     second query.
  ///   - maxStale: how old a stale answer may be; nil: of any age.
  ///   - interval: of a query that cannot block; nil: it can.
  package init(
    wait: Duration, explains: Bool, maxStale: Duration? = nil, interval: Duration? = nil,
    timing: BlockingQueryTiming = .init()
  ) {
    self.maxStale = maxStale
    self.interval = interval
    leaderless = LeaderlessHold(hold: timing.leaderlessHold)
    self.explains = explains
    self.timing = timing
    schedule = PollSchedule(wait: wait, timing: timing)
    failOpen = FailOpen(within: timing.allCriticalWindow, hold: timing.allCriticalHold)
  }

  // MARK: Events

  package mutating func begin(at now: Instant) -> Step { Step(publish: nil, next: ask(at: now)) }

  package mutating func timerFired(at now: Instant) -> Step {
    Step(publish: nil, next: query(at: now))
  }

  /// There is no room for another long poll at the agent: a query without waiting, after an
  /// interval.
  package mutating func overBudget(using random: inout some RandomNumberGenerator) -> Step {
    Step(publish: nil, next: .sleep(schedule.overBudget(using: &random)))
  }

  package mutating func answered(
    _ answer: Answer, at now: Instant, using random: inout some RandomNumberGenerator
  ) -> Step {
    if let interval { pause = interval * Double.random(in: 0.8...1.2, using: &random) }
    // Consul, Blocking Queries: a missing index is an error with backoff, not 0.
    guard let received = interval != nil ? 0 : PollSchedule.index(answer.index) else {
      return failed(
        .malformed("an answer without a usable X-Consul-Index"), at: now, using: &random)
    }
    schedule.succeeded()
    if tooOld == nil, let maxStale, let lastContact = answer.info.lastContact,
      lastContact > maxStale
    {
      tooOld = answer
      return Step(publish: nil, next: .queryLeader(timeout: timing.answerTimeout))
    }
    tooOld = nil
    return accept(answer, received, at: now)
  }

  private mutating func accept(_ answer: Answer, _ received: UInt64, at now: Instant) -> Step {
    if interval != nil {
      schedule.startOver()
    } else if !schedule.answered(received) {
      interrupted = true
    }
    let before = good?.endpoints ?? []
    let mapping = leaderless.judge(
      answer.mapping, knowsLeader: answer.info.knowsLeader, after: before, at: now)
    if mapping.endpoints.isEmpty { return emptied(mapping, at: now) }
    interrupted = false
    holdUntil = nil
    failOpen.passing(mapping.endpoints, after: before, at: now)
    good = mapping
    let note = leaderless.kept > 0 ? "\(mapping.counts); \(leaderless.note)" : "\(mapping.counts)"
    return step(Snapshot(mapping.endpoints, note), at: now)
  }

  /// - Parameters:
  ///   - counts: of all instances, or nil if they are not known.
  ///   - critical: the instance ids of those that are registered and critical.
  package mutating func explained(
    _ counts: InstanceCounts?, critical: Set<String> = [], at now: Instant
  ) -> Step {
    assert(unexplained != nil, "no explanation was asked for")
    lastExplanation = counts
    let mapping = unexplained ?? InstanceMapping([], for: ConsulQuery(""))
    unexplained = nil
    return acceptEmpty(mapping, critical: counts == nil ? nil : critical, at: now)
  }

  package mutating func failed(
    _ failure: Failure, at now: Instant, using random: inout some RandomNumberGenerator
  ) -> Step {
    if failure.interrupts { interrupted = true }
    if let answer = tooOld {
      tooOld = nil
      if good == nil, let received = UInt64(answer.index ?? "0") {
        return accept(answer, received, at: now)
      }
    }
    // Without an instance every call fails, and a further query costs an agent little.
    let most = good?.endpoints.isEmpty ?? true ? timing.emptyBackoff : nil
    let delay = schedule.failed(failure, most: most, using: &random)
    return Step(
      publish: change(to: keeping(failure.reason)),
      next: .backOff(delay, least: min(delay, timing.leastBackoff)))
  }

  // MARK: Empty answers

  private mutating func emptied(_ mapping: InstanceMapping, at now: Instant) -> Step {
    let wasInterrupted = interrupted
    if interrupted, let good, !good.endpoints.isEmpty {
      let until = holdUntil ?? now + timing.holdTime
      holdUntil = until
      if now < until {
        let held = good.endpoints.count
        let note =
          "no instances since the agent was lost; the last \(held) are kept for "
          + ConsulDuration.text(timing.holdTime)
        return step(Snapshot(good.endpoints, note), at: now)
      }
    }
    interrupted = false
    holdUntil = nil
    afterInterruption = wasInterrupted
    if explains, mapping.counts.total == 0, mayExplain(at: now) {
      explainedAt = now
      unexplained = mapping
      return Step(publish: nil, next: .explain(timeout: timing.explainTimeout))
    }
    return acceptEmpty(mapping, critical: explains ? nil : mapping.critical, at: now)
  }

  /// - Parameter critical: nil if it is not known what is registered and critical.
  private mutating func acceptEmpty(
    _ mapping: InstanceMapping, critical: Set<String>?, at now: Instant
  ) -> Step {
    // Instances without a port were in the answer itself; only hidden ones need a second query.
    let counts = explains && mapping.counts.total == 0 ? lastExplanation : mapping.counts
    let text = counts.map { "\($0)" } ?? "no passing instances"
    let kept = failOpen.empty(
      after: good?.endpoints ?? [], critical: afterInterruption ? [] : critical, at: now)
    guard kept.isEmpty else {
      good?.endpoints = kept
      return step(Snapshot(kept, "\(text); \(failOpen.note(keeping: kept.count))"), at: now)
    }
    good = mapping
    return step(Snapshot([], text), at: now)
  }

  private func mayExplain(at now: Instant) -> Bool {
    guard let explainedAt else { return true }
    // A set that has just become empty is always queried, and one that is kept although it is
    // critical may be deregistered at any moment.
    return published?.endpoints.isEmpty == false || now - explainedAt >= timing.explainInterval
  }

  // MARK: What is next

  private mutating func step(_ snapshot: Snapshot, at now: Instant) -> Step {
    let publish = change(to: snapshot)
    schedule.answered(useful: publish != nil)
    return Step(publish: publish, next: ask(at: now))
  }

  /// The order of endpoints is no difference: with `near` it changes with every round-trip time.
  private mutating func change(to snapshot: Snapshot) -> Snapshot? {
    if let published, published.note == snapshot.note, published.isAnswer == snapshot.isAnswer,
      Set(published.endpoints) == Set(snapshot.endpoints)
    {
      return nil
    }
    published = snapshot
    return snapshot
  }

  /// The last good set with the error since.
  private func keeping(_ text: String) -> Snapshot {
    guard let good, !good.endpoints.isEmpty else {
      return Snapshot([], text, isAnswer: false)
    }
    let count = good.endpoints.count
    return Snapshot(
      good.endpoints,
      "\(text); the last \(count == 1 ? "instance is" : "\(count) instances are") kept",
      isAnswer: false)
  }

  /// Consul, Blocking Queries: waits for a token, then asks.
  private mutating func ask(at now: Instant) -> Next {
    let delay = max(schedule.delay(at: now), pause)
    return delay > .zero ? .sleep(delay) : query(at: now)
  }

  private mutating func query(at now: Instant) -> Next {
    // Whether there is a leader again wakes no query.
    var longest = leaderless.until != nil ? timing.leaderlessInterval : nil
    if let end = [holdUntil, failOpen.until, leaderless.until].compactMap({ $0 }).min() {
      // In time to end the hold.
      let left = PollSchedule.wait(endingIn: end - now)
      longest = longest.map { min($0, left) } ?? left
    }
    let (index, wait, timeout) = schedule.query(at: now, longest: longest)
    return .query(index: index, wait: wait, timeout: timeout)
  }
}
