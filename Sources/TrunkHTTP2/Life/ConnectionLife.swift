// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import TrunkWire

/// When a server closes a connection in order (gRFC A9). A value: no I/O, no clock; the jitter is
/// an argument.
///
/// ```
///   serving ── no call for `maxIdle` ──────► drain(.maxIdle) ──┐
///      └────── `maxAge` (±10 %) has passed ──► drain(.maxAge) ──┴── calls after `grace` ──► close
/// ```
/// Its owner calls `check` at the time it was given; the end of a call needs no check, as
/// `idleSince` has it.
package struct ConnectionLife: Sendable {
  package struct Settings: Sendable, Hashable {
    /// Nanoseconds; nil: without limit.
    package var maxIdle: UInt64?
    package var maxAge: UInt64?
    package var grace: UInt64?

    package init(maxIdle: UInt64? = nil, maxAge: UInt64? = nil, grace: UInt64? = nil) {
      self.maxIdle = maxIdle
      self.maxAge = maxAge
      self.grace = grace
    }

    package var isEndless: Bool { maxIdle == nil && maxAge == nil }
  }

  package enum Reason: String, Sendable, Hashable {
    case maxIdle = "max_idle"
    case maxAge = "max_age"
  }

  package enum Step: Sendable, Hashable {
    case wait(until: UInt64)
    /// GOAWAY in two steps; the reason is its debug text.
    case drain(Reason)
    /// The grace is over: calls still under way are ended.
    case close
    /// No further check is needed.
    case done
  }

  private enum Phase { case serving, draining(closeAt: UInt64?), over }
  private var phase = Phase.serving
  private let maxIdle: UInt64?
  private let grace: UInt64?
  private let endOfAge: UInt64?

  /// Ages differ by up to this factor, so that clients do not all reconnect at once.
  package static let jitter = 0.1

  package init(
    _ settings: Settings, born: UInt64, random: inout some RandomNumberGenerator
  ) {
    maxIdle = settings.maxIdle
    grace = settings.grace
    endOfAge = settings.maxAge.map { age in
      let draw = Double(random.next() >> 11) * 0x1p-53
      let factor = 1 + ConnectionLife.jitter * (2 * draw - 1)
      let jittered = Double(age) * factor
      return born.saturatingAdd(jittered >= 0x1p63 ? .max : UInt64(jittered))
    }
  }

  /// - Parameter idleSince: the end of the last call; nil while there are calls.
  package mutating func check(now: UInt64, idleSince: UInt64?) -> Step {
    switch phase {
    case .serving:
      let idleEnd = maxIdle.map { (idleSince ?? now).saturatingAdd($0) }
      if let endOfAge, now >= endOfAge { return drain(.maxAge, now) }
      if let idleEnd, idleSince != nil, now >= idleEnd { return drain(.maxIdle, now) }
      let next = min(idleEnd ?? .max, endOfAge ?? .max)
      return next == .max ? .done : .wait(until: next)
    case .draining(let closeAt):
      guard let closeAt else { return .done }
      if now < closeAt { return .wait(until: closeAt) }
      phase = .over
      return .close
    case .over: return .done
    }
  }

  private mutating func drain(_ reason: Reason, _ now: UInt64) -> Step {
    phase = .draining(closeAt: grace.map { now.saturatingAdd($0) })
    return .drain(reason)
  }
}
