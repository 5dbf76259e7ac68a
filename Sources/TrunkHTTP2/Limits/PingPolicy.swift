// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import TrunkWire

/// How often a client may send PINGs (gRFC A8, server side). A value: no I/O, no clock.
///
/// ```
///   0 strikes ──too early──► 1 ──too early──► 2 ──too early──► tooMany: GOAWAY, close
///      ▲                     │                │
///      └──── HEADERS or DATA were sent ───────┘
/// ```
/// 1. A ping is too early within `interval` of the last one, or within two hours where there is no
///    call and pings without calls are not permitted.
/// 2. The first ping after HEADERS or DATA were *sent* is allowed and clears the strikes: a peer
///    that estimates its bandwidth (grpc-go) sends one for each small message, without end.
package struct PingPolicy: Sendable {
  package enum Verdict: Sendable, Hashable { case allowed, strike, tooMany }

  /// Pings that may come too early before the next one is too many.
  package static let strikes = 2
  /// Between two pings without a call (gRFC A8).
  package static let intervalWithoutCalls: UInt64 = 2 * 3_600 * 1_000_000_000

  private let interval: UInt64
  private let permitsWithoutCalls: Bool
  private var last: UInt64?
  private var strikes = 0

  /// - Parameter interval: nanoseconds between two pings.
  package init(interval: UInt64, permitsWithoutCalls: Bool) {
    self.interval = interval
    self.permitsWithoutCalls = permitsWithoutCalls
  }

  /// - Parameter hasSent: whether HEADERS or DATA were sent since the last ping.
  package mutating func pingReceived(now: UInt64, hasCalls: Bool, hasSent: Bool) -> Verdict {
    defer { last = now }
    if hasSent {
      strikes = 0
      return .allowed
    }
    let wait =
      hasCalls || permitsWithoutCalls ? interval : max(interval, PingPolicy.intervalWithoutCalls)
    guard let last, now < last.saturatingAdd(wait) else { return .allowed }
    strikes += 1
    return strikes > PingPolicy.strikes ? .tooMany : .strike
  }
}
