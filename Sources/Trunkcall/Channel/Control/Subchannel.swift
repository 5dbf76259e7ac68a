// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import TrunkDiscovery
internal import TrunkSockets
internal import TrunkWire

/// Names a connection within its subchannel.
enum ConnectionName: Hashable, Sendable {
  /// One of ``SubchannelCore``'s attempts; the first that is ready takes calls.
  case attempt(UInt32)
  /// A further one on another loop.
  case perLoop(UInt32)
}

/// One subchannel on the control loop: runs a ``SubchannelCore`` and its ``PerLoopConnections``,
/// which decide, and owns the connections, which are bound to loops of their own.
final class Subchannel {
  let id: SubchannelID
  let options: SubchannelOptions
  private(set) var core: SubchannelCore
  let loopIndex: Int
  private let defaultAuthority: String
  /// Set by the application: it is used before the endpoint's server name.
  private let authorityOverride: String?
  private let connectTimeout: Duration?
  unowned let controller: ChannelController
  private(set) var connections: [ConnectionName: LoopBound<ClientConnection>] = [:]
  /// Of attempts.
  private var addresses: [UInt32: Address] = [:]
  /// Of attempts under way.
  private var progress: [UInt32: ConnectProgress] = [:]
  private var timer: LoopTimer?
  private var random = SystemRandom()
  private var perLoopConnections: PerLoopConnections
  /// The connection that takes calls; of several the oldest.
  private(set) var reference: ConnectionReference?
  /// Its name among the attempts.
  private(set) var readyAttempt: UInt32?
  /// Its address; the further ones connect to it too.
  private var readyAddress: Address?
  /// nil unless there may be, or might have been, several (gRFC A105).
  var group: LoopBound<ConnectionGroup>?
  var maximumConnections = 1
  /// nil unless a policy wants load reports out of band.
  private(set) var reports: LoadReportStream?
  /// nil unless the service config wants health checks, and the policy their result.
  private(set) var health: HealthCheckStream?
  /// Of connections that are closed.
  private(set) var pastCalls = CallCounts()
  private var stateShown = ConnectivityState.idle
  private(set) var stateSince = Clock.now()

  init(
    _ id: SubchannelID, _ endpoint: Endpoint, _ options: SubchannelOptions, loopIndex: Int,
    parts: ChannelParts, controller: ChannelController
  ) {
    self.id = id
    self.options = options
    self.loopIndex = loopIndex
    self.controller = controller
    defaultAuthority = parts.authority
    authorityOverride = parts.options.authority
    connectTimeout = parts.options.connectTimeout
    core = SubchannelCore(endpoint, backoff: parts.options.backoff.value)
    perLoopConnections = PerLoopConnections(backoff: parts.options.backoff.value)
    reports = options.loadReportInterval.flatMap {
      LoadReportStream(controller, id, options.observer, every: $0)
    }
  }

  /// The service config has another `healthCheckConfig`; nil: none. A connection that is READY stays
  /// so until its server has answered.
  func checkHealth(of service: String?) {
    let service = options.showsHealth ? service : nil
    guard service != health?.service else { return }
    let wasChecked = health != nil
    health?.disconnected()
    health = service.map { HealthCheckStream(controller, id, service: $0) }
    guard let reference else { return }
    if let health { return health.connected(reference) }
    if wasChecked { controller.post(.core(.subchannel(id, .ready, error: nil))) }
  }

  /// For the diagnostics of a failed call.
  var failedAddresses: [Diagnostics.FailedAddress] {
    core.failures.map { Diagnostics.FailedAddress($0, nextAttempt: core.nextAttempt) }
  }

  /// As ``failedAddresses``.
  var attempts: [Diagnostics.Attempt] { progress.values.map(\.attempt) }

  func handle(_ event: SubchannelEvent, now: UInt64) {
    switch event {
    case .failed(let attempt, _): progress[attempt] = nil
    case .ready(let attempt):
      progress[attempt] = nil
      // A further connection of a READY subchannel has joined when the core says so.
      guard core.state == .connecting, let connection = connections[.attempt(attempt)] else {
        break
      }
      add(connection)
      refer(to: connection, attempt)
      handle(perLoop: .opened, now: now)
    case .resetBackoff: handle(perLoop: .resetBackoff, now: now)
    default: break
    }
    for action in core.handle(event, now: now, random: &random) { perform(action, now) }
    if core.state == .shutdown {
      timer?.cancel()
      timer = nil
    }
  }

  /// That connection takes the calls.
  func refer(to connection: LoopBound<ClientConnection>, _ attempt: UInt32) {
    let reference = ConnectionReference(
      connection: connection, loopIndex: loopIndex, subchannel: id, observer: options.observer)
    controller.opened(reference)
    self.reference = reference
    readyAttempt = attempt
    readyAddress = addresses[attempt]
    reports?.connected(reference)
  }

