// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// Which endpoints are ejected, by gRFC A50's two algorithms. A value: counts in, ejections out.
///
/// ```
///   in use ── judged an outlier: multiplier + 1 ──► ejected
///   ejected ── min(base × multiplier, max(base, max)) has passed ──► in use
///   in use, at each judgement ── multiplier - 1, at least 0
/// ```
/// - Endpoints are matched by ``Endpoint/identity``; what is known of one outlives an update. Each has
///   a number, so that no judgement hashes addresses.
/// - No endpoint is ejected when `maxEjectionPercent` of them are; one always may be. Where several
///   are outliers, the one with the lowest success rate comes first.
struct OutlierLedger: Sendable {
  /// The number of no endpoint.
  static let none = 0

  private struct Entry: Sendable {
    var endpoint: Endpoint.Identity
    /// When it was ejected; nil: in use.
    var ejectedAt: UInt64?
    var multiplier = 0
    /// For the error of its calls.
    var reason = ""
  }

  private var numbers: [Endpoint.Identity: Int] = [:]
  private var entries: [Int: Entry] = [:]
  private var lastNumber = OutlierLedger.none
  private var ejectedCount = 0

  var count: Int { entries.count }

  /// Until when the endpoint of that number is ejected at least; nil if it is not.
  func ejectionEnd(_ number: Int, _ config: OutlierDetectionConfig) -> UInt64? {
    guard let entry = entries[number], let ejectedAt = entry.ejectedAt else { return nil }
    return saturating(ejectedAt, config.ejectionTime(multiplier: entry.multiplier))
  }

  /// Of an endpoint of the last resolution, for as long as it is one; never reused.
  func number(of endpoint: Endpoint.Identity) -> Int? { numbers[endpoint] }

  /// Why the endpoint is ejected; nil if it is not.
  func reason(_ number: Int) -> String? {
    guard ejectedCount > 0, let entry = entries[number], entry.ejectedAt != nil else { return nil }
    return entry.reason
  }

  /// The ejected endpoints, and until when they are at least.
  func ejections(_ config: OutlierDetectionConfig) -> [Endpoint.Identity: UInt64] {
    var ejections: [Endpoint.Identity: UInt64] = [:]
    for entry in entries.values {
      ejections[entry.endpoint] = entry.ejectedAt.map {
        saturating($0, config.ejectionTime(multiplier: entry.multiplier))
      }
    }
    return ejections
  }

  /// The endpoints of a resolution replace all earlier ones.
  mutating func replace(_ endpoints: [Endpoint]) {
    var present: [Endpoint.Identity: Int] = [:]
    present.reserveCapacity(endpoints.count)
    for endpoint in endpoints where !endpoint.addresses.isEmpty {
      let identity = endpoint.identity
      guard present[identity] == nil else { continue }
      if let number = numbers.removeValue(forKey: identity) {
        present[identity] = number
      } else {
        lastNumber += 1
        present[identity] = lastNumber
        entries[lastNumber] = Entry(endpoint: identity)
      }
    }
    for gone in numbers.values where entries.removeValue(forKey: gone)?.ejectedAt != nil {
      ejectedCount -= 1
    }
    numbers = present
  }

  /// All endpoints are in use, and nothing is known of them.
  mutating func reset() {
    entries = entries.mapValues { Entry(endpoint: $0.endpoint) }
    ejectedCount = 0
  }

  /// Judges the calls of an interval, and ends the ejections whose time has passed.
  mutating func judge(
    _ tallies: [Int: CallTally], _ config: OutlierDetectionConfig, now: UInt64,
    random: inout any RandomNumberGenerator & Sendable
  ) {
    if let settings = config.successRate {
      let judged = judged(tallies, settings.requestVolume)
      if !judged.isEmpty, judged.count >= settings.minimumHosts {
        let rates = judged.values.map(\.successRate)
        let mean = rates.reduce(0, +) / Double(rates.count)
        let variance = rates.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(rates.count)
        let needed = mean - variance.squareRoot() * Double(settings.stdevFactor) / 1_000
        // The mean of equal rates may differ from them by rounding.
        let outliers = judged.filter { $1.successRate < needed - 1e-9 }
        eject(outliers, settings.enforcementPercentage, config, now, &random)
      }
    }
    if let settings = config.failurePercentage {
      let judged = judged(tallies, settings.requestVolume)
      if judged.count >= settings.minimumHosts {
        let outliers = judged.filter { $1.failures * 100 > settings.threshold * $1.calls }
        eject(outliers, settings.enforcementPercentage, config, now, &random)
      }
    }
    for (number, entry) in entries {
      if let ejectedAt = entry.ejectedAt {
        let end = saturating(ejectedAt, config.ejectionTime(multiplier: entry.multiplier))
        if now >= end {
          entries[number]?.ejectedAt = nil
          ejectedCount -= 1
        }
      } else if entry.multiplier > 0 {
        entries[number]?.multiplier -= 1
      }
    }
  }

  /// Those with enough calls.
  private func judged(
    _ tallies: [Int: CallTally], _ volume: Int
  ) -> [Int: CallTally] {
    tallies.filter { $1.calls >= max(1, volume) && entries[$0] != nil }
  }

  private mutating func eject(
    _ outliers: [Int: CallTally], _ enforcementPercentage: Int,
    _ config: OutlierDetectionConfig, _ now: UInt64,
    _ random: inout any RandomNumberGenerator & Sendable
  ) {
    // Equally bad ones by their numbers: the same order in every run.
    let worstFirst = outliers.sorted { a, b in
      let (left, right) = (a.value.successRate, b.value.successRate)
      return left != right ? left < right : a.key < b.key
    }
    for (number, tally) in worstFirst {
      guard var entry = entries[number], entry.ejectedAt == nil,
        ejectedCount == 0 || ejectedCount * 100 < config.maxEjectionPercent * entries.count,
        random.next() % 100 < UInt64(enforcementPercentage)
      else { continue }
      entry.ejectedAt = now
      entry.multiplier += 1
      entry.reason =
        "\(entry.endpoint.addresses[0]) is ejected by outlier detection: "
        + "\(tally.failures) of \(tally.calls) calls failed"
      entries[number] = entry
      ejectedCount += 1
    }
  }
}

private func saturating(_ a: UInt64, _ b: UInt64) -> UInt64 {
  let (sum, overflow) = a.addingReportingOverflow(b)
  return overflow ? .max : sum
}
