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
/// - The index is a UInt64, never below 1, and starts over when it goes back (Consul, Blocking
///   Queries), after a transport error or a 5xx (measured with 1.8.7); an answer without one is an
///   error (Consul, Blocking Queries).
/// - The last good set stays in force while the agent cannot be reached. While there is none, the
///   agent is asked again after 5 s at most, after any error.
/// - A poll waits at most about as long as the watch has existed: an agent holds the connection of an
///   abandoned poll until its wait is over (measured with 1.8.7), so a short-lived program leaves
///   short ones.
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

  /// Why there is no answer.
  package enum Failure: Sendable, Hashable {
    /// Refused, reset, ended half-way, timed out.
    case transport(String)
    /// An error status, with the text for the note.
    case status(Int, String)
    /// An answer that cannot be decoded.
    case malformed(String)
  }

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

  private let wait: Duration
  private let explains: Bool
  private let timing: BlockingQueryTiming
  private var pace: QueryPace

  private var index: UInt64?
  /// When the first query was sent.
  private var beganAt: Instant?
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
  private var backoff = Backoff()
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
    // Consul, Blocking Queries: the agent cuts more than ten minutes.
    self.wait = min(max(wait, .seconds(1)), .seconds(600))
    self.explains = explains
    self.timing = timing
    pace = QueryPace()
    failOpen = FailOpen(within: timing.allCriticalWindow, hold: timing.allCriticalHold)
    backoff.initial = timing.firstBackoff
    backoff.maximum = timing.maximumBackoff
  }

  // MARK: Events

  package mutating func begin(at now: Instant) -> Step { Step(publish: nil, next: ask(at: now)) }

  package mutating func timerFired(at now: Instant) -> Step {
    Step(publish: nil, next: query(at: now))
  }

  /// There is no room for another long poll at the agent: a query without waiting, after an
  /// interval.
  package mutating func overBudget(using random: inout some RandomNumberGenerator) -> Step {
    index = nil
    let pause = timing.overBudgetInterval * Double.random(in: 0.8...1.2, using: &random)
    return Step(publish: nil, next: .sleep(pause))
  }

  package mutating func answered(
    _ answer: Answer, at now: Instant, using random: inout some RandomNumberGenerator
  ) -> Step {
    if let interval { pause = interval * Double.random(in: 0.8...1.2, using: &random) }
    // Consul, Blocking Queries: a missing index is an error with backoff, not 0.
    guard let received = interval != nil ? 0 : answer.index.flatMap({ UInt64($0) }) else {
      return failed(
        .malformed("an answer without a usable X-Consul-Index"), at: now, using: &random)
    }
    backoff.reset()
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
      index = nil
    } else if let index, received < index {
      self.index = nil  // it starts over
      interrupted = true
    } else {
      index = max(1, received)  // 0 would be answered at once
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
    let text: String
    switch failure {
    case .transport(let reason), .malformed(let reason):
      text = reason
      interrupted = true
    case .status(let status, let reason):
      text = reason
      // A 5xx may come from an agent that starts over; a 4xx has nothing to do with its state.
      if status >= 500 { interrupted = true }
    }
    if let answer = tooOld {
      tooOld = nil
      if good == nil, let received = UInt64(answer.index ?? "0") {
        return accept(answer, received, at: now)
      }
    }
    index = nil
    let delay = delay(after: failure, using: &random)
    return Step(
      publish: change(to: keeping(text)),
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
    pace.answered(useful: publish != nil)
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
    let delay = max(pace.delay(at: now), pause)
    return delay > .zero ? .sleep(delay) : query(at: now)
  }

  private mutating func query(at now: Instant) -> Next {
    pace.asked(at: now)
    let began = beganAt ?? now
    beganAt = began
    guard let index else { return .query(index: nil, wait: nil, timeout: timing.answerTimeout) }
    var wait = min(wait, BlockingQuery.wait(ofAge: now - began))
    // Whether there is a leader again wakes no query.
    if leaderless.until != nil { wait = min(wait, timing.leaderlessInterval) }
    if let end = [holdUntil, failOpen.until, leaderless.until].compactMap({ $0 }).min() {
      // In time to end the hold; the agent adds up to a sixteenth (Consul, Blocking Queries).
      let left = end - now
      wait = min(wait, max(.milliseconds(100), left > .seconds(2) ? left * 16 / 17 : left))
    }
    return .query(index: index, wait: wait, timeout: wait + wait / 16 + timing.margin)
  }

  /// 1, 2, 5, 10, 20, 40, 60 s … for polls that are answered when their wait is over.
  private static func wait(ofAge age: Duration) -> Duration {
    var sum = Duration.zero
    for seconds in [1, 2, 5, 10, 20, 40, 60, 120, 300] {
      sum += .seconds(seconds)
      if age < sum { return .seconds(seconds) }
    }
    return .seconds(600)
  }

  /// How long to wait after a failure, by its kind.
  private mutating func delay(
    after failure: Failure, using random: inout some RandomNumberGenerator
  ) -> Duration {
    var least = Duration.zero
    if case .status(let status, _) = failure {
      switch status {
      case 400: least = timing.maximumBackoff  // a fault of this side: a retry does not help
      case 403, 404: least = .seconds(10)
      case 429: least = .seconds(1)
      default: break
      }
    }
    let grown = Duration.nanoseconds(Int64(clamping: backoff.next(using: &random)))
    let delay = max(grown, least * Double.random(in: 0.8...1.2, using: &random))
    // Every call fails meanwhile, and a further query costs an agent little.
    let hasNoInstances = good?.endpoints.isEmpty ?? true
    return hasNoInstances ? min(delay, timing.emptyBackoff) : delay
  }
}
