// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

internal import TrunkHTTP2

/// A token bucket: `burst` events at once, and `perSecond` a second after that.
public struct EventRate: Sendable, Hashable {
  /// Events at once; 0 or more.
  public var burst: Int
  /// Events a second; less than 0.01 counts as 0.01.
  public var perSecond: Double

  /// - Parameters: see the properties of the same names.
  public init(burst: Int, perSecond: Double) {
    self.burst = burst
    self.perSecond = perSecond
  }

  var limit: RateLimit { RateLimit(burst: burst, perSecond: perSecond) }
}

/// Limits of frames that cost a client next to nothing, for each connection. A client that exceeds
/// one is sent GOAWAY ENHANCE_YOUR_CALM (RFC 9113 §10.5), and the connection is closed.
public struct AbuseLimits: Sendable, Hashable {
  /// RST_STREAM frames that the client's own violations made the server send. Default 200, and 200
  /// in 30 s. [CVE-2025-8671]
  public var provokedResets = EventRate(burst: 200, perSecond: 200.0 / 30)
  /// Calls reset before their handlers have started. Default 10,000, and 1,000 a second. Those
  /// whose handlers run are not counted here: each holds a handler's slot until that has ended.
  /// [CVE-2023-44487]
  public var earlyResets = EventRate(burst: 10_000, perSecond: 1_000)
  /// Frames without content: empty DATA, PRIORITY, SETTINGS, unknown types. Default 1,000, and 100
  /// a second. [CVE-2019-9512 to 9518]
  public var emptyFrames = EventRate(burst: 1_000, perSecond: 100)
  /// WINDOW_UPDATE frames beyond ten for each DATA frame sent. Default 1,000, and 100 a second.
  public var windowUpdates = EventRate(burst: 1_000, perSecond: 100)

  /// All defaults.
  public init() {}

  var budget: AbuseBudget.Limits {
    var limits = AbuseBudget.Limits()
    limits.provokedResets = provokedResets.limit
    limits.earlyResets = earlyResets.limit
    limits.idleFrames = emptyFrames.limit
    limits.windowUpdates = windowUpdates.limit
    return limits
  }
}
