// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// When to ask a silent server whether it lives. A value: no I/O, no clock.
///
/// ```
///   quiet ── a call expired, nothing came since it began ──► asked ── any byte ──► quiet
///                                                              └── timeout ──► dead
/// ```
/// Servers count PINGs (gRFC A8): one is free after each HEADERS or DATA frame that they sent, else
/// they want five minutes between two, and hang up after two strikes. So a second PING goes out
/// only if frames of a stream came since the last one, and 10 s later at the earliest, or after
/// more than five minutes. That earns no strike at all.
struct Liveness: Sendable {
  enum Verdict: Sendable, Hashable { case alive, dead }

  /// Between two PINGs when streams were answered in between.
  static let interval: UInt64 = 10_000_000_000
  /// Else: the five minutes of A8, and a little.
  static let quietInterval: UInt64 = 310_000_000_000

  let timeout: UInt64
  private var lastPing: UInt64?
  private(set) var isAsking = false
  private var framesSincePing = false

  init(timeout: UInt64) { self.timeout = timeout }

  /// A call has expired.
  /// - Returns: whether to send a PING now, and look again after `timeout`.
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

  /// HEADERS or DATA of some stream came.
  mutating func frameReceived() { framesSincePing = true }

  /// The time to look again: any byte since the PING is a sign of life.
  mutating func look(lastReceived: UInt64) -> Verdict {
    guard isAsking, let lastPing else { return .alive }
    isAsking = false
    return lastReceived >= lastPing ? .alive : .dead
  }
}
