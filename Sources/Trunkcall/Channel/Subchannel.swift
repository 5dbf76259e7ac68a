// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import TrunkDiscovery
internal import TrunkSockets
internal import TrunkWire

/// One subchannel on the home loop: runs a ``SubchannelCore``, which decides, and the connections,
/// which live on a loop of their own.
final class Subchannel {
  let id: SubchannelID
  let load: LoadCounter?
  private(set) var core: SubchannelCore
  private let loopIndex: Int
  private let defaultAuthority: String
  /// Set by the application: it goes before the endpoint's server name.
  private let authorityOverride: String?
  private let connectTimeout: Duration?
  private unowned let control: ChannelControl
  private var connections: [UInt32: LoopBound<ClientConnection>] = [:]
  private var timer: LoopTimer?
  private var random = SystemRandomNumberGenerator()

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
  }

  /// For the story of a failed call.
  var tries: [Story.Try] {
    core.failures.map { Story.Try($0, nextTry: core.nextTry) }
  }

  func handle(_ event: SubchannelEvent, now: UInt64) {
    if case .ready(let attempt) = event, let connection = connections[attempt] {
      control.opened(
        Route(connection: connection, loopIndex: loopIndex, subchannel: id, load: load))
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
      connect(attempt, address, connectTimeout.map { now.adding($0) } ?? deadline)
    case .abandon(let attempt):
      forget(attempt)?.onLoop { $0.abandon("another address answered first") }
    case .drain(let attempt):
      control.closed(id)
      forget(attempt)?.onLoop { $0.drain() }
    case .timer(let at): schedule(at)
    case .report(let state, let error):
      if state != .ready { control.closed(id) }
      control.post(.core(.subchannel(id, state, error: error)))
    }
  }

  private func connect(_ attempt: UInt32, _ address: Address, _ deadline: UInt64) {
    guard let hub = control.hub else { return }
    let authority = authorityOverride ?? core.endpoint.serverName ?? defaultAuthority
    let id = id
    // Later, never inside: a connection speaks from the middle of its session's callbacks. It keeps
    // the hub alive as long as it has something to say.
    let connection = ClientConnection(
      hub.loops[loopIndex], loopIndex: loopIndex, to: address, authority: Array(authority.utf8),
      control.connectionSettings
    ) { event in
      hub.onHomeLater { $0.heard(event, from: attempt, of: id) }
    }
    let bound = LoopBound(connection, on: hub.loops[loopIndex])
    connections[attempt] = bound
    control.connectionBegan(bound, id, attempt)
    bound.onLoop { $0.begin(deadline: deadline) }
  }

  private func forget(_ attempt: UInt32) -> LoopBound<ClientConnection>? {
    connections.removeValue(forKey: attempt)
  }

  /// The connection tells the end of its part in this subchannel; its calls may go on.
  func gone(_ attempt: UInt32) { connections[attempt] = nil }

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
