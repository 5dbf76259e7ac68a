// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

internal import TrunkHTTP2

/// So many at once, and so many a second after that.
public struct EventRate: Sendable, Hashable {
  /// Events at once; 0 or more.
  public var burst: Int
  /// Events a second; 0 or more.
  public var perSecond: Double

  /// - Parameters: see the properties of the same names.
  public init(burst: Int, perSecond: Double) {
    self.burst = burst
    self.perSecond = perSecond
  }

  var limit: RateLimit { RateLimit(burst: burst, perSecond: perSecond) }
}

/// What a client may do to one connection that costs it next to nothing. A client that does more is
/// sent GOAWAY ENHANCE_YOUR_CALM, and the connection is closed.
public struct AbuseLimits: Sendable, Hashable {
  /// RST_STREAM frames that the client's own violations made the server send. Default 200, and 200
  /// in 30 s. [CVE-2025-8671]
  public var provokedResets = EventRate(burst: 200, perSecond: 200.0 / 30)
  /// Calls taken back before their handlers have begun. Default 10,000, and 1,000 a second. Those
  /// whose handlers run count nowhere: each holds a handler's slot until that has ended.
  /// [CVE-2023-44487]
  public var earlyResets = EventRate(burst: 10_000, perSecond: 1_000)
  /// Frames that bring nothing: empty DATA, PRIORITY, SETTINGS, unknown types. Default 1,000, and
  /// 100 a second. [CVE-2019-9512 to 9518]
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

/// What a server did to protect itself, or to end a connection. Counted since its start:
/// ServerStatistics/events.
public enum ServerEvent: String, Sendable, Hashable, CaseIterable {
  // Connections
  /// Accepting was held up: `maxConnections` or `maxHandshakes` was reached.
  case acceptHeld
  /// Turned away after `acceptTimeout`: `maxConnections` were open.
  case connectionRefused
  /// Turned away after `acceptTimeout`: `maxHandshakes` were under way.
  case handshakeRefused
  /// Accepting paused for want of descriptors. [CVE-2023-4785]
  case acceptPaused
  /// No preface or SETTINGS in time.
  case handshakeTimeout
  /// No acknowledgement of the server's SETTINGS in time.
  case settingsTimeout
  /// A header block whose end did not come in time.
  case headerTimeout
  /// No sign of life after a keepalive ping.
  case keepaliveTimeout
  /// The client took none of the bytes that wait for it.
  case sendTimeout
  /// Reading paused, as the client does not read the answers to its frames.
  case readPaused
  /// Closed after `maxConnectionIdle` without a call (gRFC A9).
  case maxIdle
  /// Closed at `maxConnectionAge` (gRFC A9).
  case maxAge
  /// The grace after `maxAge` was over while calls still ran.
  case ageGraceOver
  /// An HTTP/2 connection error: nothing is read after it. [CVE-2026-27135]
  case connectionError

  // GOAWAY ENHANCE_YOUR_CALM: see AbuseLimits
  /// More PINGs than `minPingInterval` allows (gRFC A8).
  case tooManyPings
  /// More than ``AbuseLimits/provokedResets``.
  case tooManyProvokedResets
  /// More than ``AbuseLimits/earlyResets``.
  case tooManyEarlyResets
  /// More than ``AbuseLimits/emptyFrames``.
  case tooManyEmptyFrames
  /// More than ``AbuseLimits/windowUpdates``.
  case tooManyWindowUpdates

  // Calls
  /// Had to wait for its handler's start.
  case callQueued
  /// Refused with RESOURCE_EXHAUSTED: neither a handler's slot nor a place to wait.
  case callShed
  /// Refused with RESOURCE_EXHAUSTED: more than `maxHeaderListSize`.
  case headerListTooLarge
  /// Refused with RESOURCE_EXHAUSTED: more than `maxReceiveMessageSize`.
  case messageTooLarge
  /// `te`, `-bin`, `grpc-timeout`, content-type …: the call failed, not the connection.
  case badHeader
  /// Not `/service/method`.
  case badPath

  init(_ offence: AbuseBudget.Offence) {
    self =
      switch offence {
      case .provokedResets: .tooManyProvokedResets
      case .earlyResets: .tooManyEarlyResets
      case .idleFrames: .tooManyEmptyFrames
      case .windowUpdates: .tooManyWindowUpdates
      case .pings: .tooManyPings
      }
  }
}
