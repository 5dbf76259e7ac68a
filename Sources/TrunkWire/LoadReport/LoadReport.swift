// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// What a server reports about its load (gRFC A51; ORCA's `xds.data.orca.v3.OrcaLoadReport`): with
/// the trailers of a call, and on a stream of its own, out of band.
///
/// 0 means that a value is not reported, as on the wire.
public struct LoadReport: Sendable, Hashable {
  /// CPU in use, as a fraction of what there is: 0.5 is half. May be over 1 where there is a soft
  /// limit.
  public var cpuUtilization = 0.0
  /// Memory in use, 0...1.
  public var memoryUtilization = 0.0
  /// How near the application is to its limit, by a measure of its own, as a fraction that may be
  /// over 1. Where it is set, weighted_round_robin takes it instead of ``cpuUtilization``.
  public var applicationUtilization = 0.0
  /// Calls per second that the server answers, from all clients (`rps_fractional`).
  public var requestsPerSecond = 0.0
  /// Those of them that fail (`eps`).
  public var errorsPerSecond = 0.0
  /// Further resources by their names, each 0...1.
  public var utilization: [String: Double] = [:]
  /// What this call took, by the application's names and in its units. Of a call only.
  public var requestCost: [String: Double] = [:]
  /// The application's own figures.
  public var namedMetrics: [String: Double] = [:]

  /// Nothing reported.
  public init() {}

  /// Whether nothing is reported.
  public var isEmpty: Bool { self == LoadReport() }

  /// Entries of the three dictionaries together, at most: a report with more is not read.
  public static let maxEntries = 1_000
  /// Bytes of a report, at most: a longer one is not read.
  public static let maxSize = 64 << 10
  /// The name of its metadata in a call's trailers.
  package static let metadataName = "endpoint-load-metrics-bin"

  /// The report in a call's trailing metadata; nil without one, and for one that is malformed or over
  /// a limit. Decoded at each call.
  public init?(trailers: Metadata) {
    guard !trailers.isEmpty, let bytes = trailers[binary: LoadReport.metadataName].last,
      let report = LoadReport(protobuf: bytes)
    else { return nil }
    self = report
  }

  /// This report, with the values of `base` for those that this one does not have.
  package func over(_ base: LoadReport) -> LoadReport {
    var merged = self
    func fill(_ path: WritableKeyPath<LoadReport, Double>) {
      if merged[keyPath: path] == 0 { merged[keyPath: path] = base[keyPath: path] }
    }
    fill(\.cpuUtilization)
    fill(\.memoryUtilization)
    fill(\.applicationUtilization)
    fill(\.requestsPerSecond)
    fill(\.errorsPerSecond)
    merged.utilization.merge(base.utilization) { own, _ in own }
    merged.requestCost.merge(base.requestCost) { own, _ in own }
    merged.namedMetrics.merge(base.namedMetrics) { own, _ in own }
    return merged
  }
}

// MARK: - What may be sent

extension LoadReport {
  /// The first value that ORCA does not allow, in one sentence; nil if it can be sent.
  package var problem: String? {
    let named: [(name: String, value: Double, most: Double)] = [
      ("cpuUtilization", cpuUtilization, .infinity),
      ("memoryUtilization", memoryUtilization, 1),
      ("applicationUtilization", applicationUtilization, .infinity),
      ("requestsPerSecond", requestsPerSecond, .infinity),
      ("errorsPerSecond", errorsPerSecond, .infinity),
    ]
    let fractions = utilization.map { ("utilization[\"\($0)\"]", $1, 1.0) }
    for (name, value, most) in named + fractions where !value.isFinite || value < 0 || value > most
    {
      let allowed = most == 1 ? "0...1" : "finite numbers of at least 0"
      return "\(name) of a load report is \(value); allowed: \(allowed)"
    }
    let figures =
      requestCost.map { ("requestCost[\"\($0)\"]", $1) }
      + namedMetrics.map { ("namedMetrics[\"\($0)\"]", $1) }
    for (name, value) in figures where !value.isFinite {
      return "\(name) of a load report is \(value); allowed: finite numbers"
    }
    let entries = utilization.count + requestCost.count + namedMetrics.count
    guard entries <= LoadReport.maxEntries else {
      return "a load report has \(entries) entries; allowed: \(LoadReport.maxEntries)"
    }
    return nil
  }
}
