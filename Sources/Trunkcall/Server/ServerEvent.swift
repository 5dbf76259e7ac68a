// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

internal import TrunkHTTP2

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
  case maxIdle
  case maxAge
  /// The grace after `maxAge` was over while calls still ran.
  case ageGraceOver
  /// An HTTP/2 connection error: nothing is read after it. [CVE-2026-27135]
  case connectionError

  // GOAWAY ENHANCE_YOUR_CALM: see AbuseLimits
  case tooManyPings
  case tooManyProvokedResets
  case tooManyEarlyResets
  case tooManyEmptyFrames
  case tooManyWindowUpdates

  // Calls
  /// Had to wait for its handler's start.
  case callQueued
  /// Refused with RESOURCE_EXHAUSTED: neither a handler's slot nor a place to wait.
  case callShed
  case headerListTooLarge
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
