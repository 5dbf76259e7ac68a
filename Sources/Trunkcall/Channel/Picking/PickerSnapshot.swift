// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import TrunkDiscovery
internal import TrunkSockets
internal import TrunkWire

/// A connection that takes calls, and its loop. A class, so that a pick hands on one reference.
final class ConnectionReference: Sendable {
  let connection: LoopBound<ClientConnection>
  /// Index into the channel's loops.
  let loopIndex: Int
  let subchannel: SubchannelID
  let observer: (any CallObserver)?
  /// Whether there is one: without a copy of it.
  let isObserved: Bool

  init(
    connection: LoopBound<ClientConnection>, loopIndex: Int, subchannel: SubchannelID,
    observer: (any CallObserver)?
  ) {
    self.connection = connection
    self.loopIndex = loopIndex
    self.subchannel = subchannel
    self.observer = observer
    isObserved = observer != nil
  }
}

/// A copy of what is needed to start a call: every loop has one, callers on other threads share one
/// behind a lock, and the control loop has the newest.
struct PickerSnapshot: Sendable {
  enum Answer {
    case go(ConnectionReference, token: UInt64?)
    /// The connection is not open yet or no more: the control loop has to pick.
    case noConnection(SubchannelID, token: UInt64?)
    case wait
    case connect(SubchannelID)
    case fail(RPCError)
    case drop(RPCError)
    /// The call is hedged: its attempts are picked.
    case hedge
  }

  private(set) var picker: any Picker
  private(set) var references: [UInt64: ConnectionReference] = [:]
  private(set) var config: ServiceConfig?
  private(set) var perLoopConnections = LoopConnections()
  private var random: XorShift

  init(seed: UInt64) {
    picker = ConstantPicker(.wait)
    random = XorShift(seed: seed)
  }

  /// What a publication changes. Without a picker the copy keeps its own, and its position in it.
  struct Update: Sendable {
    var picker: (any Picker)?
    var references: [UInt64: ConnectionReference]
    var config: ServiceConfig?
    /// Of the loop that the copy is for.
    var perLoopConnections = LoopConnections()
  }

  mutating func apply(_ update: Update) {
    if let picker = update.picker { self.picker = picker }
    references = update.references
    config = update.config
    perLoopConnections = update.perLoopConnections
    // A loop's own connections are used before the first ones, which may be on another loop.
    if !perLoopConnections.references.isEmpty {
      references.merge(perLoopConnections.references) { $1 }
    }
  }

  /// A call has to leave the loop of this copy.
  /// - Returns: whether the control loop is to be asked for a connection here.
  mutating func shouldRequestPerLoopConnection(of id: SubchannelID, now: UInt64) -> Bool {
    perLoopConnections.asks(for: id, now: now)
  }

  mutating func pick(_ call: ClientCall, now: UInt64) -> Answer {
    if let config, call.adopt(config) { return .hedge }
    let answer = picker.pick(
      PickContext(
        path: call.method.text, metadata: call.metadata, random: random.next(), nanoseconds: now))
    switch answer {
    case .use(let id, let token):
      guard let reference = references[id.raw] else { return .noConnection(id, token: token) }
      return .go(reference, token: token)
    case .wait: return .wait
    case .connect(let id): return .connect(id)
    case .fail(let error): return .fail(error)
    case .drop(let error): return .drop(error)
    }
  }
}

/// Marsaglia's xorshift64: a number per pick, without a system call.
struct XorShift: RandomNumberGenerator, Sendable {
  private var state: UInt64

  init(seed: UInt64) { state = seed == 0 ? 0x9e37_79b9_7f4a_7c15 : seed }

  mutating func next() -> UInt64 {
    state ^= state << 13
    state ^= state >> 7
    state ^= state << 17
    return state
  }
}

/// The copy of one loop.
final class LoopPickerSnapshot {
  var snapshot: PickerSnapshot
  init() { snapshot = PickerSnapshot(seed: UInt64.random(in: 1...UInt64.max)) }
}
