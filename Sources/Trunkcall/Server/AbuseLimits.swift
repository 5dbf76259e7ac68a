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

/// Events of a server's protection against clients, and of ended connections. Counted since the
/// start: ``ServerStatistics/events``.
public enum ServerEvent: String, Sendable, Hashable, CaseIterable {
  // Connections
  /// Accepting was paused: `maxConnections` or `maxHandshakes` was reached.
  case acceptHeld
  /// Closed after `acceptTimeout`: `maxConnections` were open.
  case connectionRefused
  /// Closed after `acceptTimeout`: `maxHandshakes` were under way.
  case handshakeRefused
  /// Accepting paused: no file descriptors. [CVE-2023-4785]
  case acceptPaused
  /// No preface or SETTINGS in time.
  case handshakeTimeout
  /// No acknowledgement of the server's SETTINGS in time.
  case settingsTimeout
  /// A header block whose end did not come in time.
  case headerTimeout
  /// Nothing received for `keepaliveTimeout` after a keepalive PING (gRFC A8).
  case keepaliveTimeout
  /// The client read none of the bytes waiting for it during `sendTimeout`.
  case sendTimeout
  /// Reading paused, because the client does not read the replies to its frames.
  case readPaused
  /// Closed after `maxConnectionIdle` without a call (gRFC A9).
  case maxIdle
  /// Closed at `maxConnectionAge` (gRFC A9).
  case maxAge
  /// `maxConnectionAgeGrace` was over while calls still ran (gRFC A9).
  case ageGraceOver
  /// An HTTP/2 connection error: nothing is received after it. [CVE-2026-27135]
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
  /// A call waited for its handler's start.
  case callQueued
  /// Refused with RESOURCE_EXHAUSTED: neither a handler's slot nor a place in the queue.
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
