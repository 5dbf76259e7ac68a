// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import TrunkSockets

/// Whether a server's host has gone without a word: it acknowledges nothing of what is sent. A value: no
/// I/O, no clock.
///
/// ```
///   answered ── data not acknowledged ──► waiting ── timeout, or 8 round trips ──► gone
///       ▲                                   │
///       └── bytes received, acknowledged ◄──┘
/// ```
/// A program that is stopped or busy is no such host: its kernel acknowledges for it. So this needs no
/// PING, which servers count (gRFC A8), and may be impatient. `TCP_USER_TIMEOUT` (gRFC A18) is not: it
/// also counts the time in which a living peer takes no data.
struct AcknowledgementWatch: Sendable {
  enum Verdict: Sendable, Hashable {
    /// Look again at that time.
    case look(at: UInt64)
    case gone
  }

  /// Between two looks, at most.
  static let maximumInterval: UInt64 = 100_000_000
  /// Round trips without an acknowledgement, where those are slow.
  static let roundTrips: UInt64 = 8

  let timeout: UInt64
  private var waitingSince: UInt64?
  private var lastLook: UInt64 = 0

  init(timeout: UInt64) { self.timeout = max(1, timeout) }

  private var interval: UInt64 { min(AcknowledgementWatch.maximumInterval, max(1, timeout / 4)) }

  /// A call begins where there was none.
  /// - Returns: when to look.
  mutating func begin(now: UInt64) -> UInt64 {
    waitingSince = nil
    lastLook = now
    return now + interval
  }

  /// - Parameter acknowledgement: asked for only if nothing was received since the last look.
  mutating func look(
    lastReceived: UInt64, now: UInt64, _ acknowledgement: () -> TCPAcknowledgement?
  ) -> Verdict {
    defer { lastLook = now }
    guard lastReceived < lastLook, let seen = acknowledgement(), seen.isAwaited else {
      waitingSince = nil
      return .look(at: now + interval)
    }
    // An acknowledgement since the last look: what is awaited was sent later.
    if now - min(now, seen.sinceLast) > lastLook { waitingSince = nil }
    let since = waitingSince ?? lastLook
    waitingSince = since
    guard now - since >= max(timeout, seen.roundTrip * AcknowledgementWatch.roundTrips) else {
      return .look(at: now + interval)
    }
    return .gone
  }
}
