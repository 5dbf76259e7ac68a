// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// One policy in a channel, and the subchannels that it opened.
struct PolicySlot: Sendable {
  private(set) var choice: BalancerChoice
  /// The policy's last `.changed`; CONNECTING before the first one.
  private(set) var state = ConnectivityState.connecting
  private(set) var open: Set<SubchannelID> = []
  private var balancer: any Balancer

  init(balancer: any Balancer, choice: BalancerChoice) {
    self.balancer = balancer
    self.choice = choice
  }

  mutating func makePicker() -> any Picker { balancer.makePicker() }

  /// Takes a new config in place. False if it is another policy's or this one cannot.
  mutating func reconfigure(_ new: BalancerChoice) throws(ServiceConfigError) -> Bool {
    guard new.name == choice.name, try balancer.reconfigure(json: new.json) else { return false }
    choice = new
    return true
  }

  /// Runs the policy on one event.
  /// - Returns: whether it published something: a new picker is to be made.
  mutating func handle(
    _ event: BalancerEvent, _ actions: inout BalancerActions, _ out: inout [ChannelCore.Action]
  ) -> Bool {
    balancer.handle(event, &actions)
    var published = false
    for command in actions.drain() {
      switch command {
      case .open(let id, let endpoint, let load):
        open.insert(id)
        out.append(.open(id, endpoint, load: load))
      case .update(let id, let endpoint):
        if open.contains(id) { out.append(.update(id, endpoint)) }
      case .connect(let id):
        if open.contains(id) { out.append(.connect(id)) }
      case .close(let id):
        // A policy may close a subchannel twice, or one that it did not open: ignored.
        if open.remove(id) != nil { out.append(.close(id)) }
      case .changed(let new):
        state = new
        published = true
      case .resolveAgain: out.append(.resolveAgain)
      }
    }
    return published
  }

  /// Closes the subchannels that the policy has open.
  mutating func close(_ out: inout [ChannelCore.Action]) {
    for id in open.sorted(by: { $0.raw < $1.raw }) { out.append(.close(id)) }
    open.removeAll()
  }
}
