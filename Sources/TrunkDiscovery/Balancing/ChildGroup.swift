// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// The children of a policy that has several, by name (gRFC A56): their subchannels, their share of
/// the endpoints, and those that are kept for a while after they were removed.
///
/// ```
///   none ── install ──► active ── deactivate ──► kept ── 15 min ──► none, its subchannels closed
///                          ▲──── activate ───────┘
/// ```
/// - A child that is kept gets all events, so that its connections last.
/// - Of an endpoint with a ``Endpoint/childPath`` the child of that name gets it, without that name;
///   an endpoint without one goes to no child.
struct ChildGroup: Sendable {
  /// How long a child is kept that is not in use (gRFC A56).
  static let retention: UInt64 = 15 * 60 * 1_000_000_000
  /// Children that are kept at the same time; beyond it the one that is due first is closed.
  static let maximumKept = 100

  private struct Child: Sendable {
    var policy = ChildPolicy()
    var removeAt: UInt64?
    var resolvesAgain = true
  }

  private var children: [String: Child] = [:]
  private var owners: [SubchannelID: String] = [:]

  /// Active ones and those that are kept, sorted.
  var names: [String] { children.keys.sorted() }
  func contains(_ name: String) -> Bool { children[name] != nil }
  func isActive(_ name: String) -> Bool { children[name].map { $0.removeAt == nil } ?? false }
  /// CONNECTING if there is no such child.
  func state(_ name: String) -> ConnectivityState { children[name]?.policy.state ?? .connecting }
  func owner(_ id: SubchannelID) -> String? { owners[id] }

  func explain(_ name: String, now: UInt64) -> PolicyExplanation? {
    children[name]?.policy.explain(now: now)
  }

  mutating func makePicker(_ name: String) -> any Picker {
    children[name]?.policy.makePicker() ?? ConstantPicker(.wait)
  }

  /// Gives a child its policy and its endpoints; one that does not exist is made, and is active.
  /// - Parameter resolvesAgain: false: its requests for a fresh resolution are ignored.
  /// - Returns: whether its picker is another one now.
  mutating func install(
    _ name: String, _ policy: PreparedPolicy, _ resolution: Resolution, resolvesAgain: Bool = true,
    _ actions: inout BalancerActions
  ) -> Bool {
    children[name, default: Child()].resolvesAgain = resolvesAgain
    let isChanged = run(name, &actions) { $0.install(policy, &$1) }
    return run(name, &actions) { $0.handle(.resolved(resolution), &$1) } || isChanged
  }

  /// Passes an event to one child.
  /// - Returns: whether its picker is another one now.
  mutating func send(
    _ event: BalancerEvent, to name: String, _ actions: inout BalancerActions
  ) -> Bool {
    run(name, &actions) { $0.handle(event, &$1) }
  }

  /// Closes the child in 15 min, unless it is activated before or too many are kept.
  mutating func deactivate(_ name: String, _ actions: inout BalancerActions) {
    guard isActive(name) else { return }
    let time = actions.now + ChildGroup.retention
    children[name]?.removeAt = time
    actions.wake(at: time)
    let kept = children.compactMap { name, child in child.removeAt.map { ($0, name) } }
    if kept.count > ChildGroup.maximumKept, let (_, first) = kept.min(by: <) {
      remove(first, &actions)
    }
  }

  mutating func activate(_ name: String) { children[name]?.removeAt = nil }

  /// Closes the children that were kept long enough.
  mutating func removeExpired(_ actions: inout BalancerActions) {
    for name in names {
      if let time = children[name]?.removeAt, time <= actions.now { remove(name, &actions) }
    }
  }

  private mutating func remove(_ name: String, _ actions: inout BalancerActions) {
    _ = run(name, &actions) {
      $0.close(&$1)
      return false
    }
    children[name] = nil
  }

  private mutating func run(
    _ name: String, _ actions: inout BalancerActions,
    _ body: (inout ChildPolicy, inout BalancerActions) -> Bool
  ) -> Bool {
    // In place: a copy would copy the child's collections at each event.
    guard let index = children.index(forKey: name) else { return false }
    var published = false
    for command in actions.collect({ published = body(&children.values[index].policy, &$0) }) {
      switch command {
      case .open(let id, _, _): owners[id] = name
      case .close(let id): owners[id] = nil
      case .resolveAgain where !children.values[index].resolvesAgain: continue
      default: break
      }
      actions.append(command)
    }
    return published
  }
}

extension Resolution {
  /// The resolution for one child (gRFC A56, hierarchical addresses).
  func share(of child: String, _ shares: [String: [Endpoint]]) -> Resolution {
    var share = self
    share.endpoints = shares[child] ?? []
    // Where the resolver made the groups, its note says what is in them.
    if share.endpoints.isEmpty, !endpoints.isEmpty, groups == nil {
      share.note = "none of the \(endpoints.count) endpoints is for the child \"\(child)\""
    }
    return share
  }

  /// The endpoints by the first name of their path, which is taken off.
  var shares: [String: [Endpoint]] {
    var shares: [String: [Endpoint]] = [:]
    for var endpoint in endpoints {
      guard let name = endpoint.childPath.first else { continue }
      endpoint.childPath.removeFirst()
      shares[name, default: []].append(endpoint)
    }
    return shares
  }
}
