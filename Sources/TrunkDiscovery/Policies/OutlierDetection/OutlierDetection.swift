// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// `outlier_detection_experimental` (gRFC A50 with A61's rules): counts how the calls of each endpoint
/// end, and takes those that fail far more than others out of use for a while.
///
/// ```
///   subchannel is      child is shown, in use      child is shown, ejected
///   READY              READY                       TRANSIENT_FAILURE, with the reason
///   other              the same                    the same
/// ```
/// - An ejected endpoint keeps its connection, and one that is lost is made again by the child's own
///   rules (gRFC A61: ejection is a health state, not one of the connection).
/// - A subchannel is left alone if its policy wants no health states (pick_first on its own), or if
///   its endpoint is not one of the resolution.
/// - Every `interval` the ``OutlierLedger`` judges; a new config or resolution does not restart the
///   interval.
package struct OutlierDetection: Balancer {
  package static var name: String { "outlier_detection_experimental" }

  package static func parse(_ json: [UInt8]) throws(ServiceConfigError) -> OutlierDetectionConfig {
    try parse(json, policies: BalancerRegistry())
  }
  package static func parse(
    _ json: [UInt8], policies: BalancerRegistry
  ) throws(ServiceConfigError) -> OutlierDetectionConfig {
    try OutlierDetectionConfig(json, path: name, policies: policies)
  }

  private struct Subchannel: Sendable {
    /// Its number in the ledger.
    var endpoint: Int
    let counter: TallyCounter
    var state = ConnectivityState.idle
    /// Whether the child was shown TRANSIENT_FAILURE in place of READY.
    var isHidden = false
  }

  private var config: OutlierDetectionConfig
  private var child = ChildPolicy()
  private var ledger = OutlierLedger()
  private var subchannels: [SubchannelID: Subchannel] = [:]
  /// Of subchannels that were closed in this interval.
  private var tallies: [Int: CallTally] = [:]
  /// When the present interval began; nil while nothing is counted.
  private var intervalStart: UInt64?
  private var due = UInt64.max

  package init(_ config: OutlierDetectionConfig) { self.config = config }

  /// True: connections, counts and ejections are kept.
  package mutating func reconfigure(_ config: OutlierDetectionConfig) -> Bool {
    self.config = config
    return true
  }

  package mutating func makePicker() -> any Picker { child.makePicker() }

  /// The ejected endpoints, and until when they are at least, in nanoseconds on the clock of
  /// ``BalancerActions/now``.
  package var ejections: [Endpoint.Identity: UInt64] { ledger.ejections(config) }

  package func explain(now: UInt64) -> PolicyExplanation {
    let ejections = ejections
    let notes =
      config.counts
      ? ["\(ejections.count) of \(ledger.count) endpoints are ejected"]
      : ["no algorithm is set: no call is counted"]
    let subchannels = subchannels.compactMapValues { subchannel -> String? in
      guard let end = ledger.ejectionEnd(subchannel.endpoint, config) else { return nil }
      let tenths = (end > now ? end - now : 0) / 100_000_000
      return "\(ledger.reason(subchannel.endpoint) ?? "ejected"), "
        + "for another \(tenths / 10).\(tenths % 10) s"
    }
    return PolicyExplanation(
      OutlierDetection.name, notes: notes, subchannels: subchannels,
      children: child.explain(now: now).map { [.init("", $0)] } ?? [])
  }

  package mutating func handle(_ event: BalancerEvent, _ actions: inout BalancerActions) {
    var published = false
    switch event {
    case .resolved(let resolution):
      ledger.replace(resolution.endpoints)
      setTimer(&actions)
      let policy = config.child
      let isChanged = run(&actions) { $0.install(policy, &$1) }
      let isPublished = send(event, &actions)
      published = show(&actions) || isPublished || isChanged
    case .subchannel(let id, let state, _):
      published = subchannelChanged(id, state, event, &actions)
    case .timer:
      let isJudged = due <= actions.now && judge(&actions)
      published = send(event, &actions) || isJudged
    case .resolutionFailed, .completed, .exitIdle: published = send(event, &actions)
    }
    if published { actions.changed(child.state) }
  }
}

// MARK: - Judging

