// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
package import TrunkDiscovery

/// What the watches of a plan have reported, as one resolution. No I/O, no clock.
///
/// ```
///   adopt(plan) ──► WAITING ── each part has reported ──► REPORTING ── a part changes ──► report
///                      └── the delay is over and one has ──────▲
/// ```
/// - While a new plan waits, the last report stays in force.
/// - Instances that vanished in a mass are a group of their own, the last of all: behind every data
///   center. The groups are there from the start, so that none of it changes a connection.
package struct WatchMerge: Sendable {
  /// How long the parts of a plan wait for each other.
  package static let delay = Duration.seconds(1)
  static let listed = "listed"
  static let vanished = "vanished"

  private let agent: String
  private let guards: Bool
  private var plan: WatchPlan
  private var snapshots: [WatchPlan.Part: BlockingQuery.Snapshot] = [:]
  private var delayIsOver = false

  /// - Parameters:
  ///   - agent: its address, for the note.
  ///   - guards: whether instances that vanish may be kept as a last resort.
  package init(_ plan: WatchPlan, agent: String, guards: Bool) {
    self.plan = plan
    self.agent = agent
    self.guards = guards
  }

  package mutating func adopt(_ plan: WatchPlan) {
    snapshots = snapshots.filter { plan.parts.contains($0.key) }
    delayIsOver = false
    self.plan = plan
  }

  /// - Returns: what to report to the channel; nil while the parts wait for each other.
  package mutating func received(
    _ snapshot: BlockingQuery.Snapshot, of part: WatchPlan.Part
  ) -> Resolution? {
    guard plan.parts.contains(part) else { return nil }
    snapshots[part] = snapshot
    return report
  }

  package mutating func delayPassed() -> Resolution? {
    guard !delayIsOver else { return nil }
    delayIsOver = true
    return snapshots.count < plan.parts.count ? report : nil
  }

  private var report: Resolution? {
    guard !snapshots.isEmpty, delayIsOver || snapshots.count == plan.parts.count else { return nil }
    var endpoints: [Endpoint] = []
    var vanished: [Endpoint] = []
    for part in plan.parts {
      guard let snapshot = snapshots[part] else { continue }
      for var endpoint in snapshot.endpoints {
        endpoint.childPath = (guards ? [WatchMerge.listed] : []) + part.path
        endpoints.append(endpoint)
      }
      vanished += snapshot.lastResort
    }
    let identities = Set(endpoints.map(\.identity))
    vanished.removeAll { identities.contains($0.identity) }
    for index in vanished.indices { vanished[index].childPath = [WatchMerge.vanished] }
    var resolution = Resolution(endpoints + vanished, note: note)
    resolution.groups = groups(hasVanished: !vanished.isEmpty)
    resolution.isAnswer = snapshots.values.contains(where: \.isAnswer)
    return resolution
  }

  private func groups(hasVanished: Bool) -> EndpointGroups? {
    guard guards else { return plan.groups }
    let listed = EndpointGroup(WatchMerge.listed, groups: plan.groups)
    return .priorities(hasVanished ? [listed, EndpointGroup(WatchMerge.vanished)] : [listed])
  }

  /// `consul 127.0.0.1:8500: 2 instances, 2 passing`, `consul …: dc1: …; dc2: no answer yet`.
  private var note: String {
    let notes = plan.parts.map { part in
      (part.label.map { "\($0): " } ?? "") + (snapshots[part]?.note ?? "no answer yet")
    }
    return "consul \(agent): " + ([plan.note].compactMap { $0 } + notes).joined(separator: "; ")
  }
}