  private func perform(_ action: SubchannelAction, _ now: UInt64) {
    switch action {
    case .attempt(let attempt, let address, let deadline):
      addresses[attempt] = address
      connect(
        .attempt(attempt), address, on: loopIndex,
        deadline: connectTimeout.map { now.adding($0) } ?? deadline)
    case .abandon(let attempt):
      forget(.attempt(attempt))?.onLoop { $0.abandon("another address answered first") }
    case .joined(let attempt): connections[.attempt(attempt)].map(add)
    case .promoted(let attempt): promote(attempt)
    case .drain(let attempt):
      if attempt == readyAttempt { closed(now) }
      drain(.attempt(attempt))
    case .timer(let at): schedule(at)
    case .report(let state, let error):
      if controller.log.logsEnds {
        controller.log.subchannelChanged("\(core.endpoint)", "\(state)", error)
      }
      if state != stateShown {
        stateShown = state
        stateSince = now
      }
      if state != .ready { closed(now) }
      // What the server says of its health is shown instead.
      if state == .ready, let health, let reference { return health.connected(reference) }
      controller.post(.core(.subchannel(id, state, error: error)))
    }
  }

  /// No connection takes calls any more: the further ones are closed too.
  private func closed(_ now: UInt64) {
    controller.closed(id)
    reference = nil
    readyAttempt = nil
    reports?.disconnected()
    health?.disconnected()
    handle(perLoop: .closed, now: now)
    readyAddress = nil
  }

  /// A policy changed its ``SubchannelOptions/loadReportInterval``.
  func reportLoad(every interval: Duration?) {
    guard let interval else {
      reports?.disconnected()
      reports = nil
      return
    }
    if let reports { return reports.ask(every: interval) }
    reports = LoadReportStream(controller, id, options.observer, every: interval)
    if let reference { reports?.connected(reference) }
  }

  // MARK: Per-loop connections

  func handle(perLoop event: PerLoopConnectionEvent, now: UInt64) {
    for action in perLoopConnections.handle(event, now: now, random: &random) {
      perform(action, now)
    }
  }

  private func perform(_ action: PerLoopConnectionAction, _ now: UInt64) {
    switch action {
    case .connect(let perLoop, let loop):
      guard let readyAddress else { return }
      let timeout = connectTimeout ?? .nanoseconds(Int64(SubchannelCore.minimumConnectTimeout))
      connect(.perLoop(perLoop), readyAddress, on: loop, deadline: now.adding(timeout))
    case .drain(let perLoop): drain(.perLoop(perLoop))
    case .changed:
      controller.updateLoops(of: id) { [self] loop in
        switch perLoopConnections.availability(for: loop) {
        case .notBefore(let time): return (nil, time)
        case .connected(let perLoop):
          let reference = connections[.perLoop(perLoop)].map {
            ConnectionReference(
              connection: $0, loopIndex: loop, subchannel: id, observer: options.observer)
          }
          return (reference, .max)
        }
      }
    }
  }

  // MARK: Connections

  private func connect(
    _ name: ConnectionName, _ address: Address, on loopIndex: Int, deadline: UInt64
  ) {
    guard let context = controller.context else { return }
    // An empty server name counts as none.
    let named = core.endpoint.serverName.flatMap { $0.isEmpty ? nil : Authority.escaped($0) }
    let authority = authorityOverride ?? named ?? defaultAuthority
    let id = id
    // Posted, never called inside: a connection reports from within its session's callbacks. It
    // holds the context as long as it has something to report.
    let connection = ClientConnection(
      context.loops[loopIndex], loopIndex: loopIndex, to: address, authority: Array(authority.utf8),
      controller.connectionSettings
    ) { event in
      context.onControlLoopLater { $0.handle(event, from: name, of: id) }
    }
    if case .attempt(let attempt) = name {
      let isSecure = controller.connectionSettings.filter != nil
      let progress = ConnectProgress(address, isSecure: isSecure)
      connection.progress = progress
      self.progress[attempt] = progress
    }
    let bound = LoopBound(connection, on: context.loops[loopIndex])
    connections[name] = bound
    controller.connectionBegan(bound, id, name)
    join(bound, name)
    bound.onLoop { $0.begin(deadline: deadline) }
  }

  private func forget(_ name: ConnectionName) -> LoopBound<ClientConnection>? {
    if case .attempt(let attempt) = name {
      addresses[attempt] = nil
      progress[attempt] = nil
    }
    return connections.removeValue(forKey: name)
  }

  /// Calls that wait for a stream there go elsewhere, unless the channel closes: then they go on.
  private func drain(_ name: ConnectionName) {
    let returnsUnsent = controller.core.state != .shutdown
    forget(name)?.onLoop { $0.drain(returnsUnsent: returnsUnsent) }
  }

  /// The connection is closed.
  func connectionClosed(_ name: ConnectionName, _ counts: CallCounts) {
    _ = forget(name)
    pastCalls.add(counts)
  }

  private func schedule(_ at: UInt64) {
    let timer =
      timer
      ?? LoopTimer(on: controller.controlLoop) { [weak controller, id] in
        controller?.post(.subchannel(id, .timer))
      }
    timer.schedule(at: at)
    self.timer = timer
  }
}

extension LoopBound where Value == ClientConnection {
  func onLoop(_ body: @escaping @Sendable (ClientConnection) -> Void) {
    loop.run { body(value) }
  }
}
