// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// Settings of `outlier_detection_experimental`, with gRFC A50's names, defaults and bounds. Times in
/// nanoseconds.
package struct OutlierDetectionConfig: Sendable {
  /// Between two judgements. A shorter interval counts as this.
  package static let minimumInterval: UInt64 = 10_000_000

  /// Finds endpoints whose share of successes is far below the mean of all.
  package struct SuccessRate: Sendable, Hashable {
    /// In thousandths: 1,900 allows 1.9 standard deviations below the mean.
    package var stdevFactor = 1_900
    /// Of 100 outliers found, how many are ejected.
    package var enforcementPercentage = 100
    /// With fewer endpoints that have `requestVolume`, none is judged.
    package var minimumHosts = 5
    /// An endpoint with fewer calls in the interval is not judged.
    package var requestVolume = 100
  }

  /// Finds endpoints whose share of failures is above a threshold.
  package struct FailurePercentage: Sendable, Hashable {
    /// Percent of an endpoint's calls; more makes it an outlier.
    package var threshold = 85
    /// As ``SuccessRate/enforcementPercentage``.
    package var enforcementPercentage = 100
    /// As ``SuccessRate/minimumHosts``.
    package var minimumHosts = 5
    /// As ``SuccessRate/requestVolume``.
    package var requestVolume = 50
  }

  package var interval: UInt64 = 10_000_000_000
  package var baseEjectionTime: UInt64 = 30_000_000_000
  package var maxEjectionTime: UInt64 = 300_000_000_000
  /// Percent of the endpoints that may be ejected; one always may.
  package var maxEjectionPercent = 10
  package var successRate: SuccessRate?
  package var failurePercentage: FailurePercentage?
  package var child: PreparedPolicy

  package init(child: PreparedPolicy) { self.child = child }

  /// Whether calls are counted: not without an algorithm.
  package var counts: Bool { successRate != nil || failurePercentage != nil }

  /// How long an endpoint is ejected that was ejected so many times.
  func ejectionTime(multiplier: Int) -> UInt64 {
    let (time, overflow) = baseEjectionTime.multipliedReportingOverflow(by: UInt64(multiplier))
    return min(overflow ? .max : time, max(baseEjectionTime, maxEjectionTime))
  }
}

extension OutlierDetectionConfig {
  /// - Throws: ``ServiceConfigError`` for a field out of gRFC A50's bounds, or a bad `childPolicy`.
  package init(
    _ json: [UInt8], path: String, policies: BalancerRegistry
  ) throws(ServiceConfigError) {
    let fields = try JSONReader(JSONValue(parsing: json), path: path)
    self.init(child: try policies.prepare("childPolicy", of: fields))
    interval = max(
      OutlierDetectionConfig.minimumInterval, try fields.nanoseconds("interval") ?? interval)
    baseEjectionTime = try fields.nanoseconds("baseEjectionTime") ?? baseEjectionTime
    maxEjectionTime = try fields.nanoseconds("maxEjectionTime") ?? maxEjectionTime
    maxEjectionPercent =
      try fields.integer("maxEjectionPercent", in: 0...100) ?? maxEjectionPercent
    successRate = try fields.object("successRateEjection").map(SuccessRate.init(_:))
    failurePercentage = try fields.object("failurePercentageEjection")
      .map(FailurePercentage.init(_:))
  }
}

extension OutlierDetectionConfig.SuccessRate {
  init(_ fields: JSONReader) throws(ServiceConfigError) {
    stdevFactor = try fields.integer("stdevFactor", in: 0...Int(UInt32.max)) ?? stdevFactor
    enforcementPercentage =
      try fields.integer("enforcementPercentage", in: 0...100) ?? enforcementPercentage
    minimumHosts = try fields.integer("minimumHosts", in: 0...Int(UInt32.max)) ?? minimumHosts
    requestVolume = try fields.integer("requestVolume", in: 0...Int(UInt32.max)) ?? requestVolume
  }
}

extension OutlierDetectionConfig.FailurePercentage {
  init(_ fields: JSONReader) throws(ServiceConfigError) {
    threshold = try fields.integer("threshold", in: 0...100) ?? threshold
    enforcementPercentage =
      try fields.integer("enforcementPercentage", in: 0...100) ?? enforcementPercentage
    minimumHosts = try fields.integer("minimumHosts", in: 0...Int(UInt32.max)) ?? minimumHosts
    requestVolume = try fields.integer("requestVolume", in: 0...Int(UInt32.max)) ?? requestVolume
  }
}

extension JSONReader {
  /// A duration; beyond 292 years it is that.
  fileprivate func nanoseconds(_ name: String) throws(ServiceConfigError) -> UInt64? {
    guard let duration = try duration(name) else { return nil }
    let (seconds, attoseconds) = duration.components
    let (whole, overflow) = UInt64(seconds).multipliedReportingOverflow(by: 1_000_000_000)
    let limit = UInt64(Int64.max)
    return overflow ? limit : min(limit, whole + UInt64(attoseconds / 1_000_000_000))
  }
}
