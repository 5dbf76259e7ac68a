// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import TrunkWire

/// `weighted_target_experimental` (gRFC A28): calls are spread over its children by fixed weights.
///
/// - READY if a child is, else CONNECTING if one is, else IDLE if one is, else TRANSIENT_FAILURE; calls
///   go to the children that are in that state. A child that failed counts as failed until it is
///   READY or IDLE.
/// - A child that is no longer in the config gets no calls, and is closed after 15 min.
package struct WeightedTarget: Balancer {
  package static var name: String { "weighted_target_experimental" }

  /// `{"targets": {name: {"weight": n, "childPolicy": [...]}}}`
  package struct Config: Sendable {
    struct Target: Sendable {
      /// At least 1.
      var weight: UInt64
      var policy: PreparedPolicy
    }
    var targets: [String: Target] = [:]
  }

  package static func parse(_ json: [UInt8]) throws(ServiceConfigError) -> Config {
    try parse(json, policies: BalancerRegistry())
  }
  package static func parse(
    _ json: [UInt8], policies: BalancerRegistry
  ) throws(ServiceConfigError) -> Config {
    let fields = try JSONReader(JSONValue(parsing: json), path: name)
    var config = Config()
    for (target, fields) in try fields.map("targets") {
      let weight = try fields.required(
        "weight", fields.integer("weight", in: 1...Int(UInt32.max)))
      config.targets[target] = Config.Target(
        weight: UInt64(weight), policy: try policies.prepare("childPolicy", of: fields))
    }
    return config
  }

  private var config: Config
  private var children = ChildGroup()
  /// Of the targets, with TRANSIENT_FAILURE in place of a CONNECTING that follows it.
  private var states: [String: ConnectivityState] = [:]
  /// Makes the choices of weighted targets inside each other independent.
  private var salt: UInt64?

  package init(_ config: Config) { self.config = config }
  /// True: children of the same names go on.
  package mutating func reconfigure(_ config: Config) -> Bool {
    self.config = config
    return true
  }

  package mutating func handle(_ event: BalancerEvent, _ actions: inout BalancerActions) {
    var isChanged = false
    switch event {
    case .resolved(let resolution):
      salt = salt ?? actions.random.next()
      isChanged = replace(resolution, &actions)
    case .subchannel(let id, _, _):
      if let owner = children.owner(id) { isChanged = send(event, owner, &actions) }
    case .timer:
      children.removeExpired(&actions)
      fallthrough
    case .resolutionFailed, .completed:
      for name in children.names where send(event, name, &actions) { isChanged = true }
    case .exitIdle:
      for name in states.keys.sorted() where send(event, name, &actions) { isChanged = true }
    }
    if isChanged { actions.changed(state) }
  }

  package func explain(now: UInt64) -> PolicyExplanation {
    let shown = children.names.filter(children.isActive).compactMap {
      name -> PolicyExplanation.Child? in
      children.explain(name, now: now).map { .init(name, $0) }
    }
    return PolicyExplanation(WeightedTarget.name, children: shown)
  }

  package mutating func makePicker() -> any Picker {
    let state = state
    guard state != .connecting else { return ConstantPicker(.wait) }
    let names = states.keys.filter { states[$0] == state }.sorted()
    guard !names.isEmpty else {
      return ConstantPicker(
        .fail(RPCError(.unavailable, "weighted_target_experimental has no targets")))
    }
    return WeightedPicker(
      names.map { (children.makePicker($0), config.targets[$0]?.weight ?? 1) }, salt: salt ?? 0)
  }

  private var state: ConnectivityState {
    let present = Set(states.values)
    let order: [ConnectivityState] = [.ready, .connecting, .idle]
    return order.first(where: present.contains) ?? .transientFailure
  }

  /// - Returns: whether there is something to publish, as there is with a new config.
  private mutating func replace(
    _ resolution: Resolution, _ actions: inout BalancerActions
  ) -> Bool {
    let shares = resolution.shares
    for name in children.names where config.targets[name] == nil {
      children.deactivate(name, &actions)
      states[name] = nil
    }
    for (name, target) in config.targets.sorted(by: { $0.key < $1.key }) {
      children.activate(name)
      _ = children.install(
        name, target.policy, resolution.share(of: name, shares), &actions)
      note(name)
    }
    return true
  }

  private mutating func send(
    _ event: BalancerEvent, _ name: String, _ actions: inout BalancerActions
  ) -> Bool {
    let isChanged = children.send(event, to: name, &actions)
    note(name)
    return isChanged && children.isActive(name)
  }

  private mutating func note(_ name: String) {
    guard children.isActive(name) else { return }
    let state = children.state(name)
    if state == .connecting, states[name] == .transientFailure { return }
    states[name] = state
  }
}

/// Chooses a picker by weight: bisection over the sums of the weights.
struct WeightedPicker: Picker {
  private var pickers: [any Picker]
  /// Ascending; each picker's weight and those before it.
  private var sums: [UInt64] = []
  private let salt: UInt64

  /// - Parameter weighted: not empty; weights of at least 1 whose sum fits 64 bits.
  init(_ weighted: [(picker: any Picker, weight: UInt64)], salt: UInt64) {
    pickers = weighted.map(\.picker)
    self.salt = salt
    var sum: UInt64 = 0
    for (_, weight) in weighted {
      sum += weight
      sums.append(sum)
    }
  }

  mutating func pick(_ call: borrowing PickContext) -> Pick {
    let total = sums[sums.count - 1]
    let point = mixed(call.random ^ salt).multipliedFullWidth(by: total).high
    var (low, high) = (0, sums.count - 1)
    while low < high {
      let middle = (low + high) / 2
      if point < sums[middle] { high = middle } else { low = middle + 1 }
    }
    return pickers[low].pick(call)
  }
}

/// SplitMix64's output function: a bijection whose bits each depend on all bits of the input.
func mixed(_ number: UInt64) -> UInt64 {
  var bits = number &+ 0x9e37_79b9_7f4a_7c15
  bits = (bits ^ bits >> 30) &* 0xbf58_476d_1ce4_e5b9
  bits = (bits ^ bits >> 27) &* 0x94d0_49bb_1331_11eb
  return bits ^ bits >> 31
}
