// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import TrunkWire

/// When a server lets go of a connection in good order (gRFC A9). A value: no I/O, no clock; the
/// jitter comes from its maker.
///
/// ```
///   serving ── no call for `maxIdle` ──────► drain(.maxIdle) ──┐
///      └────── `maxAge` (±10 %) has passed ──► drain(.maxAge) ──┴── calls after `grace` ──► close
/// ```
/// Its owner calls `check` when the time it was given has come; the end of a call needs no check,
/// as `idleSince` says it all.
package struct ConnectionLife: Sendable {
  package struct Settings: Sendable, Hashable {
    /// Nanoseconds; nil is for ever.
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
    /// The grace is over: what still runs is cut off.
    case close
    /// Nothing is due any more.
    case done
  }

  private enum Phase { case serving, draining(closeAt: UInt64?), over }
  private var phase = Phase.serving
  private let maxIdle: UInt64?
  private let grace: UInt64?
  private let endOfAge: UInt64?

  /// Ages differ by up to this much, so that clients do not all come back at once.
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

  /// - Parameter idleSince: since when there has been no call; nil while there are some.
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
