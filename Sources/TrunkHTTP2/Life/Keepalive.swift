// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import TrunkWire

/// When to send a keepalive PING to a silent peer (gRFC A8, both sides). A value: no I/O, no clock.
///
/// ```
///   listening ── nothing read for `time` ──► pinged ── any byte ─► listening
///    ▲      │                                  └── `timeout` without a byte ──► dead
///    │ call │ no calls, and those are needed
///    └── dormant
/// ```
/// 1. The time counts from the last byte *read*, of any frame.
/// 2. A connection without calls gets no PING unless `withoutCalls`; one that was sent before still
///    has its timeout.
/// 3. Its owner calls `check` at the time it was given, and after `dormant` when a call begins.
package struct Keepalive: Sendable {
  package struct Settings: Sendable, Hashable {
    /// Silence after which a PING is sent.
    package var time: UInt64
    /// Time for any byte after that PING.
    package var timeout: UInt64
    package var withoutCalls: Bool

    package init(time: UInt64, timeout: UInt64, withoutCalls: Bool) {
      self.time = max(1, time)
      self.timeout = max(1, timeout)
      self.withoutCalls = withoutCalls
    }
  }

  package enum Step: Sendable, Hashable {
    /// Check again at that time.
    case wait(until: UInt64)
    /// Send a PING, and check again at that time.
    case ping(checkAt: UInt64)
    /// Check when a call begins.
    case dormant
    /// Nothing was received within the timeout: close.
    case dead
  }

  package let settings: Settings
  /// When the unanswered PING was sent.
  private var asked: UInt64?

  package init(_ settings: Settings) { self.settings = settings }

  package mutating func check(now: UInt64, lastRead: UInt64, hasCalls: Bool) -> Step {
    if let asked {
      if lastRead < asked {
        let end = asked.saturatingAdd(settings.timeout)
        // A late answer must not delay the next PING.
        return now >= end ? .dead : .wait(until: min(end, now.saturatingAdd(settings.time)))
      }
      self.asked = nil
    }
    guard hasCalls || settings.withoutCalls else { return .dormant }
    let due = lastRead.saturatingAdd(settings.time)
    if now < due { return .wait(until: due) }
    asked = now
    // If `time` is shorter, the next PING may be due before the timeout is over.
    return .ping(checkAt: now.saturatingAdd(min(settings.time, settings.timeout)))
  }
}
