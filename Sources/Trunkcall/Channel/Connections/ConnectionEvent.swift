// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import TrunkDiscovery

/// What a connection tells the control loop.
enum ConnectionEvent: Sendable {
  /// The server's SETTINGS arrived (5.4: not just TCP).
  case ready
  /// It never got that far.
  case failed(String)
  /// It takes no more calls; nil after a GOAWAY in good order. Those under way go on.
  case ended(String?, ConnectionUse)
  /// It had ended as `.undecided`.
  case decided(answered: Bool)
  /// The socket is closed; nothing more comes.
  case closed
  case outcomes([PickOutcome])
  /// That server wants fewer PINGs (gRFC A8) than one in `keepaliveTime`, nanoseconds.
  case tooManyPings(String, keepaliveTime: UInt64?)
}
