// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
package import TrunkDiscovery

/// Keeps instances that vanish from the answers of a server without a leader: nothing can be
/// deregistered then, so that its data is more likely old than right (Consul, Consistency Modes). New
/// instances are used at once. No I/O, no clock.
///
/// ```
///   following ── an answer without a leader that lacks instances ──► keeping
///       ▲                                                              │
///       └── an answer with a leader, or that lacks none; `hold` is over ┘
/// ```
package struct LeaderlessHold: Sendable {
  package typealias Instant = ContinuousClock.Instant

  private let hold: Duration
  /// While it keeps instances: when that ends.
  package private(set) var until: Instant?
  /// The hold has ended without a leader; what answers lack is gone until there is one again.
  private var isOver = false
  /// How many of the last answer's instances are kept ones.
  package private(set) var kept = 0

  /// - Parameter hold: zero keeps nothing.
  package init(hold: Duration) { self.hold = hold }

  /// - Parameters:
  ///   - mapping: of an answer.
  ///   - before: the set in force until now.
  /// - Returns: the set to use.
  package mutating func judge(
    _ mapping: InstanceMapping, knowsLeader: Bool?, after before: [Endpoint], at now: Instant
  ) -> InstanceMapping {
    kept = 0
    guard knowsLeader == false, hold > .zero else {
      until = nil
      isOver = false
      return mapping
    }
    let listed = Set(mapping.endpoints.map(\.identity))
    let vanished = before.filter { !listed.contains($0.identity) }
    guard !vanished.isEmpty, !isOver else {
      until = nil
      return mapping
    }
    let end = until ?? now + hold
    guard now < end else {
      until = nil
      isOver = true
      return mapping
    }
    until = end
    kept = vanished.count
    var mapping = mapping
    mapping.endpoints += vanished
    return mapping
  }

  package var note: String {
    let subject = kept == 1 ? "1 that vanished is kept" : "\(kept) that vanished are kept"
    return "Consul's servers know no leader, \(subject) for up to \(ConsulDuration.text(hold))"
  }
}
