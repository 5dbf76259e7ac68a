// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import Synchronization

/// How the calls of an interval ended.
package struct CallTally: Sendable, Hashable {
  package var successes = 0
  package var failures = 0

  package init(successes: Int = 0, failures: Int = 0) {
    self.successes = successes
    self.failures = failures
  }

  var calls: Int { successes + failures }
  /// 0...1; only with calls.
  var successRate: Double { Double(successes) / Double(calls) }

  static func += (a: inout CallTally, b: CallTally) {
    a.successes += b.successes
    a.failures += b.failures
  }
}

/// Counts how the calls of one subchannel end: OK, or any other status (gRFC A50). An attempt that
/// says nothing of its server (``CallOutcome/isInconclusive``) is neither: with hedging each server would
/// fail half of its calls. The loops of its connections write, the policy takes what was counted.
final class TallyCounter: CallObserver {
  private let successes = Atomic<Int>(0)
  private let failures = Atomic<Int>(0)
  private let counts: Atomic<Bool>

  init(counts: Bool) { self.counts = Atomic(counts) }

  func callBegan(at time: UInt64) {}
  func callEnded(_ outcome: CallOutcome) {
    guard counts.load(ordering: .relaxed), !outcome.isInconclusive else { return }
    if outcome.code == nil {
      successes.wrappingAdd(1, ordering: .relaxed)
    } else {
      failures.wrappingAdd(1, ordering: .relaxed)
    }
  }

  /// What was counted since the last time.
  func take() -> CallTally {
    CallTally(
      successes: successes.exchange(0, ordering: .relaxed),
      failures: failures.exchange(0, ordering: .relaxed))
  }

  /// Forgets what it has counted.
  /// - Parameter counts: whether it counts from now on.
  func restart(counts: Bool) {
    self.counts.store(counts, ordering: .relaxed)
    _ = take()
  }
}
