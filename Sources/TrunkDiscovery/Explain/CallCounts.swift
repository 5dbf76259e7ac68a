// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// Calls of one server, counted since the channel knows it. An attempt of a retried or hedged call counts
/// as one, and so does a stream by which the channel asks for health or load reports.
public struct CallCounts: Sendable, Hashable {
  /// Given to a connection and not ended.
  public var inFlight = 0
  /// Given to a connection.
  public var begun: UInt64 = 0
  /// Ended with a status other than OK.
  public var failed: UInt64 = 0
  /// From a call's begin on a connection to its end, as a moving average over about eight calls;
  /// zero before the first end.
  public var latency = Duration.zero

  /// No calls.
  public init() {}

  /// Adds those of another connection; the latency is that of the one with more calls.
  package mutating func add(_ other: CallCounts) {
    if other.begun > begun { latency = other.latency }
    inFlight += other.inFlight
    begun += other.begun
    failed += other.failed
  }
}
