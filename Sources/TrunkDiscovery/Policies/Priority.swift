// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import TrunkWire

/// `priority_experimental` (gRFC A56): calls go to the first child of a list that is READY; the next
/// one is made when all before it failed.
///
/// ```
///   for each name in order: make it if it is not there;
///     READY, IDLE, or its failover timer runs ──► serves (READY or IDLE: those after it deactivated)
///   else the first one that is CONNECTING, else the last one
/// ```
/// - The failover timer of a child runs for 10 s from its making, and from CONNECTING if it was READY
///   or IDLE since its last TRANSIENT_FAILURE; any other state ends it.
/// - A child that is deactivated, or no longer in the config, is closed after 15 min.
package struct Priority: Balancer {
  package static var name: String { "priority_experimental" }
  /// How long a child may connect before the next one is made as well (gRFC A56).
  static let failoverTimeout: UInt64 = 10_000_000_000

  /// `{"children": {name: {"config": [...], "ignoreReresolutionRequests": bool}}, "priorities": [name]}`
  package struct Config: Sendable {
    struct Child: Sendable {
      var policy: PreparedPolicy
      var ignoresReresolution: Bool
    }
    var children: [String: Child] = [:]
    /// Each names a child, once.
    var priorities: [String] = []
  }

  package static func parse(_ json: [UInt8]) throws(ServiceConfigError) -> Config {
    try parse(json, policies: BalancerRegistry())
  }
  package static func parse(
    _ json: [UInt8], policies: BalancerRegistry
  ) throws(ServiceConfigError) -> Config {
    let fields = try JSONReader(JSONValue(parsing: json), path: name)
    var config = Config()
    for (child, fields) in try fields.map("children") {
      config.children[child] = Config.Child(
        policy: try policies.prepare("config", of: fields),
        ignoresReresolution: try fields.bool("ignoreReresolutionRequests") ?? false)
    }
    for (i, value) in (try fields.array("priorities") ?? []).enumerated() {
      let field = "priorities[\(i)]"
      guard case .string(let child) = value else {
        throw fields.error(field, "a string is needed, not \(value.kind)")
      }
      guard config.children[child] != nil else {
        throw fields.error(field, "\"\(child)\" is none of the children")
      }
      guard !config.priorities.contains(child) else {
        throw fields.error(field, "\"\(child)\" is listed twice")
      }
      config.priorities.append(child)
    }
    return config
  }

  /// What the choice depends on beside the child's state.
  private struct Failover: Sendable {
    /// The timer's end; nil: it does not run.
    var due: UInt64?
    var wasUsable = true
    var last = ConnectivityState.connecting
  }

  private var config: Config
  private var children = ChildGroup()
  private var failovers: [String: Failover] = [:]
  private var resolution = Resolution([])
  private var shares: [String: [Endpoint]] = [:]
  /// The child that serves; nil without priorities.
  private var current: String?
  private var hasReported = false

  package init(_ config: Config) { self.config = config }
  /// True: children of the same names go on.
  package mutating func reconfigure(_ config: Config) -> Bool {
    self.config = config
    return true
  }

  package mutating func handle(_ event: BalancerEvent, _ actions: inout BalancerActions) {
    var changed: Set<String> = []
    switch event {
    case .resolved(let resolution):
      self.resolution = resolution
      shares = resolution.shares
      for name in children.names {
        if config.priorities.contains(name) {
          if install(name, &actions) { changed.insert(name) }
        } else {
          children.deactivate(name, &actions)
        }
      }
    case .subchannel(let id, _, _):
      guard let owner = children.owner(id) else { return }
      if send(event, owner, &actions) { changed.insert(owner) }
    case .timer:
      children.removeExpired(&actions)
      for name in failovers.keys {
        if !children.contains(name) {
          failovers[name] = nil
        } else if let due = failovers[name]?.due, due <= actions.now {
          failovers[name]?.due = nil
        }
      }
      fallthrough
    case .resolutionFailed, .completed:
      for name in children.names where send(event, name, &actions) { changed.insert(name) }
    case .exitIdle:
      if let current, send(event, current, &actions) { changed.insert(current) }
    }
    choose(changed, &actions)
  }

  package func explain(now: UInt64) -> PolicyExplanation {
    let shown = config.priorities.compactMap { name -> PolicyExplanation.Child? in
      children.explain(name, now: now).map { .init(name, $0) }
    }
    return PolicyExplanation(
      Priority.name, notes: [current.map { "\"\($0)\" is in use" } ?? "no priority is in use"],
      children: shown)
  }

  package mutating func makePicker() -> any Picker {
    current.map { children.makePicker($0) }
      ?? ConstantPicker(.fail(RPCError(.unavailable, "priority_experimental has no priorities")))
  }
}

// MARK: - The choice

extension Priority {
  /// Publishes the chosen child's state, if it is another child or its picker changed.
  private mutating func choose(_ changed: Set<String>, _ actions: inout BalancerActions) {
    var changed = changed
    let chosen = select(&changed, &actions)
    if chosen != current || !hasReported || chosen.map(changed.contains) == true {
      current = chosen
      hasReported = true
      actions.changed(chosen.map { children.state($0) } ?? .transientFailure)
    }
  }

  private mutating func select(
    _ changed: inout Set<String>, _ actions: inout BalancerActions
  ) -> String? {
    for (i, name) in config.priorities.enumerated() {
      if children.contains(name) {
        children.activate(name)
      } else {
        let due = actions.now + Priority.failoverTimeout
        failovers[name] = Failover(due: due)
        actions.wake(at: due)
        if install(name, &actions) { changed.insert(name) }
      }
      switch children.state(name) {
      case .ready, .idle:
        for lower in config.priorities[(i + 1)...] { children.deactivate(lower, &actions) }
        return name
      default: if failovers[name]?.due != nil { return name }
      }
    }
    return config.priorities.first { children.state($0) == .connecting } ?? config.priorities.last
  }

  private mutating func install(_ name: String, _ actions: inout BalancerActions) -> Bool {
    guard let child = config.children[name] else { return false }
    let isChanged = children.install(
      name, child.policy, resolution.share(of: name, shares),
      resolvesAgain: !child.ignoresReresolution, &actions)
    stateChanged(name, &actions)
    return isChanged
  }

  private mutating func send(
    _ event: BalancerEvent, _ name: String, _ actions: inout BalancerActions
  ) -> Bool {
    let isChanged = children.send(event, to: name, &actions)
    stateChanged(name, &actions)
    return isChanged
  }

  private mutating func stateChanged(_ name: String, _ actions: inout BalancerActions) {
    let state = children.state(name)
    guard var failover = failovers[name], state != failover.last else { return }
    failover.last = state
    failover.due = nil
    switch state {
    case .ready, .idle: failover.wasUsable = true
    case .connecting:
      guard failover.wasUsable else { break }
      let due = actions.now + Priority.failoverTimeout
      failover.due = due
      actions.wake(at: due)
    default: failover.wasUsable = false
    }
    failovers[name] = failover
  }
}
