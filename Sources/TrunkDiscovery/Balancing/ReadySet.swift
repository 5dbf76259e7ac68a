// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import TrunkWire

/// One subchannel per endpoint, all kept connected: the part that round_robin and every
/// ``PickPolicy`` share (gRFC A61's endpoint sharding, over subchannels that do happy eyeballs).
///
/// ```
///  child is     on .ready   on .connecting    on .idle                       on .transientFailure
///  connecting   ready       -                 connect                        failed, resolve again
///  ready        -           connecting, resolve  connecting, connect, resolve failed, resolve again
///  failed       ready       - (sticky, A62)   connect, stays failed          resolve again
/// ```
/// - An idle child is reconnected at once and counts as connecting (load-balancing.md).
/// - A failed child counts as failed until it is ready (gRFC A62).
/// - The set is READY if any child is, else CONNECTING if any child is, else TRANSIENT_FAILURE.
/// - Children are matched by ``Endpoint/identity``; a change of weight or attributes keeps them, and
///   their observers.
package struct ReadySet<Observer: CallObserver>: Sendable {
  /// A READY child.
  package struct Ready: Sendable {
    package var id: SubchannelID
    package var endpoint: Endpoint
    /// nil if the set makes none.
    package var observer: Observer?
  }
  private enum Phase: Sendable, Hashable { case connecting, ready, failed }
  private struct Child: Sendable {
    var id: SubchannelID
    var endpoint: Endpoint
    var observer: Observer?
    var phase: Phase = .connecting
  }

  private var makeObserver: (@Sendable () -> Observer)?
  /// ``SubchannelOptions/loadReportInterval`` of every child.
  private var loadReportInterval: Duration?
  private var children: [Child] = []
  private var position: [SubchannelID: Int] = [:]
  private var readyCount = 0
  private var connectingCount = 0
  /// The error of the last failed attempt, or the note of an empty or failed resolution.
  private var lastError = "nothing resolved yet"
  private var resolved = false

  /// - Parameter observer: makes the observer of a new child's calls.
  package init(observer: (@Sendable () -> Observer)?) { makeObserver = observer }

  /// How often the servers are asked for load reports out of band; connections are kept.
  package mutating func reportLoad(every interval: Duration?, _ actions: inout BalancerActions) {
    guard interval != loadReportInterval else { return }
    loadReportInterval = interval
    for child in children { actions.reportLoad(child.id, every: interval) }
  }

  /// Changes the present observers, and how further ones are made.
  package mutating func changeObservers(
    _ make: @escaping @Sendable () -> Observer, _ change: (Observer) -> Void
  ) {
    makeObserver = make
    for child in children { if let observer = child.observer { change(observer) } }
  }

  /// The observer of a child's calls.
  package func observer(of id: SubchannelID) -> Observer? {
    position[id].flatMap { children[$0].observer }
  }

  /// The READY children.
  package var ready: [Ready] {
    children.filter { $0.phase == .ready }
      .map { Ready(id: $0.id, endpoint: $0.endpoint, observer: $0.observer) }
  }

  package var state: ConnectivityState {
    if readyCount > 0 { return .ready }
    if connectingCount > 0 || !resolved { return .connecting }
    return .transientFailure
  }

  package mutating func handle(_ event: BalancerEvent, _ actions: inout BalancerActions) {
    switch event {
    case .resolved(let resolution): replace(resolution, &actions)
    case .resolutionFailed(let note):
      guard children.isEmpty else { return }
      resolved = true
      lastError = note
      actions.changed(state)
    case .subchannel(let id, let state, let error):
      guard let i = position[id] else { return }  // closed before
      child(i, to: state, error, &actions)
    case .completed, .exitIdle, .timer: break  // children are never left idle
    }
  }

  /// The picker for the present state; `make` gets the READY subchannels, at least one.
  package func picker(_ make: ([Ready]) -> any Picker) -> any Picker {
    switch state {
    case .ready:
      return make(ready)
    case .transientFailure:
      return ConstantPicker(.fail(RPCError(.unavailable, lastError)))
    default: return ConstantPicker(.wait)
    }
  }

  private mutating func replace(_ resolution: Resolution, _ actions: inout BalancerActions) {
    let before = children.map(\.endpoint)
    var old: [Endpoint.Identity: Child] = [:]
    for child in children { old[child.endpoint.identity] = child }

    resolved = true
    children.removeAll(keepingCapacity: true)
    position.removeAll(keepingCapacity: true)
    var seen: Set<Endpoint.Identity> = []
    for endpoint in resolution.endpoints where !endpoint.addresses.isEmpty {
      guard seen.insert(endpoint.identity).inserted else { continue }
      var child: Child
      if let kept = old.removeValue(forKey: endpoint.identity) {
        child = kept
        if child.endpoint != endpoint { actions.update(child.id, endpoint) }
        child.endpoint = endpoint
      } else {
        let observer = makeObserver?()
        let id = actions.open(endpoint, options(observer))
        child = Child(id: id, endpoint: endpoint, observer: observer)
        actions.connect(child.id)
      }
      position[child.id] = children.count
      children.append(child)
    }
    for removed in old.values.sorted(by: { $0.id.raw < $1.id.raw }) { actions.close(removed.id) }

    readyCount = children.count { $0.phase == .ready }
    connectingCount = children.count { $0.phase == .connecting }
    if children.isEmpty {
      // gRFC A61: an empty list is a failure, and the resolver is asked again.
      lastError = resolution.note ?? "the resolver reported no address"
      actions.resolveAgain()
    } else if children.map(\.endpoint) == before {
      return  // nothing to publish: pickers keep their position
    }
    actions.changed(state)
  }

  private func options(_ observer: Observer?) -> SubchannelOptions {
    SubchannelOptions(observer: observer, loadReportInterval: loadReportInterval)
  }

  private mutating func child(
    _ i: Int, to state: ConnectivityState, _ error: String?, _ actions: inout BalancerActions
  ) {
    let before = (phase: children[i].phase, aggregate: self.state)
    switch state {
    case .ready: set(i, .ready)
    case .connecting:
      // gRFC A105: the last connection ended while a further one was being made.
      if before.phase == .ready { actions.resolveAgain() }
      if before.phase != .failed { set(i, .connecting) }
    case .transientFailure:
      set(i, .failed)
      lastError = error ?? lastError
      actions.resolveAgain()  // gRFC A61: on entering TRANSIENT_FAILURE and after each pass
    case .idle:
      if before.phase == .ready { actions.resolveAgain() }
      if before.phase != .failed { set(i, .connecting) }
      actions.connect(children[i].id)
    case .shutdown: set(i, .failed)
    }
    let after = self.state
    let readyChanged = (before.phase == .ready) != (children[i].phase == .ready)
    if readyChanged || after != before.aggregate
      || (after == .transientFailure && state == .transientFailure)
    {
      actions.changed(after)
    }
  }

  private mutating func set(_ i: Int, _ phase: Phase) {
    if children[i].phase == .ready { readyCount -= 1 }
    if children[i].phase == .connecting { connectingCount -= 1 }
    children[i].phase = phase
    if phase == .ready { readyCount += 1 }
    if phase == .connecting { connectingCount += 1 }
  }
}
