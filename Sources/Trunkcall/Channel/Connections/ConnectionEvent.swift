// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import TrunkDiscovery

/// What a connection reports to the control loop.
enum ConnectionEvent: Sendable {
  /// The server's SETTINGS arrived (connection-backoff.md: not just TCP).
  case ready
  /// It failed before that.
  case failed(String)
  /// It takes no more calls; nil after a GOAWAY with NO_ERROR. Those under way go on.
  case ended(String?, ConnectionUse)
  /// It had ended as `.undecided`.
  case decided(answered: Bool)
  /// The socket is closed; no event follows. With what its calls came to.
  case closed(CallCounts)
  case outcomes([PickOutcome])
  /// The server sent GOAWAY "too_many_pings" (gRFC A8) at this `keepaliveTime`, in nanoseconds.
  case tooManyPings(String, keepaliveTime: UInt64?)
}
