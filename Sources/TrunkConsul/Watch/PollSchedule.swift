// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import TrunkDiscovery

/// The index of the next query, how long it may wait, and when it may be sent: what blocking queries
/// have in common, whatever they ask for (Consul, Blocking Queries). No I/O, no clock.
///
/// - The index is a UInt64, never below 1, and starts over when it goes back. An answer without one is
///   an error.
/// - A poll waits at most about as long as the watch has existed: an agent holds the connection of an
///   abandoned poll until its wait is over (measured with 1.8.7), so a short-lived program leaves
///   short ones.
/// - The rate is that of ``QueryPace``; the back-off after a failure depends on its kind.
package struct PollSchedule: Sendable {
  package typealias Instant = ContinuousClock.Instant

  /// Why there is no answer.
  package enum Failure: Sendable, Hashable {
    /// Refused, reset, ended half-way, timed out.
    case transport(String)
    /// An error status, with the text for the note.
    case status(Int, String)
    /// An answer that cannot be decoded.
    case malformed(String)
    /// A refusal that lasts until somebody changes the agent: asked again at the slowest.
    case permanent(String)

    package var reason: String {
      switch self {
      case .transport(let reason), .malformed(let reason), .status(_, let reason),
        .permanent(let reason):
        reason
      }
    }

    package var isPermanent: Bool { if case .permanent = self { true } else { false } }

    /// Whether the agent may have lost its state: a 5xx may come from one that starts over; a 4xx has
    /// nothing to do with its state.
    package var interrupts: Bool {
      switch self {
      case .status(let status, _): status >= 500
      case .permanent: false
      case .transport, .malformed: true
      }
    }
  }

  /// An agent that restarts, or a cluster without a leader, fails the polls of all its clients in the
  /// same moment. Of 300 at most a third may come back within any 100 ms.
  package static let firstJitter = 0.8

  private let wait: Duration
  private let timing: BlockingQueryTiming
  private var pace = QueryPace()
  private var backoff = Backoff()
  private var index: UInt64?
  /// When the first query was sent.
  private var beganAt: Instant?

  package init(wait: Duration, timing: BlockingQueryTiming) {
    // Consul, Blocking Queries: the agent cuts more than ten minutes.
    self.wait = min(max(wait, .seconds(1)), .seconds(600))
    self.timing = timing
    backoff.initial = timing.firstBackoff
    backoff.firstJitter = PollSchedule.firstJitter
    backoff.maximum = timing.maximumBackoff
  }

  /// The next query has no index.
  package mutating func startOver() { index = nil }

  /// `X-Consul-Index` of an answer; nil if it is missing or no number, which is a failure.
  package static func index(_ header: String?) -> UInt64? { header.flatMap { UInt64($0) } }

  /// The agent answers.
  package mutating func succeeded() { backoff.reset() }

  /// - Returns: false if the index went back, and starts over: the agent may have lost its state.
  package mutating func answered(_ received: UInt64) -> Bool {
    if let index, received < index {
      self.index = nil
      return false
    }
    index = max(1, received)  // 0 would be answered at once
    return true
  }

  /// - Parameter useful: whether the answer changed something.
  package mutating func answered(useful: Bool) { pace.answered(useful: useful) }

  /// Until the next query may be sent.
  package func delay(at now: Instant) -> Duration { pace.delay(at: now) }

  /// The next query; without an index the agent answers at once.
  /// - Parameters:
  ///   - longest: of the wait, where something else ends earlier.
  package mutating func query(
    at now: Instant, longest: Duration? = nil
  ) -> (index: UInt64?, wait: Duration?, timeout: Duration) {
    pace.asked(at: now)
    let began = beganAt ?? now
    beganAt = began
    guard let index else { return (nil, nil, timing.answerTimeout) }
    var wait = min(wait, PollSchedule.wait(ofAge: now - began))
    if let longest { wait = min(wait, max(.milliseconds(100), longest)) }
    return (index, wait, wait + wait / 16 + timing.margin)
  }

  /// A wait that ends in time for something due in `left`: the agent adds up to a sixteenth (Consul,
  /// Blocking Queries).
  package static func wait(endingIn left: Duration) -> Duration {
    left > .seconds(2) ? left * 16 / 17 : left
  }

  /// There is no room for another long poll: the pause before a query without waiting.
  package mutating func overBudget(
    using random: inout some RandomNumberGenerator
  ) -> Duration {
    index = nil
    return timing.overBudgetInterval * Double.random(in: 0.8...1.2, using: &random)
  }

  /// How long to wait after a failure, by its kind; the next query has no index.
  /// - Parameter most: a bound that holds while nothing is known.
  package mutating func failed(
    _ failure: Failure, most: Duration?, using random: inout some RandomNumberGenerator
  ) -> Duration {
    index = nil
    guard !failure.isPermanent else {
      return timing.maximumBackoff * Double.random(in: 0.8...1.2, using: &random)
    }
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
    return most.map { min(delay, $0) } ?? delay
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
}
