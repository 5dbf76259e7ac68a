// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// The times of a ``BlockingQuery``.
package struct BlockingQueryTiming: Sendable, Hashable {
  /// How long an empty answer after an error has no effect.
  package var holdTime = Duration.seconds(30)
  /// Added to the longest time that the agent may take (Consul, Blocking Queries).
  package var margin = Duration.seconds(10)
  /// For an answer without waiting; below the 5 s that clients usually wait for a connection, so
  /// that their error can name the reason.
  package var answerTimeout = Duration.seconds(4)
  /// ±80 %, then grows by 1.6, ±20 %.
  package var firstBackoff = Duration.milliseconds(250)
  package var maximumBackoff = Duration.seconds(60)
  /// The longest back-off while no instance is known.
  package var emptyBackoff = Duration.seconds(5)
  /// A call that finds no server cuts a back-off short, but not below this.
  package var leastBackoff = Duration.seconds(1)
  /// Between two queries while there is no room for a long poll at the agent.
  package var overBudgetInterval = Duration.seconds(5)
  /// All instances turned critical at once if they did so within this time: a check interval.
  package var allCriticalWindow = Duration.seconds(10)
  /// How long they are kept then; zero: not at all.
  package var allCriticalHold = Duration.seconds(30)
  /// How long instances are kept that vanish from answers of a server without a leader.
  package var leaderlessHold = Duration.seconds(600)
  /// The longest poll while they are.
  package var leaderlessInterval = Duration.seconds(5)
  /// Instances that vanish in one answer are a last resort for a while, if they are more than this part
  /// of the set …
  package var panicThreshold = 0.5
  /// … and at least so many.
  package var panicMinimum = 3
  /// Zero: they are not.
  package var panicHold = Duration.seconds(300)
  package var explainTimeout = Duration.seconds(1)
  package var explainInterval = Duration.seconds(5)
  package init() {}
}
