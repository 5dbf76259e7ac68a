// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import Synchronization
internal import TrunkWire

/// The latency of one endpoint's calls and how many are in flight.
///
/// The loops of the subchannel's connections write it, pickers on any loop read it. Average and time
/// are one word, so that no loop's sample is lost and no lock is needed.
final class LatencyAverage: CallObserver {
  /// In nanoseconds.
  struct Rules: Sendable, Hashable {
    var decay: Double
    var failurePenalty: Double
  }
  private let decay: Atomic<UInt64>
  private let failurePenalty: Atomic<UInt64>
  private let calls = Atomic<Int>(0)
  /// The high half is a `Float`, nanoseconds, the low one the time of the last sample in units of
  /// 2^20 ns, modulo 2^32 (52 days). 0: no average.
  private let word = Atomic<UInt64>(0)

  /// A cancelled call tells the latency of an endpoint without an average as at least this.
  private static let leastOfCancelled = 1e6
  /// The load of a call in flight on an endpoint without an average: more than that of any other.
  private static let unknown = 1e30

  init(_ rules: Rules) {
    decay = Atomic(rules.decay.bitPattern)
    failurePenalty = Atomic(rules.failurePenalty.bitPattern)
  }

  func apply(_ rules: Rules) {
    decay.store(rules.decay.bitPattern, ordering: .relaxed)
    failurePenalty.store(rules.failurePenalty.bitPattern, ordering: .relaxed)
  }

  /// A new connection, often to a new process: nothing is known of it.
  func connected() { word.store(0, ordering: .relaxed) }

  func callBegan(at time: UInt64) { calls.wrappingAdd(1, ordering: .relaxed) }

  func callEnded(_ outcome: CallOutcome) {
    calls.wrappingSubtract(1, ordering: .relaxed)
    let took = outcome.ended > outcome.began ? Double(outcome.ended - outcome.began) : 1
    switch outcome.code {
    case .cancelled?:
      // It would have taken longer.
      add(outcome.ended) { $0 == 0 ? max(took, LatencyAverage.leastOfCancelled) : max(took, $0) }
    case .unknown?, .deadlineExceeded?, .resourceExhausted?, .unimplemented?, .internal?,
      .unavailable?, .dataLoss?:
      let penalty = Double(bitPattern: failurePenalty.load(ordering: .relaxed))
      add(outcome.ended) { max(took, penalty, $0) }
    default:
      // An answer, be it a refusal of this call by the application.
      add(outcome.ended) { _ in took }
    }
  }

  /// The expected cost of one more call: latency times calls, that one included. An endpoint without
  /// an average gets one call at once, and no other before that one has ended.
  func load(at now: UInt64) -> Double {
    let calls = Double(max(0, self.calls.load(ordering: .relaxed)))
    let average = average(at: now)
    return average == 0 ? calls * LatencyAverage.unknown : average * (calls + 1)
  }

  /// In nanoseconds; 0 if there is none, or it has decayed below 1 ns.
  func average(at now: UInt64) -> Double {
    let word = word.load(ordering: .relaxed)
    guard word != 0 else { return 0 }
    let average = value(word) * weight(word, now)
    return average < 1 ? 0 : average
  }

  /// - Parameter sample: of the present average; a larger one is taken at once.
  private func add(_ now: UInt64, _ sample: (Double) -> Double) {
    var old = word.load(ordering: .relaxed)
    while true {
      let average = value(old)
      let new = max(1, sample(average))
      let weight = weight(old, now)
      let mixed = new >= average ? new : average * weight + new * (1 - weight)
      let next = UInt64(Float(mixed).bitPattern) << 32 | UInt64(ticks(now))
      let (isDone, found) = word.weakCompareExchange(
        expected: old, desired: next, ordering: .relaxed)
      if isDone { return }
      old = found
    }
  }

  private func ticks(_ time: UInt64) -> UInt32 { UInt32(truncatingIfNeeded: time >> 20) }
  private func value(_ word: UInt64) -> Double {
    Double(Float(bitPattern: UInt32(truncatingIfNeeded: word >> 32)))
  }
  private func weight(_ word: UInt64, _ now: UInt64) -> Double {
    // Another loop's clock may be a tick ahead.
    let elapsed = Int32(bitPattern: ticks(now) &- UInt32(truncatingIfNeeded: word))
    guard elapsed > 0 else { return 1 }
    let decay = Double(bitPattern: decay.load(ordering: .relaxed))
    return Elementary.decay(Double(elapsed) * 0x1p20 / decay)
  }
}
