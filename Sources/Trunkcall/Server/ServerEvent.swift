// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

internal import TrunkHTTP2

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
  /// Refused with RESOURCE_EXHAUSTED: no handler's slot is free, and the queue is full.
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
