// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import Logging
internal import Synchronization
internal import TrunkSockets

/// A connection's slots among the server's connections and handshakes, until it takes them over.
struct ConnectionPlace: Sendable {
  let connection: SlotTransfer
  let handshake: SlotTransfer
}

/// Whether a server has room for a connection. Without room nothing is accepted: the kernel's
/// backlog holds clients until a connection or a handshake has ended, or `acceptTimeout` is over.
final class ServerAdmission: Sendable {
  private let server: ServerCore
  private let counters: ServerCounters
  private let lastLog = Atomic<UInt64>(0)
  private static let logInterval: UInt64 = 10_000_000_000

  init(_ server: ServerCore, _ counters: ServerCounters) {
    self.server = server
    self.counters = counters
  }

  /// - Parameter whenRoom: called once, from any thread, when there may be room again, if there is
  ///   none now.
  func next(whenRoom: @escaping @Sendable () -> Void) -> ConnectionPlace? {
    guard let connection = server.connections.take() else {
      logHeld("maxConnections", server.connections.limit)
      server.connections.whenRoom(whenRoom)
      return nil
    }
    guard let handshake = server.handshakes.take() else {
      logHeld("maxHandshakes", server.handshakes.limit)
      server.handshakes.whenRoom(whenRoom)
      return nil
    }
    return ConnectionPlace(
      connection: SlotTransfer(connection), handshake: SlotTransfer(handshake))
  }

  /// A client was closed after `acceptTimeout`.
  func refused() {
    counters.note(
      server.connections.taken >= server.connections.limit ? .connectionRefused : .handshakeRefused)
  }

  /// Counted each time; logged once in ten seconds.
  private func logHeld(_ option: String, _ limit: Int) {
    counters.note(.acceptHeld)
    let now = Clock.now()
    let last = lastLog.load(ordering: .relaxed)
    guard last == 0 || now &- last >= ServerAdmission.logInterval,
      lastLog.compareExchange(expected: last, desired: now, ordering: .relaxed).exchanged
    else { return }
    server.logger.notice(
      "a limit is reached: further clients wait to be accepted",
      metadata: ["option": "\(option)", "limit": "\(limit)"])
  }
}
