// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// One policy and the subchannels that it opened.
struct PolicySlot: Sendable {
  private(set) var policy: PreparedPolicy
  /// The policy's last `.changed`; CONNECTING before the first one.
  private(set) var state = ConnectivityState.connecting
  private(set) var open: Set<SubchannelID> = []
  private var balancer: any Balancer

  init(_ policy: PreparedPolicy) {
    self.policy = policy
    balancer = policy.make()
  }

  mutating func makePicker() -> any Picker { balancer.makePicker() }

  func explain(now: UInt64) -> PolicyExplanation {
    var explanation = balancer.explain(now: now)
    explanation.state = state
    return explanation
  }

  /// Takes a new config in place. False if it is another policy's or this one cannot.
  mutating func reconfigure(_ new: PreparedPolicy) -> Bool {
    guard new.choice.name == policy.choice.name, new.reconfigure(&balancer) else { return false }
    policy = new
    return true
  }

  /// Runs the policy on one event.
  /// - Returns: whether it published something: a new picker is to be made.
  mutating func handle(_ event: BalancerEvent, _ actions: inout BalancerActions) -> Bool {
    var published = false
    for command in actions.collect({ balancer.handle(event, &$0) }) {
      switch command {
      case .open(let id, _, _): open.insert(id)
      case .update(let id, _), .connect(let id), .reportLoad(let id, _):
        if !open.contains(id) { continue }
      case .close(let id):
        // A policy may close a subchannel twice, or one that it did not open: ignored.
        if open.remove(id) == nil { continue }
      case .changed(let new):
        state = new
        published = true
        continue
      case .resolveAgain, .wake: break
      }
      actions.append(command)
    }
    return published
  }

  /// Closes the subchannels that the policy has open.
  mutating func close(_ actions: inout BalancerActions) {
    for id in open.sorted(by: { $0.raw < $1.raw }) { actions.close(id) }
    open.removeAll()
  }
}
