// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import TrunkDiscovery
internal import TrunkSockets
internal import TrunkWire

/// Further connections when streams run out (gRFC A105): ``SubchannelCore`` decides about them, a
/// ``ConnectionGroup`` on their loop places the calls. A subchannel that never may have more than one
/// has no group, and its calls pay nothing.
extension Subchannel {
  func configure(_ config: ServiceConfig) {
    checkHealth(of: controller.healthCheckService)
    let cap = max(1, controller.parts.options.maxConnectionsPerSubchannel)
    let maximum = min(config.maxConnectionsPerSubchannel ?? 1, cap)
    guard maximum != maximumConnections else { return }
    maximumConnections = maximum
    if maximum > 1, group == nil { makeGroup() }
    controller.post(.subchannel(id, .maximumConnections(maximum)))
  }

  private func makeGroup() {
    guard let context = controller.context else { return }
    let id = id
    let loop = context.loops[loopIndex]
    let group = ConnectionGroup(
      loop, queueLimit: max(0, controller.parts.options.maxQueuedCalls)
    ) { isWanted in
      context.onControlLoopLater { $0.post(.subchannel(id, .streamsWanted(isWanted))) }
    }
    let bound = LoopBound(group, on: loop)
    self.group = bound
    for (name, connection) in connections {
      join(connection, name)
      if name == readyAttempt.map({ .attempt($0) }) { add(connection) }
    }
  }

  /// A connection that is being made, or was made before there was a group.
  func join(_ connection: LoopBound<ClientConnection>, _ name: ConnectionName) {
    guard let group else { return }
    switch name {
    case .attempt: connection.onLoop { $0.group = group.value }
    case .perLoop:
      guard let reference else { return }
      connection.onLoop { $0.overflow = reference }
    }
  }

  /// A connection takes calls.
  func add(_ connection: LoopBound<ClientConnection>) {
    guard let group else { return }
    connection.onLoop { group.value.add($0) }
  }

  /// The oldest connection ended, and that one takes its place: the streams of the channel's own go to
  /// it.
  func promote(_ attempt: UInt32) {
    guard let connection = connections[.attempt(attempt)] else { return }
    // Streams on the former one would keep it open, and tell of a server that takes no more calls.
    reports?.disconnected()
    health?.disconnected()
    refer(to: connection, attempt)
    if let reference { health?.connected(reference) }
  }
}
