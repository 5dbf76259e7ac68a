// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
package import TrunkDiscovery

/// The rules of one blocking query as a value: what to ask next, when, and what to publish.
///
///     begin -> ASKING --answered--> judge --nothing new--------------> ASKING
///                 ^                  |-----changed--------> publish -> ASKING
///                 |                  |-----empty, cause unknown -----> EXPLAINING -> publish
///                 |                  '-----empty after a break ------> ASKING, kept for 30 s
///                 '--woke-- WAITING <--failed (backoff), or no token (rate limit)
///
/// Rules:
/// - The return of a query is no sign of change; only a different set or note is published (C-1).
/// - The index is a UInt64, never below 1, and starts over when it goes back (C-2), after a
///   transport error or a 5xx (C-4); an answer without one is an error (C-3, C-5).
/// - The last good set stays in force while the agent cannot be asked (C-13).
/// - An empty answer after such a break is believed after `holdTime` only (V-21); without one at
///   once.
/// - Three kinds of wrong: a call in the wrong order is our bug (asserted); what the agent says
///   wrongly comes in as `.failed`; an answer without change is silently ignored.
package struct BlockingQuery: Sendable {
  package typealias Instant = ContinuousClock.Instant

  /// A whole answer of the agent.
  package struct Answer: Sendable {
    /// `X-Consul-Index` as it came.
    package var index: String?
    package var mapping: InstanceMapping
    package init(index: String?, _ mapping: InstanceMapping) {
      self.index = index
      self.mapping = mapping
    }
  }

  /// Why there is no answer.
  package enum Failure: Sendable, Hashable {
    /// Refused, reset, ended half-way, too late.
    case transport(String)
    /// An error status, with the text for the note.
    case status(Int, String)
    /// An answer that cannot be understood.
    case malformed(String)
  }

  /// What subscribers get.
  package struct Snapshot: Sendable, Hashable {
    package var endpoints: [Endpoint]
    package var note: String
    package init(_ endpoints: [Endpoint], _ note: String) {
      self.endpoints = endpoints
      self.note = note
    }
  }

  package enum Next: Sendable, Hashable {
    /// Ask; without an index the agent answers at once. Give up after `timeout` (C-6).
    case query(index: UInt64?, wait: Duration?, timeout: Duration)
    /// Ask once, at once, without `passing`, to be able to say why there is nothing.
    case explain(timeout: Duration)
    case sleep(Duration)
  }

  /// First publish, then do what is next.
  package struct Step: Sendable, Hashable {
    package var publish: Snapshot?
    package var next: Next
  }

  private let wait: Duration
  private let explains: Bool
  private let timing: BlockingQueryTiming
  private var pace: QueryPace

  private var index: UInt64?
  /// The last set that the agent gave and we believed; nil before the first.
  private var good: InstanceMapping?
  private var published: Snapshot?
  /// A break happened since the last answer with instances in it.
  private var broken = false
  /// Until when an empty answer is not believed.
  private var holdUntil: Instant?
  private var backoff = Backoff()
  /// The empty answer that is being explained.
  private var unexplained: InstanceMapping?
  private var explainedAt: Instant?
  private var lastExplanation: InstanceCounts?

  /// - Parameter explains: whether the query hides instances (`passing`), so that an empty answer
  ///   needs a second question.
  package init(wait: Duration, explains: Bool, timing: BlockingQueryTiming = .init()) {
    // C-6: more than ten minutes is cut off by the agent.
    self.wait = min(max(wait, .seconds(1)), .seconds(600))
    self.explains = explains
    self.timing = timing
    pace = QueryPace()
    backoff.initial = timing.firstBackoff
    backoff.maximum = timing.maximumBackoff
  }

  // MARK: Events

  package mutating func begin(at now: Instant) -> Step { Step(publish: nil, next: ask(at: now)) }

  package mutating func woke(at now: Instant) -> Step { Step(publish: nil, next: query(at: now)) }

  package mutating func answered(
    _ answer: Answer, at now: Instant, using random: inout some RandomNumberGenerator
  ) -> Step {
    // C-5: a missing index is an error with backoff, not 0.
    guard let text = answer.index, let received = UInt64(text) else {
      return failed(
        .malformed("an answer without a usable X-Consul-Index"), at: now, using: &random)
    }
    backoff.reset()
    if let index, received < index {
      self.index = nil  // C-2
      broken = true
    } else {
      index = max(1, received)  // C-3
    }
    if answer.mapping.endpoints.isEmpty {
      return emptied(answer.mapping, at: now)
    }
    broken = false
    holdUntil = nil
    good = answer.mapping
    return step(Snapshot(answer.mapping.endpoints, "\(answer.mapping.counts)"), at: now)
  }

  /// The counts of all instances, or nil if they could not be had.
  package mutating func explained(_ counts: InstanceCounts?, at now: Instant) -> Step {
    assert(unexplained != nil, "no explanation was asked for")
    lastExplanation = counts
    let mapping = unexplained ?? InstanceMapping([], for: ConsulQuery(""))
    unexplained = nil
    return believeEmpty(mapping, at: now)
  }

  package mutating func failed(
    _ failure: Failure, at now: Instant, using random: inout some RandomNumberGenerator
  ) -> Step {
    let text: String
    switch failure {
    case .transport(let reason), .malformed(let reason):
      text = reason
      broken = true
    case .status(let status, let reason):
      text = reason
      // C-4 names 5xx; a 4xx says nothing about the agent's state.
      if status >= 500 { broken = true }
    }
    index = nil
    let delay = delay(after: failure, using: &random)
    return Step(publish: change(to: keeping(text)), next: .sleep(delay))
  }

  // MARK: Empty answers

  private mutating func emptied(_ mapping: InstanceMapping, at now: Instant) -> Step {
    if broken, let good, !good.endpoints.isEmpty {
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
    broken = false
    holdUntil = nil
    if explains, mapping.counts.total == 0, mayExplain(at: now) {
      explainedAt = now
      unexplained = mapping
      return Step(publish: nil, next: .explain(timeout: timing.explainTimeout))
    }
    return believeEmpty(mapping, at: now)
  }

  private mutating func believeEmpty(_ mapping: InstanceMapping, at now: Instant) -> Step {
    // Instances without a port were in the answer itself; only hidden ones need explaining.
    let counts = explains && mapping.counts.total == 0 ? lastExplanation : mapping.counts
    good = mapping
    return step(Snapshot([], counts.map { "\($0)" } ?? "no passing instances"), at: now)
  }

  private func mayExplain(at now: Instant) -> Bool {
    guard let explainedAt else { return true }
    // A set that has just become empty is always worth the question.
    return published?.endpoints.isEmpty == false || now - explainedAt >= timing.explainInterval
  }

  // MARK: What is next

  private mutating func step(_ snapshot: Snapshot, at now: Instant) -> Step {
    let publish = change(to: snapshot)
    pace.answered(useful: publish != nil)
    return Step(publish: publish, next: ask(at: now))
  }

  /// C-1. The order of endpoints is no difference: with `near` it moves with every ping.
  private mutating func change(to snapshot: Snapshot) -> Snapshot? {
    if let published, published.note == snapshot.note,
      Set(published.endpoints) == Set(snapshot.endpoints)
    {
      return nil
    }
    published = snapshot
    return snapshot
  }

  /// The last good set with what went wrong since (C-13).
  private func keeping(_ text: String) -> Snapshot {
    guard let good, !good.endpoints.isEmpty else { return Snapshot([], text) }
    let count = good.endpoints.count
    return Snapshot(
      good.endpoints,
      "\(text); the last \(count == 1 ? "instance is" : "\(count) instances are") kept")
  }

  /// C-8: waits for a token, then asks.
  private mutating func ask(at now: Instant) -> Next {
    let delay = pace.delay(at: now)
    return delay > .zero ? .sleep(delay) : query(at: now)
  }

  private mutating func query(at now: Instant) -> Next {
    pace.asked(at: now)
    guard let index else { return .query(index: nil, wait: nil, timeout: timing.answerTimeout) }
    var wait = wait
    if let holdUntil {
      // Back in time to end the hold; the agent adds up to a sixteenth (C-6).
      let left = holdUntil - now
      wait = min(wait, max(.milliseconds(100), left > .seconds(2) ? left * 16 / 17 : left))
    }
    return .query(index: index, wait: wait, timeout: wait + wait / 16 + timing.margin)
  }

  /// C-13, C-21.
  private mutating func delay(
    after failure: Failure, using random: inout some RandomNumberGenerator
  ) -> Duration {
    var least = Duration.zero
    if case .status(let status, _) = failure {
      switch status {
      case 400: least = timing.maximumBackoff  // our own mistake: asking again will not help
      case 403, 404: least = .seconds(10)
      case 429: least = .seconds(1)
      default: break
      }
    }
    let grown = Duration.nanoseconds(Int64(clamping: backoff.next(using: &random)))
    return max(grown, least * Double.random(in: 0.8...1.2, using: &random))
  }
}

/// The times of a ``BlockingQuery``.
package struct BlockingQueryTiming: Sendable, Hashable {
  /// How long an empty answer after a break is not believed.
  package var holdTime = Duration.seconds(30)
  /// Added to the longest time that the agent may take (C-6).
  package var margin = Duration.seconds(10)
  /// For an answer at once; below the 5 s that clients usually wait for a connection, so that
  /// their error can say what is wrong.
  package var answerTimeout = Duration.seconds(4)
  /// C-13: grows by 1.6, ±20 %.
  package var firstBackoff = Duration.milliseconds(250)
  package var maximumBackoff = Duration.seconds(60)
  package var explainTimeout = Duration.seconds(1)
  package var explainInterval = Duration.seconds(5)
  package init() {}
}
