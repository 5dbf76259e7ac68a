// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
package import TrunkDiscovery

/// Keeps instances that vanish in a mass as a last resort: more likely a fault of the registry, or of
/// who changed it, than the end of most servers at one moment. Calls go to them only while no
/// instance of the answer is READY. No I/O, no clock.
///
/// ```
///   off ── one answer lacks `least` instances or more, and more than `share` of the set ──► keeping
///    ▲                                                  (the same again: those too, from now) ─┤
///    └── `hold` is over; each one is listed again, or was taken out on purpose ◄───────────────┘
/// ```
package struct PanicGuard: Sendable {
  package typealias Instant = ContinuousClock.Instant

  private let share: Double
  private let least: Int
  private let hold: Duration
  /// In order of their ids.
  package private(set) var kept: [Endpoint] = []
  /// While it keeps instances: when that ends.
  package private(set) var until: Instant?

  /// - Parameter hold: zero keeps nothing.
  package init(share: Double, least: Int, hold: Duration) {
    self.share = share
    self.least = max(1, least)
    self.hold = hold
  }

  /// Whether an answer lacks so many of the instances before it that they may be kept.
  package func isMass(_ now: [Endpoint], after before: [Endpoint]) -> Bool {
    guard hold > .zero, before.count >= least else { return false }
    let listed = Set(now.map(\.instanceKey))
    let vanished = before.count { !listed.contains($0.instanceKey) }
    return vanished >= least && Double(vanished) > share * Double(before.count)
  }

  /// - Parameters:
  ///   - now: the set of an answer that takes effect.
  ///   - before: the set in force until then.
  ///   - takenOut: ids of instances that are registered and in maintenance.
  package mutating func judge(
    _ now: [Endpoint], after before: [Endpoint], takenOut: Set<String>, at time: Instant
  ) {
    if isMass(now, after: before) {
      let listed = Set(now.map(\.instanceKey) + kept.map(\.instanceKey))
      kept += before.filter { !listed.contains($0.instanceKey) }
      kept.sort { $0.instanceKey < $1.instanceKey }
      until = time + hold
    }
    guard until != nil else { return }
    let listed = Set(now.map(\.instanceKey))
    // A new instance may have the address of one that is gone.
    let addresses = Set(now.flatMap(\.addresses))
    kept.removeAll {
      listed.contains($0.instanceKey) || takenOut.contains($0.instanceKey)
        || !addresses.isDisjoint(with: $0.addresses)
    }
    if kept.isEmpty { until = nil }
  }

  package mutating func expire(at now: Instant) {
    guard let until, now >= until else { return }
    self.until = nil
    kept = []
  }

  package var note: String {
    "\(kept.count) that vanished at once \(kept.count == 1 ? "is" : "are") a last resort for up to "
      + ConsulDuration.text(hold)
  }
}