extension OutlierDetection {
  /// gRFC A50: a new config keeps the time at which the interval began.
  private mutating func setTimer(_ actions: inout BalancerActions) {
    guard config.counts else {
      guard intervalStart != nil else { return }
      intervalStart = nil
      due = .max
      ledger.reset()
      for subchannel in subchannels.values { subchannel.counter.restart(counts: false) }
      return
    }
    if intervalStart == nil {
      tallies = [:]
      for subchannel in subchannels.values { subchannel.counter.restart(counts: true) }
    }
    let start = intervalStart ?? actions.now
    let next = max(start + config.interval, actions.now)
    if intervalStart == nil || next != due { actions.wake(at: next) }
    intervalStart = start
    due = next
  }

  private mutating func judge(_ actions: inout BalancerActions) -> Bool {
    for subchannel in subchannels.values {
      tallies[subchannel.endpoint, default: CallTally()] += subchannel.counter.take()
    }
    ledger.judge(tallies, config, now: actions.now, random: &actions.random)
    tallies.removeAll(keepingCapacity: true)
    intervalStart = actions.now
    due = actions.now + config.interval
    actions.wake(at: due)
    return show(&actions)
  }

  /// Shows the child what has changed by ejections and their ends.
  private mutating func show(_ actions: inout BalancerActions) -> Bool {
    let changed = subchannels.filter { _, subchannel in
      subchannel.state == .ready
        && subchannel.isHidden != (ledger.reason(subchannel.endpoint) != nil)
    }
    var published = false
    for id in changed.keys.sorted(by: { $0.raw < $1.raw }) {
      // The child may have closed it at an event before.
      guard let subchannel = subchannels[id] else { continue }
      let reason = ledger.reason(subchannel.endpoint)
      subchannels[id]?.isHidden = reason != nil
      let event = BalancerEvent.subchannel(
        id, reason == nil ? .ready : .transientFailure, error: reason)
      if send(event, resolvesAgain: false, &actions) { published = true }
    }
    return published
  }
}

// MARK: - The child

extension OutlierDetection {
  private mutating func subchannelChanged(
    _ id: SubchannelID, _ state: ConnectivityState, _ event: BalancerEvent,
    _ actions: inout BalancerActions
  ) -> Bool {
    guard let subchannel = subchannels[id] else { return send(event, &actions) }
    subchannels[id]?.state = state
    let reason = state == .ready ? ledger.reason(subchannel.endpoint) : nil
    subchannels[id]?.isHidden = reason != nil
    guard let reason else { return send(event, &actions) }
    return send(
      .subchannel(id, .transientFailure, error: reason), resolvesAgain: false, &actions)
  }

  /// Passes an event to the child.
  private mutating func send(
    _ event: BalancerEvent, resolvesAgain: Bool = true, _ actions: inout BalancerActions
  ) -> Bool {
    run(resolvesAgain: resolvesAgain, &actions) { $0.handle(event, &$1) }
  }

  /// Runs the child, and passes its commands on.
  /// - Parameter resolvesAgain: false: an ejection is no reason to ask the resolver.
  private mutating func run(
    resolvesAgain: Bool = true, _ actions: inout BalancerActions,
    _ body: (inout ChildPolicy, inout BalancerActions) -> Bool
  ) -> Bool {
    var published = false
    for command in actions.collect({ published = body(&child, &$0) }) {
      switch command {
      case .open(let id, let endpoint, let options):
        guard options.showsHealth, let number = ledger.number(of: endpoint.identity) else { break }
        let counter = TallyCounter(counts: config.counts)
        subchannels[id] = Subchannel(endpoint: number, counter: counter)
        actions.append(.open(id, endpoint, options.adding(counter)))
        continue
      case .update(let id, let endpoint):
        settle(id)
        subchannels[id]?.endpoint =
          ledger.number(of: endpoint.identity) ?? OutlierLedger.none
      case .close(let id):
        settle(id)
        subchannels[id] = nil
      case .resolveAgain where !resolvesAgain: continue
      default: break
      }
      actions.append(command)
    }
    return published
  }

  /// Adds what a subchannel has counted to its endpoint's share.
  private mutating func settle(_ id: SubchannelID) {
    guard let subchannel = subchannels[id] else { return }
    tallies[subchannel.endpoint, default: CallTally()] += subchannel.counter.take()
  }
}
