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
  case sibling(UInt32)
}

/// One subchannel on the home loop: runs a ``SubchannelCore`` and its ``Siblings``, which decide,
/// and owns the connections, which are bound to loops of their own.
final class Subchannel {
  let id: SubchannelID
  let load: LoadCounter?
  private(set) var core: SubchannelCore
  private let loopIndex: Int
  private let defaultAuthority: String
  /// Set by the application: it is used before the endpoint's server name.
  private let authorityOverride: String?
  private let connectTimeout: Duration?
  private unowned let control: ChannelControl
  private var connections: [ConnectionName: LoopBound<ClientConnection>] = [:]
  /// Of attempts.
  private var addresses: [UInt32: Address] = [:]
  /// Of attempts under way.
  private var progress: [UInt32: ConnectProgress] = [:]
  private var timer: LoopTimer?
  private var random = SystemRandom()
  private var siblings: Siblings
  /// The address of the connection that takes calls; the further ones connect to it too.
  private var readyAddress: Address?

  init(
    _ id: SubchannelID, _ endpoint: Endpoint, load: LoadCounter?, loopIndex: Int,
    parts: ChannelParts,
    control: ChannelControl
  ) {
    self.id = id
    self.load = load
    self.loopIndex = loopIndex
    self.control = control
    defaultAuthority = parts.authority
    authorityOverride = parts.options.authority
    connectTimeout = parts.options.connectTimeout
    core = SubchannelCore(endpoint, backoff: parts.options.backoff.value)
    siblings = Siblings(backoff: parts.options.backoff.value)
  }

  /// For the diagnostics of a failed call.
  var tries: [Story.Try] {
    core.failures.map { Story.Try($0, nextTry: core.nextTry) }
  }

  /// As ``tries``.
  var attempts: [Story.Attempt] { progress.values.map(\.attempt) }

  func handle(_ event: SubchannelEvent, now: UInt64) {
    switch event {
    case .failed(let attempt, _): progress[attempt] = nil
    case .ready(let attempt):
      progress[attempt] = nil
      guard let connection = connections[.attempt(attempt)] else { break }
      control.opened(
        Route(connection: connection, loopIndex: loopIndex, subchannel: id, load: load))
      readyAddress = addresses[attempt]
      handle(sibling: .opened, now: now)
    case .resetBackoff: handle(sibling: .resetBackoff, now: now)
    default: break
    }
    for action in core.handle(event, now: now, random: &random) { perform(action, now) }
    if core.state == .shutdown {
      timer?.cancel()
      timer = nil
    }
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
    case .drain(let attempt):
      closed(now)
      forget(.attempt(attempt))?.onLoop { $0.drain() }
    case .timer(let at): schedule(at)
    case .report(let state, let error):
      if control.log.logsEnds {
        control.log.subchannelChanged("\(core.endpoint)", "\(state)", error)
      }
      if state != .ready { closed(now) }
      control.post(.core(.subchannel(id, state, error: error)))
    }
  }

  /// No connection takes calls any more: the further ones are closed too.
  private func closed(_ now: UInt64) {
    control.closed(id)
    handle(sibling: .closed, now: now)
    readyAddress = nil
  }

  // MARK: Siblings

  func handle(sibling event: SiblingEvent, now: UInt64) {
    for action in siblings.handle(event, now: now, random: &random) { perform(action, now) }
  }

  private func perform(_ action: SiblingAction, _ now: UInt64) {
    switch action {
    case .connect(let sibling, let loop):
      guard let readyAddress else { return }
      let timeout = connectTimeout ?? .nanoseconds(Int64(SubchannelCore.minimumConnectTimeout))
      connect(.sibling(sibling), readyAddress, on: loop, deadline: now.adding(timeout))
    case .drain(let sibling): forget(.sibling(sibling))?.onLoop { $0.drain() }
    case .changed:
      control.tellLoops(of: id) { [self] loop in
        switch siblings.news(for: loop) {
        case .notBefore(let time): return (nil, time)
        case .connected(let sibling):
          let route = connections[.sibling(sibling)].map {
            Route(connection: $0, loopIndex: loop, subchannel: id, load: load)
          }
          return (route, .max)
        }
      }
    }
  }

  // MARK: Connections

  private func connect(
    _ name: ConnectionName, _ address: Address, on loopIndex: Int, deadline: UInt64
  ) {
    guard let hub = control.hub else { return }
    // An empty server name counts as none.
    let named = core.endpoint.serverName.flatMap { $0.isEmpty ? nil : Authority.escaped($0) }
    let authority = authorityOverride ?? named ?? defaultAuthority
    let id = id
    // Posted, never called inside: a connection reports from within its session's callbacks. It
    // holds the hub as long as it has something to report.
    let connection = ClientConnection(
      hub.loops[loopIndex], loopIndex: loopIndex, to: address, authority: Array(authority.utf8),
      control.connectionSettings
    ) { event in
      hub.onHomeLater { $0.heard(event, from: name, of: id) }
    }
    if case .attempt(let attempt) = name {
      let isSecure = control.connectionSettings.filter != nil
      let progress = ConnectProgress(address, isSecure: isSecure)
      connection.progress = progress
      self.progress[attempt] = progress
    }
    let bound = LoopBound(connection, on: hub.loops[loopIndex])
    connections[name] = bound
    control.connectionBegan(bound, id, name)
    bound.onLoop { $0.begin(deadline: deadline) }
  }

  private func forget(_ name: ConnectionName) -> LoopBound<ClientConnection>? {
    if case .attempt(let attempt) = name {
      addresses[attempt] = nil
      progress[attempt] = nil
    }
    return connections.removeValue(forKey: name)
  }

  /// The connection is closed.
  func gone(_ name: ConnectionName) { _ = forget(name) }

  private func schedule(_ at: UInt64) {
    let timer =
      timer
      ?? LoopTimer(on: control.home) { [weak control, id] in
        control?.post(.subchannel(id, .timer))
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
