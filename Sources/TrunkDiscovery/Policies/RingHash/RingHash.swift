// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import TrunkWire

/// `ring_hash_experimental` (gRFC A42, A61, A76): calls with the same header value go to the same
/// endpoint, and an endpoint that comes or goes moves only its own share of them.
///
/// ```
///   child is     on .ready   on .connecting    on .idle                     on .transientFailure
///   idle         ready       connecting        -                            failed, resolve again
///   connecting   ready       -                 idle                         failed, resolve again
///   ready        -           connecting        idle, resolve again          failed, resolve again
///   failed       ready       - (sticky, A62)   connect, stays failed        resolve again
/// ```
/// - Endpoints are connected when a call meets them; in CONNECTING and TRANSIENT_FAILURE one that is
///   chosen at random is connected, if none is connecting, so that the policy recovers without calls
///   (gRFC A42, A61, A117).
/// - `connect()` on an idle channel connects a random one as well, unless a call has connected one
///   within 10 ms (gRFC A117).
package struct RingHash: Balancer {
  package static var name: String { "ring_hash_experimental" }
  /// How long a call has to connect an endpoint before ``BalancerEvent/exitIdle`` does: a call in IDLE
  /// brings that event too.
  static let exitIdleDelay: UInt64 = 10_000_000

  typealias Phase = RingHashPicker.Phase
  typealias Counts = RingHashPicker.Counts

  private var config: Config
  private var children: [RingMember] = []
  private var position: [SubchannelID: Int] = [:]
  private var counts = Counts()
  private var ring = HashRing([], sizes: 1...1)
  private var resolved = false
  private var lastError = "nothing resolved yet"
  private var connectsAt: UInt64?

  package init(_ config: Config) { self.config = config }

  /// True: connections are kept, the ring is made anew.
  package mutating func reconfigure(_ config: Config) -> Bool {
    let isSame = config.sizes == self.config.sizes
    self.config = config
    if !isSame { makeRing() }
    return true
  }

  /// gRFC A42, "Aggregated Connectivity State".
  private var state: ConnectivityState {
    if counts.ready > 0 { return .ready }
    if counts.failed > 1 { return .transientFailure }
    if counts.connecting > 0 || !resolved { return .connecting }
    if counts.failed == 1, children.count > 1 { return .connecting }
    return counts.failed < children.count ? .idle : .transientFailure
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
    case .completed(let outcomes):
      for outcome in outcomes {
        if let i = position[SubchannelID(outcome.token)] { connect(i, &actions) }
      }
    case .exitIdle:
      guard state == .idle, connectsAt == nil else { return }
      let time = actions.now.saturatingAdd(RingHash.exitIdleDelay)
      connectsAt = time
      actions.wake(at: time)
    case .timer:
      guard let time = connectsAt, time <= actions.now else { return }
      connectsAt = nil
      if state == .idle { connectAny(&actions) }
    }
  }

  package func explain(now: UInt64) -> PolicyExplanation {
    let idle = children.count - counts.ready - counts.connecting - counts.failed
    return PolicyExplanation(
      RingHash.name,
      notes: [
        "a ring of \(ring.count) entries; of \(children.count) endpoints \(counts.ready) are READY, "
          + "\(counts.connecting) connecting, \(counts.failed) failed, \(idle) not used yet"
      ])
  }

  package mutating func makePicker() -> any Picker {
    guard resolved else { return ConstantPicker(.wait) }
    return RingHashPicker(
      ring: ring, ids: children.map(\.id), phases: children.map(\.phase), counts: counts,
      header: config.header, failure: RPCError(.unavailable, lastError))
  }

  // MARK: Endpoints

  private mutating func replace(_ resolution: Resolution, _ actions: inout BalancerActions) {
    let before = children
    var old: [Endpoint.Identity: RingMember] = [:]
    for child in children { old[child.endpoint.identity] = child }

    resolved = true
    children.removeAll(keepingCapacity: true)
    position.removeAll(keepingCapacity: true)
    var index: [Endpoint.Identity: Int] = [:]
    for endpoint in resolution.endpoints where !endpoint.addresses.isEmpty {
      let weight = UInt64(max(1, endpoint.weight))
      if let i = index[endpoint.identity] {
        children[i].weight += weight
        continue
      }
      var child =
        old.removeValue(forKey: endpoint.identity)
        ?? RingMember(id: actions.open(endpoint), endpoint: endpoint, weight: weight)
      if child.endpoint != endpoint { actions.update(child.id, endpoint) }
      child.endpoint = endpoint
      child.weight = weight
      index[endpoint.identity] = children.count
      position[child.id] = children.count
      children.append(child)
    }
    for gone in old.values.sorted(by: { $0.id.raw < $1.id.raw }) { actions.close(gone.id) }

    counts = children.reduce(into: Counts()) { $0.add($1.phase, 1) }
    if children.isEmpty {
      lastError = resolution.note ?? "the resolver reported no address"
      actions.resolveAgain()
    } else if children.elementsEqual(before, by: { $0.isPlaced(as: $1) }) {
      return
    }
    makeRing()
    actions.changed(state)
    recover(&actions)
  }

  private mutating func makeRing() {
    ring = HashRing(children.map { ($0.key, $0.weight) }, sizes: config.sizes)
  }

  // MARK: States

  private mutating func child(
    _ i: Int, to state: ConnectivityState, _ error: String?, _ actions: inout BalancerActions
  ) {
    let before = children[i].phase
    switch state {
    case .ready: set(i, .ready)
    case .connecting:
      // gRFC A105: the last connection ended while a further one was being made.
      if before == .ready { actions.resolveAgain() }
      if before != .failed { set(i, .connecting) }
    case .transientFailure, .shutdown:
      set(i, .failed)
      lastError = error ?? lastError
      actions.resolveAgain()  // gRFC A61: on entering TRANSIENT_FAILURE and after each pass
    case .idle:
      if before == .ready { actions.resolveAgain() }
      if before == .failed { actions.connect(children[i].id) } else { set(i, .idle) }
    }
    if children[i].phase != before || state == .transientFailure { actions.changed(self.state) }
    recover(&actions)
  }

  private mutating func set(_ i: Int, _ phase: Phase) {
    counts.add(children[i].phase, -1)
    children[i].phase = phase
    counts.add(phase, 1)
  }

  private mutating func connect(_ i: Int, _ actions: inout BalancerActions) {
    guard children[i].phase == .idle else { return }
    set(i, .connecting)
    actions.connect(children[i].id)
    actions.changed(state)
  }

  private mutating func recover(_ actions: inout BalancerActions) {
    guard counts.connecting == 0, resolved, state == .connecting || state == .transientFailure
    else { return }
    connectAny(&actions)
  }

  /// The first idle one from a random place on; none if there is none.
  private mutating func connectAny(_ actions: inout BalancerActions) {
    guard !children.isEmpty else { return }
    let start = Int(truncatingIfNeeded: actions.random.next() % UInt64(children.count))
    let isIdle: (RingMember) -> Bool = { $0.phase == .idle }
    let i = children[start...].firstIndex(where: isIdle) ?? children.firstIndex(where: isIdle)
    if let i { connect(i, &actions) }
  }
}
