// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
package import TrunkDiscovery

/// What the watches of a plan have reported, as one resolution. No I/O, no clock.
///
/// ```
///   adopt(plan) ──► WAITING ── each part has reported ──► REPORTING ── a part changes ──► report
///                      └── the delay is over and one has ──────▲
/// ```
/// - While a new plan waits, the one before it stays in force, its changes included: a channel never
///   changes to targets of which nothing is known. It waits for longer than the delay if none of its
///   parts has an instance by then, or if none could be asked.
/// - Instances that vanished in a mass are a group of their own, the last of all: behind every data
///   center. The groups are there from the start, so that none of it changes a connection.
package struct WatchMerge: Sendable {
  /// How long the parts of a plan wait for each other.
  package static let delay = Duration.seconds(1)
  static let listed = "listed"
  static let vanished = "vanished"

  private let agent: String
  private let guards: Bool
  /// In force; nil before the first report.
  private var plan: WatchPlan?
  /// Adopted, and waits for its parts.
  private var next: WatchPlan?
  private var snapshots: [WatchPlan.Part: BlockingQuery.Snapshot] = [:]
  private var delayIsOver = false

  /// - Parameters:
  ///   - agent: its address, for the note.
  ///   - guards: whether instances that vanish may be kept as a last resort.
  package init(_ plan: WatchPlan, agent: String, guards: Bool) {
    next = plan
    self.agent = agent
    self.guards = guards
  }

  /// What to watch.
  package var parts: Set<WatchPlan.Part> {
    Set((plan?.parts ?? []) + (next?.parts ?? []))
  }

  /// - Returns: what to report, if the plan does not have to wait.
  package mutating func adopt(_ plan: WatchPlan) -> Resolution? {
    next = plan
    delayIsOver = false
    snapshots = snapshots.filter { parts.contains($0.key) }
    return takeOver() ? report : nil
  }

  /// - Returns: what to report to the channel; nil while the parts wait for each other.
  package mutating func received(
    _ snapshot: BlockingQuery.Snapshot, of part: WatchPlan.Part
  ) -> Resolution? {
    guard parts.contains(part) else { return nil }
    snapshots[part] = snapshot
    let isOfNext = next?.parts.contains(part) == true && delayIsOver
    return takeOver() || isOfNext || plan?.parts.contains(part) == true ? report : nil
  }

  package mutating func delayPassed() -> Resolution? {
    guard !delayIsOver else { return nil }
    delayIsOver = true
    // Otherwise the note says that the plan waits.
    return next != nil && (takeOver() || plan != nil) ? report : nil
  }

  /// Puts the next plan in force if enough is known of it.
  private mutating func takeOver() -> Bool {
    guard let next else { return false }
    let known = next.parts.compactMap { snapshots[$0] }
    let isComplete = known.count == next.parts.count
    let isFirst = plan == nil
    let isEnough =
      isComplete
      ? isFirst || known.contains { $0.isAnswer }
      : delayIsOver && known.contains { isFirst || !$0.endpoints.isEmpty }
    guard isEnough else { return false }
    plan = next
    self.next = nil
    snapshots = snapshots.filter { parts.contains($0.key) }
    return true
  }

  private var report: Resolution? {
    guard let plan else { return nil }
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
    var resolution = Resolution(endpoints + vanished, note: note(plan))
    resolution.groups = groups(plan, hasVanished: !vanished.isEmpty)
    resolution.isAnswer = plan.parts.contains { snapshots[$0]?.isAnswer == true }
    return resolution
  }

  private func groups(_ plan: WatchPlan, hasVanished: Bool) -> EndpointGroups? {
    guard guards else { return plan.groups }
    let listed = EndpointGroup(WatchMerge.listed, groups: plan.groups)
    return .priorities(hasVanished ? [listed, EndpointGroup(WatchMerge.vanished)] : [listed])
  }

  /// `consul 127.0.0.1:8500: 2 instances, 2 passing`, `consul …: dc1: …; dc2: no answer yet`.
  private func note(_ plan: WatchPlan) -> String {
    var notes = [plan.note].compactMap { $0 } + notes(of: plan)
    if let next, delayIsOver {
      let later = [next.note].compactMap { $0 } + self.notes(of: next)
      notes.append("not yet in force: \(later.joined(separator: "; "))")
    }
    return "consul \(agent): " + notes.joined(separator: "; ")
  }

  private func notes(of plan: WatchPlan) -> [String] {
    plan.parts.map { part in
      (part.label.map { "\($0): " } ?? "") + (snapshots[part]?.note ?? "no answer yet")
    }
  }
}
