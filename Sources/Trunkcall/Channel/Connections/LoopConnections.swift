// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import TrunkDiscovery

/// One loop's copy of which connections are its own, for all subchannels.
struct LoopConnections: Sendable {
  /// Whether the loop may ask for more.
  fileprivate(set) var isOffered = false
  private(set) var references: [UInt64: ConnectionReference] = [:]
  /// The time from which it may ask, where that is not at once.
  private var notBefore: [UInt64: UInt64] = [:]

  fileprivate mutating func set(
    _ reference: ConnectionReference?, notBefore time: UInt64, for id: SubchannelID
  ) {
    references[id.raw] = reference
    notBefore[id.raw] = time == 0 ? nil : time
  }

  /// Whether to ask for a connection to that subchannel now: once, until the next publication.
  mutating func asks(for id: SubchannelID, now: UInt64) -> Bool {
    guard isOffered, notBefore[id.raw, default: 0] <= now else { return false }
    notBefore[id.raw] = .max
    return true
  }
}

/// What the loops of a channel get with the next publication. Control loop only.
struct PerLoopConnectionRegistry {
  /// Endpoints times loops up to which an endpoint may have a connection on each loop.
  static let limit = 64

  private(set) var loops: [LoopConnections]
  private let isWanted: Bool
  private(set) var isOffered = false

  init(loops: Int, _ option: ConnectionsPerEndpoint) {
    self.loops = Array(repeating: LoopConnections(), count: loops)
    isWanted = option == .automatic && loops > 1
  }

  /// Sets the number of endpoints. Existing connections stay.
  /// - Returns: whether that changes what the loops get.
  mutating func count(_ endpoints: Int) -> Bool {
    let offers = isWanted && endpoints * loops.count <= PerLoopConnectionRegistry.limit
    guard offers != isOffered else { return false }
    isOffered = offers
    for loop in loops.indices { loops[loop].isOffered = offers }
    return true
  }

  /// Calls `availability` for each loop's entry of a subchannel: a connection of its own, or the
  /// time from which it may ask for one.
  mutating func update(
    of id: SubchannelID, _ availability: (Int) -> (ConnectionReference?, notBefore: UInt64)
  ) {
    for loop in loops.indices {
      let (reference, time) = availability(loop)
      loops[loop].set(reference, notBefore: time, for: id)
    }
  }
}
