// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import TrunkHTTP2
internal import TrunkSockets

/// The settings that all connections of a channel share.
struct ConnectionSettings: Sendable {
  var http2: HTTP2Settings
  var socket: SocketOptions
  var lookUpTimeout: Duration
  var livenessTimeout: Duration?
  var acknowledgementTimeout: Duration?
  var keepalive: Keepalive.Settings?
  /// Calls that may wait for a stream of one connection.
  var maxWaitingCalls: Int
  var sendTimeout: Duration
  /// TLS; nil for plaintext.
  var filter: ChannelSecurity.Filter?

  /// - Returns: the new time in nanoseconds; nil without keepalive, and if it is no longer `old`.
  mutating func doubleKeepaliveTime(from old: UInt64?) -> UInt64? {
    guard let time = keepalive?.time, time == old else { return nil }
    let (doubled, overflow) = time.multipliedReportingOverflow(by: 2)
    keepalive?.time = overflow ? .max : doubled
    return keepalive?.time
  }
}
