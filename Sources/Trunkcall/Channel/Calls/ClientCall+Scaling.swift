// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import TrunkDiscovery
internal import TrunkSockets
internal import TrunkWire

/// A call to a server that may have several connections, of which it takes the oldest with a free stream,
/// or waits for one (gRFC A105).
extension ClientCall {
  @inline(never)
  func arrive(
    atOneOfMany connection: ClientConnection, _ reference: ConnectionReference, _ token: UInt64?
  ) {
    if let group = connection.group { return group.place(self, reference, token) }
    // The own connection of a loop: the calls that it has no stream for go to the others.
    if let overflow = connection.overflow, connection.isTakingCalls, !connection.hasFreeStream {
      connection.hasHandedOver = true
      return move(to: overflow, token: token, from: connection.loopIndex)
    }
    begin(on: connection, reference, token)
  }

  func wait(_ ticket: PendingTicket, forStreamOf connection: ClientConnection) {
    self.ticket = ticket
    self.connection = connection
    attemptBegan = connection.loop.now
    watchDeadline(on: connection.loop)
  }

  /// It is the first in the queue, or no connection is left.
  func stopWaiting() {
    ticket = nil
    connection = nil
  }

  /// Takes a call out that waits for a pick or a stream.
  func leaveQueue() {
    guard let ticket else { return }
    self.ticket = nil
    guard let connection else { return context.controller.value.removePending(ticket) }
    self.connection = nil
    connection.group?.remove(ticket)
    report(connection)
  }

  func expired(waitingAt connection: ClientConnection) -> RPCError {
    let connections = connection.group?.connections ?? []
    let which =
      connections.count == 1 ? "the connection" : "each of \(connections.count) connections"
    var error = RPCError(.deadlineExceeded, "the deadline has passed")
    error.diagnostics =
      "waited for a stream: \(which) to \(connection.peer) has as many calls as the server allows"
    return error
  }
}
