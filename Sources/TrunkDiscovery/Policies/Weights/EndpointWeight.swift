// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import Synchronization
internal import TrunkWire

/// The weight of one endpoint by its server's load reports (gRFC A58).
///
/// The loops of the subchannel's connections write it, the policy reads it. Weight and times are not
/// one unit: a reader may see a new weight with the time before it, which is as good.
final class EndpointWeight: CallObserver {
  /// What the policy's config says about reports.
  struct Rules: Sendable, Hashable {
    /// Reports come out of band; those with calls are not looked at.
    var isOutOfBand = false
    var errorPenalty = 1.0
  }
  private let isOutOfBand: Atomic<Bool>
  private let errorPenalty: Atomic<UInt64>

  /// Of a `Double`; meaningless before the first report.
  private let weight = Atomic<UInt64>(0)
  /// Nanoseconds; 0 before the first report.
  private let lastUpdated = Atomic<UInt64>(0)
  /// Nanoseconds: since when reports have come; 0 for none.
  private let nonEmptySince = Atomic<UInt64>(0)

  init(_ rules: Rules) {
    isOutOfBand = Atomic(rules.isOutOfBand)
    errorPenalty = Atomic(rules.errorPenalty.bitPattern)
  }

  func apply(_ rules: Rules) {
    isOutOfBand.store(rules.isOutOfBand, ordering: .relaxed)
    errorPenalty.store(rules.errorPenalty.bitPattern, ordering: .relaxed)
  }

  func callBegan(at time: UInt64) {}

  func callEnded(_ outcome: CallOutcome) {
    guard !isOutOfBand.load(ordering: .relaxed), let report = outcome.loadReport else { return }
    take(report, at: outcome.ended)
  }

  func loadReported(_ report: LoadReport, at time: UInt64) {
    if isOutOfBand.load(ordering: .relaxed) { take(report, at: time) }
  }

  private func take(_ report: LoadReport, at time: UInt64) {
    let penalty = Double(bitPattern: errorPenalty.load(ordering: .relaxed))
    guard let new = EndpointWeight.weight(of: report, errorPenalty: penalty) else { return }
    weight.store(new.bitPattern, ordering: .relaxed)
    let time = max(time, 1)
    _ = nonEmptySince.compareExchange(expected: 0, desired: time, ordering: .relaxed)
    lastUpdated.store(time, ordering: .releasing)
  }

  /// A new connection: the blackout period begins anew.
  func connected() {
    nonEmptySince.store(0, ordering: .relaxed)
    lastUpdated.store(0, ordering: .relaxed)
  }

  /// nil while there is none, in the blackout period, and after the expiration period.
  func weight(at now: UInt64, blackout: UInt64, expiration: UInt64) -> Double? {
    let last = lastUpdated.load(ordering: .acquiring)
    guard last > 0 else { return nil }
    guard now < last.saturatingAdd(expiration) else {
      nonEmptySince.store(0, ordering: .relaxed)
      return nil
    }
    let since = nonEmptySince.load(ordering: .relaxed)
    if blackout > 0, since == 0 || now < since.saturatingAdd(blackout) { return nil }
    return Double(bitPattern: weight.load(ordering: .relaxed))
  }

  /// rps / (utilization + eps / rps * penalty); nil for a report without them.
  static func weight(of report: LoadReport, errorPenalty: Double) -> Double? {
    let utilization =
      report.applicationUtilization > 0 ? report.applicationUtilization : report.cpuUtilization
    let rate = report.requestsPerSecond
    guard utilization > 0, rate > 0 else { return nil }
    let errors = max(0, report.errorsPerSecond) / rate * errorPenalty
    let weight = rate / (utilization + errors)
    return weight.isFinite && weight > 0 ? weight : nil
  }
}
