// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import TrunkWire

/// When to ask a silent peer whether it lives (gRFC A8, both sides). A value: no I/O, no clock.
///
/// ```
///   listening ── nothing read for `time` ──► asked ── any byte ──► listening
///    ▲      │                                  └── `timeout` without a byte ──► dead
///    │ call │ no calls, and those are needed
///    └── dormant
/// ```
/// 1. The time counts from the last byte *read*, whatever it belonged to.
/// 2. A connection without calls is left alone unless `withoutCalls`; a ping that is out already is
///    still judged.
/// 3. Its owner calls `check` when the time it was given has come, and after `dormant` when a call
///    begins.
package struct Keepalive: Sendable {
  package struct Settings: Sendable, Hashable {
    /// Silence after which the peer is asked.
    package var time: UInt64
    /// How long it may take to say anything then.
    package var timeout: UInt64
    package var withoutCalls: Bool

    package init(time: UInt64, timeout: UInt64, withoutCalls: Bool) {
      self.time = max(1, time)
      self.timeout = max(1, timeout)
      self.withoutCalls = withoutCalls
    }
  }

  package enum Step: Sendable, Hashable {
    /// Check again then.
    case wait(until: UInt64)
    /// Send a PING, and check again then.
    case ping(checkAt: UInt64)
    /// Check when a call begins.
    case dormant
    /// Nothing came within the timeout: close.
    case dead
  }

  package let settings: Settings
  /// When the ping went out that is unanswered.
  private var asked: UInt64?

  package init(_ settings: Settings) { self.settings = settings }

  package mutating func check(now: UInt64, lastRead: UInt64, hasCalls: Bool) -> Step {
    if let asked {
      if lastRead < asked {
        let end = asked.saturatingAdd(settings.timeout)
        // An answer that comes late must not put off the next question.
        return now >= end ? .dead : .wait(until: min(end, now.saturatingAdd(settings.time)))
      }
      self.asked = nil
    }
    guard hasCalls || settings.withoutCalls else { return .dormant }
    let due = lastRead.saturatingAdd(settings.time)
    if now < due { return .wait(until: due) }
    asked = now
    // Where the time is the shorter one, the next ping may be due before the timeout is over.
    return .ping(checkAt: now.saturatingAdd(min(settings.time, settings.timeout)))
  }
}
