// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// When to send a PING to a server that is silent while calls expire. A value: no I/O, no clock.
///
/// ```
///   quiet ── a call expired, nothing came since it began ──► pinged ── any byte ──► quiet
///                                                              └── timeout ──► dead
/// ```
/// Servers count PINGs (gRFC A8): one is allowed after each HEADERS or DATA frame that they sent,
/// else one in five minutes, and they close the connection after two strikes. So a second PING is
/// sent only if frames of a stream were received since the last one, at least 10 s later, or after
/// more than five minutes. That gives no strike.
struct Liveness: Sendable {
  enum Verdict: Sendable, Hashable { case alive, dead }

  /// Between two PINGs when frames of streams were received in between.
  static let interval: UInt64 = 10_000_000_000
  /// Else: the five minutes of gRFC A8, and a margin.
  static let quietInterval: UInt64 = 310_000_000_000

  let timeout: UInt64
  private var lastPing: UInt64?
  private(set) var isAsking = false
  private var framesSincePing = false

  init(timeout: UInt64) { self.timeout = timeout }

  /// A call has expired.
  /// - Returns: whether to send a PING now, and call ``look(lastReceived:)`` after `timeout`.
  mutating func callExpired(began: UInt64, lastReceived: UInt64, now: UInt64) -> Bool {
    guard !isAsking, lastReceived < began else { return false }
    if let lastPing {
      let wait = framesSincePing ? Liveness.interval : Liveness.quietInterval
      guard now >= lastPing, now - lastPing >= wait else { return false }
    }
    lastPing = now
    isAsking = true
    framesSincePing = false
    return true
  }

  /// HEADERS or DATA of a stream was received.
  mutating func frameReceived() { framesSincePing = true }

  /// After `timeout`: any byte since the PING shows that the server is alive.
  mutating func look(lastReceived: UInt64) -> Verdict {
    guard isAsking, let lastPing else { return .alive }
    isAsking = false
    return lastReceived >= lastPing ? .alive : .dead
  }
}
