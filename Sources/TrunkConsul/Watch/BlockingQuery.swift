// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import TrunkDiscovery

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
/// - Instances that vanish in a mass are published as a last resort for a while (``PanicGuard``), except
///   those in maintenance, which a query without `passing` finds.
/// - A set from disk is used while there is none, the agent cannot be reached, or has lost its state.
/// - A stale answer whose server heard of the leader longer ago than `maxStale` is not used: the query is
///   sent once more without `stale` (Consul, Consistency Modes). If that fails and there is no
///   set yet, the old answer is better than none.
/// - What cannot block (a prepared query: Consul, Prepared Queries) is asked for again after `interval`,
///   ±20 %; its index means nothing.
/// - Three kinds of fault: a call in the wrong order is a fault of this side (asserted); a
///   malformed answer comes in as `.failed`; an answer without change is ignored.
package struct BlockingQuery: Sendable {
  package typealias Instant = ContinuousClock.Instant

  private let explains: Bool
  private let timing: BlockingQueryTiming
  private var schedule: PollSchedule
  private var failOpen: FailOpen
  private var leaderless: LeaderlessHold
  private var panic: PanicGuard
  private var stored: StoredSet?
  private var saving = SavePace()
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
  /// The answer whose reason is being queried: it is empty, or lacks most instances.
  private var unexplained: InstanceMapping?
  private var explainedAt: Instant?
  /// ACLs hid instances of the last answer.
  private var isFiltered = false
  /// The empty answer follows an error: it is not known when its instances turned critical.
  private var afterInterruption = false
  private var lastExplanation: InstanceCounts?

  /// - Parameters:
  ///   - explains: whether the query hides instances (`passing`), so that an empty answer needs a
  ///     second query.
  ///   - maxStale: how old a stale answer may be; nil: of any age.
  ///   - interval: of a query that cannot block; nil: it can.
  ///   - stored: the last good set of an earlier run, from disk.
  package init(
    wait: Duration, explains: Bool, maxStale: Duration? = nil, interval: Duration? = nil,
    stored: StoredSet? = nil, timing: BlockingQueryTiming = .init()
  ) {
    self.stored = stored
    panic = PanicGuard(
      share: timing.panicThreshold, least: timing.panicMinimum, hold: timing.panicHold)
    self.maxStale = maxStale
    self.interval = interval
    leaderless = LeaderlessHold(hold: timing.leaderlessHold)
    self.explains = explains
    self.timing = timing
    schedule = PollSchedule(wait: wait, timing: timing)
    failOpen = FailOpen(within: timing.allCriticalWindow, hold: timing.allCriticalHold)
  }

  // MARK: Events

  package mutating func begin(at now: Instant) -> Step { Step(next: ask(at: now)) }

  package mutating func timerFired(at now: Instant) -> Step {
    Step(next: query(at: now))
  }

  /// Another agent is asked from now on: an index of the one before says nothing, and this one may
  /// have lost its state.
  package mutating func moved(at now: Instant) -> Step {
    schedule.startOver()
    published = nil
    interrupted = true
    tooOld = nil
    return Step(next: query(at: now))
  }

  /// There is no room for another long poll at the agent: a query without waiting, after an
  /// interval.
  package mutating func overBudget(using random: inout some RandomNumberGenerator) -> Step {
    Step(next: .sleep(schedule.overBudget(using: &random)))
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
      return Step(next: .queryLeader(timeout: timing.answerTimeout))
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
    isFiltered = answer.info.isFiltered
    if mapping.endpoints.isEmpty { return emptied(mapping, at: now) }
    if explains, panic.isMass(mapping.endpoints, after: before) {
      unexplained = mapping
      return Step(next: .explain(timeout: timing.explainTimeout))
    }
    return acceptListed(mapping, takenOut: mapping.inMaintenance, at: now)
  }

  private mutating func acceptListed(
    _ mapping: InstanceMapping, takenOut: Set<String>, at now: Instant
  ) -> Step {
    let before = good?.endpoints ?? []
    interrupted = false
    holdUntil = nil
    failOpen.passing(mapping.endpoints, after: before, at: now)
    panic.judge(mapping.endpoints, after: before, takenOut: takenOut, at: now)
    good = mapping
    let note = leaderless.kept > 0 ? "\(mapping.counts); \(leaderless.note)" : "\(mapping.counts)"
    var step = step(Snapshot(mapping.endpoints, note), at: now)
    // Never what may be wrong.
    if leaderless.until == nil, panic.until == nil, !isFiltered,
      saving.isDue(mapping.endpoints, at: now)
    {
      step.save = mapping.endpoints
    }
    return step
  }

  /// - Parameters:
  ///   - counts: of all instances, or nil if they are not known.
  ///   - critical: the instance ids of those that are registered and critical.
  ///   - takenOut: of those that are in maintenance.
  package mutating func explained(
    _ counts: InstanceCounts?, critical: Set<String> = [], takenOut: Set<String> = [],
    at now: Instant
  ) -> Step {
    assert(unexplained != nil, "no explanation was asked for")
    let mapping = unexplained ?? InstanceMapping([], for: ConsulQuery(""))
    unexplained = nil
    guard mapping.endpoints.isEmpty else {
      return acceptListed(mapping, takenOut: takenOut, at: now)
    }
    lastExplanation = counts
    return acceptEmpty(
      mapping, critical: counts == nil ? nil : critical, takenOut: takenOut, at: now)
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
      publish: change(to: keeping(failure.reason), at: now),
      next: .backOff(delay, least: min(delay, timing.leastBackoff)))
  }

  /// Why the published set has instances that the last answer lacks.
  package var holds: Holds {
    var holds = Holds()
    if let published, !published.isAnswer, !published.endpoints.isEmpty {
      holds.kinds.append(good?.endpoints.isEmpty == false ? .lastGood : .failStatic)
    }
    let bounded: [(ConsulHold, Instant?)] = [
      (.emptyHold, holdUntil), (.allCriticalHold, failOpen.until),
      (.leaderlessHold, leaderless.until), (.panicHold, panic.until),
    ]
    for case (let kind, let end?) in bounded {
      holds.kinds.append(kind)
      holds.end = holds.end.map { min($0, end) } ?? end
    }
    return holds
  }

  // MARK: Empty answers

  private mutating func emptied(_ mapping: InstanceMapping, at now: Instant) -> Step {
    let wasInterrupted = interrupted
    if interrupted, let held = good?.endpoints ?? stored?.endpoints, !held.isEmpty {
      let until = holdUntil ?? now + timing.holdTime
      holdUntil = until
      if now < until {
        let note =
          "no instances since the agent was lost; the last \(held.count) are kept for "
          + ConsulDuration.text(timing.holdTime)
        return step(Snapshot(held, note), at: now)
      }
    }
    stored = nil
    interrupted = false
    holdUntil = nil
    afterInterruption = wasInterrupted
    if explains, mapping.counts.total == 0, mayExplain(at: now) {
      explainedAt = now
      unexplained = mapping
      return Step(next: .explain(timeout: timing.explainTimeout))
    }
    return acceptEmpty(
      mapping, critical: explains ? nil : mapping.critical, takenOut: mapping.inMaintenance, at: now
    )
  }

  /// - Parameter critical: nil if it is not known what is registered and critical.
  private mutating func acceptEmpty(
    _ mapping: InstanceMapping, critical: Set<String>?, takenOut: Set<String>, at now: Instant
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
    panic.judge([], after: good?.endpoints ?? [], takenOut: takenOut, at: now)
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
    let publish = change(to: snapshot, at: now)
    schedule.answered(useful: publish != nil)
    return Step(publish: publish, next: ask(at: now))
  }

  /// The order of endpoints is no difference: with `near` it changes with every round-trip time.
  private mutating func change(to snapshot: Snapshot, at now: Instant) -> Snapshot? {
    panic.expire(at: now)
    var snapshot = snapshot
    if !panic.kept.isEmpty {
      snapshot.lastResort = panic.kept
      snapshot.note += "; \(panic.note)"
    }
    if let published, published.note == snapshot.note, published.isAnswer == snapshot.isAnswer,
      published.lastResort == snapshot.lastResort,
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
      guard good == nil, let stored else { return Snapshot([], text, isAnswer: false) }
      return Snapshot(stored.endpoints, "\(text); \(stored.note)", isAnswer: false)
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
    let ends = [holdUntil, failOpen.until, leaderless.until, panic.until]
    if let end = ends.compactMap({ $0 }).min() {
      // In time to end the hold.
      let left = PollSchedule.wait(endingIn: end - now)
      longest = longest.map { min($0, left) } ?? left
    }
    let (index, wait, timeout) = schedule.query(at: now, longest: longest)
    return .query(index: index, wait: wait, timeout: timeout)
  }
}
