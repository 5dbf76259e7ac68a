// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// A policy inside of another one, or of a channel, and the graceful switch to the next one
/// (load-balancing.md).
///
/// ```
///   none ── install ──► serving ── install: same name, takes the config ──► serving
///                         └── install: another one ──► serving and pending
///   serving and pending ── pending is not CONNECTING, or serving is not READY ──► pending serves
/// ```
/// - Until then the serving policy goes on with the endpoints that it has; the pending one gets the
///   resolver's reports. Afterwards the old one's subchannels are closed.
/// - Subchannel events and outcomes go to the policy that opened the subchannel.
/// - Commands other than `.changed` pass to the parent's actions; the parent reads ``state``.
public struct ChildPolicy: Sendable {
  private var serving: PolicySlot?
  private var pending: PolicySlot?

  /// Without a policy: CONNECTING, and calls wait.
  public init() {}

  /// The serving policy's; CONNECTING before its first report.
  public var state: ConnectivityState { serving?.state ?? .connecting }
  /// Whether a policy was installed.
  public var isInstalled: Bool { serving != nil }
  /// The policy that gets the resolver's reports.
  public var policy: PreparedPolicy? { (pending ?? serving)?.policy }
  /// Whether one of its policies opened the subchannel, and has not closed it.
  public func owns(_ id: SubchannelID) -> Bool { place(of: id) != nil }

  /// Makes `policy` the one that gets the resolver's reports: in place if the present one takes the
  /// config, else by a graceful switch. The parent sends `.resolved` after it.
  /// - Returns: whether ``makePicker()`` gives another picker now.
  public mutating func install(_ policy: PreparedPolicy, _ actions: inout BalancerActions) -> Bool {
    if serving?.policy == policy {
      drop(&pending, &actions)
      return false
    }
    if pending?.policy == policy { return false }
    if pending?.reconfigure(policy) == true { return false }
    if serving?.reconfigure(policy) == true {
      drop(&pending, &actions)
      return true
    }
    drop(&pending, &actions)
    guard serving == nil else {
      pending = PolicySlot(policy)
      return false
    }
    serving = PolicySlot(policy)
    return true
  }

  /// Passes an event on to the policies that it is meant for.
  /// - Returns: whether ``makePicker()`` gives another picker now.
  public mutating func handle(
    _ event: BalancerEvent, _ actions: inout BalancerActions
  ) -> Bool {
    switch event {
    case .resolved, .resolutionFailed:
      return send(event, to: pending == nil ? .serving : .pending, &actions)
    case .subchannel(let id, _, _):
      guard let place = place(of: id) else { return false }
      return send(event, to: place, &actions)
    case .completed(let outcomes):
      var published = false
      for place in [Place.serving, .pending] {
        let own = outcomes.filter { self.place(of: $0.subchannel) == place }
        if !own.isEmpty, send(.completed(own), to: place, &actions) { published = true }
      }
      return published
    case .exitIdle, .timer:
      let first = send(event, to: .serving, &actions)
      return send(event, to: .pending, &actions) || first
    }
  }

  /// The serving policy's picker.
  public mutating func makePicker() -> any Picker {
    serving?.makePicker() ?? ConstantPicker(.wait)
  }

  /// The serving policy's explanation, and the pending one's as its last child; nil before a policy
  /// was installed.
  public func explain(now: UInt64) -> PolicyExplanation? {
    guard var explanation = serving?.explain(now: now) else { return nil }
    if let pending {
      explanation.children.append(.init("takes over when it is ready", pending.explain(now: now)))
    }
    return explanation
  }

  /// Closes the subchannels of both policies and forgets them.
  public mutating func close(_ actions: inout BalancerActions) {
    drop(&pending, &actions)
    drop(&serving, &actions)
  }

  // MARK: The two policies

  private enum Place { case serving, pending }

  private func place(of id: SubchannelID) -> Place? {
    if serving?.open.contains(id) == true { return .serving }
    return pending?.open.contains(id) == true ? .pending : nil
  }

  private mutating func send(
    _ event: BalancerEvent, to place: Place, _ actions: inout BalancerActions
  ) -> Bool {
    var published = false
    switch place {
    case .serving: published = serving?.handle(event, &actions) ?? false
    case .pending: _ = pending?.handle(event, &actions)
    }
    return switchIfDue(&actions) || published
  }

  private mutating func switchIfDue(_ actions: inout BalancerActions) -> Bool {
    guard let new = pending, new.state != .connecting || serving?.state != .ready else {
      return false
    }
    pending = nil
    drop(&serving, &actions)
    serving = new
    return true
  }

  private func drop(_ slot: inout PolicySlot?, _ actions: inout BalancerActions) {
    slot?.close(&actions)
    slot = nil
  }
}
