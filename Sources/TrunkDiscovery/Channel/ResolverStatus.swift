// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// A resolver's last report or failure, and its time.
package struct ResolverStatus: Sendable, Hashable {
  package enum Outcome: Sendable, Hashable {
    /// Nothing reported yet.
    case silent
    case answered(endpoints: Int, note: String?)
    /// The registry did not answer; the resolver keeps its earlier endpoints.
    case unanswered(note: String)
    case failed(String)
  }
  package private(set) var outcome = Outcome.silent
  /// Nanoseconds, on the clock of `now`.
  package private(set) var at: UInt64 = 0
  /// Failures since the last answer.
  package private(set) var failures = 0
  /// When `resolve` is called again; set by the driver of the resolver.
  package var nextAttempt: UInt64?

  package init() {}

  package mutating func answered(_ resolution: Resolution, _ now: UInt64) {
    outcome =
      resolution.isAnswer
      ? .answered(endpoints: resolution.endpoints.count, note: resolution.note)
      : .unanswered(note: resolution.note ?? "no answer")
    at = now
    failures = 0
    nextAttempt = nil
  }

  package mutating func failed(_ note: String, _ now: UInt64) {
    outcome = .failed(note)
    at = now
    failures += 1
  }
}
