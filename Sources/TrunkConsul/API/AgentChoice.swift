// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// Which of several agents is asked, in order of preference. No I/O; time is an argument.
///
/// ```
///   FIRST --does not answer, or 429, 5xx--> NEXT --the same--> NEXT … --the same--> FIRST
///     ^                                      |
///     '--- a minute later it has a leader ---'
/// ```
/// With one agent nothing changes.
struct AgentChoice: Sendable {
  typealias Instant = ContinuousClock.Instant

  /// How long another agent is used before the first is tried again, ±20 %.
  static let returnInterval = Duration.seconds(60)

  private(set) var current = 0
  private let count: Int
  /// Nil while the first is used.
  private var returnAt: Instant?

  init(of count: Int) { self.count = count }

  /// - Returns: whether another one is used from now on. The failure of one that is no longer used
  ///   changes nothing.
  mutating func failed(
    _ agent: Int, at now: Instant, using random: inout some RandomNumberGenerator
  ) -> Bool {
    guard count > 1, agent == current else { return false }
    current = (current + 1) % count
    scheduleReturn(at: now, &random)
    return true
  }

  /// Whether it is time to try the first one; the next time is a whole interval later.
  mutating func shouldTryFirst(
    at now: Instant, using random: inout some RandomNumberGenerator
  ) -> Bool {
    guard let due = returnAt, now >= due else { return false }
    scheduleReturn(at: now, &random)
    return true
  }

  mutating func firstAnswers() {
    current = 0
    returnAt = nil
  }

  private mutating func scheduleReturn(
    at now: Instant, _ random: inout some RandomNumberGenerator
  ) {
    let interval = AgentChoice.returnInterval * Double.random(in: 0.8...1.2, using: &random)
    returnAt = current == 0 ? nil : now + interval
  }
}
