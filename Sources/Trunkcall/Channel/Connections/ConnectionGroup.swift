// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import TrunkHTTP2
internal import TrunkSockets

/// The connections of one subchannel that may have several, and the calls that wait until one of them has
/// a stream (gRFC A105). Bound to the loop of these connections.
///
/// ```
///   call ──► oldest connection with a free stream
///     └─ none ──► queue ── a call ends, SETTINGS, another connection ──► oldest with a free stream
///                   └──── the last connection ended ──► picked again
/// ```
/// - Calls leave the queue in the order they came.
/// - While the queue is not empty the subchannel is asked for a further connection; it decides.
final class ConnectionGroup {
  /// A call that waits. Its observer has been told that the call began.
  private struct Waiting {
    let call: ClientCall
    let reference: ConnectionReference
    let token: UInt64?
  }

  private let loop: EventLoop
  /// Those that take calls, oldest first.
  private(set) var connections: [ClientConnection] = []
  private var queue: PendingCalls<Waiting>
  /// Tells the subchannel whether calls wait.
  private let report: @Sendable (Bool) -> Void
  private var isDrainDue = false

  init(_ loop: EventLoop, queueLimit: Int, report: @escaping @Sendable (Bool) -> Void) {
    self.loop = loop
    queue = PendingCalls(limit: queueLimit)
    self.report = report
  }

  var waitingCalls: Int { queue.count }

  func add(_ connection: ClientConnection) {
    guard connection.isTakingCalls, !connections.contains(where: { $0 === connection }) else {
      return
    }
    connections.append(connection)
    drain()
  }

  /// It takes no more calls.
  func remove(_ connection: ClientConnection) {
    guard let index = connections.firstIndex(where: { $0 === connection }) else { return }
    connections.remove(at: index)
    drainSoon()
  }

  func place(_ call: ClientCall, _ reference: ConnectionReference, _ token: UInt64?) {
    if queue.isEmpty, let connection = connections.first(where: \.hasFreeStream) {
      return call.begin(on: connection, reference, token)
    }
    // Without any, the connection that was picked says so.
    guard let oldest = connections.first else {
      return call.begin(on: reference.connection.value, reference, token)
    }
    guard call.outcome == nil, !call.settleIfDue() else { return }
    let waiting = Waiting(call: call, reference: reference.unobserved, token: token)
    guard let ticket = queue.add(waiting) else {
      return call.settle(
        .failed(
          RPCError(
            .resourceExhausted,
            "\(queue.limit) calls are waiting for a stream of \(oldest.peer) already"
          )))
    }
    call.wait(ticket, forStreamOf: oldest, reference)
    if queue.count == 1 { report(true) }
  }

  /// A call was settled while it waited.
  func remove(_ ticket: PendingTicket) {
    guard queue.remove(ticket) != nil, queue.isEmpty else { return }
    report(false)
  }

  /// A stream ended, or the server's limit changed: after the event under way, which may be one of
  /// nghttp2.
  func drainSoon() {
    guard !queue.isEmpty, !isDrainDue else { return }
    isDrainDue = true
    let bound = LoopBound(self, on: loop)
    loop.later {
      bound.value.isDrainDue = false
      bound.value.drain()
    }
  }

  private func drain() {
    guard !queue.isEmpty else { return }
    guard !connections.isEmpty else { return pickAgain() }
    while let connection = connections.first(where: \.hasFreeStream),
      let next = queue.takeFirst()
    {
      next.call.stopWaiting()
      next.call.begin(on: connection, next.reference, next.token)
    }
    if queue.isEmpty { report(false) }
  }

  /// The channel closes, and calls that wait go on: on a connection that ends when it has none, where they
  /// wait for its streams.
  func beginAll(on connection: ClientConnection) {
    for waiting in queue.takeAll() {
      waiting.call.stopWaiting()
      waiting.call.begin(on: connection, waiting.reference, waiting.token)
    }
  }

  /// No connection is left: the calls were not sent, so that the policy picks for them again.
  private func pickAgain() {
    for waiting in queue.takeAll() {
      waiting.call.stopWaiting()
      waiting.call.notBegun(
        on: waiting.reference.connection.value, waiting.reference, waiting.token)
    }
  }
}

extension ClientConnection {
  /// Whether calls may be placed on another connection (gRFC A105).
  var isScaled: Bool { group != nil || overflow != nil }

  /// Those of all connections to the server, told by the oldest.
  var callsWaitingForStream: Int {
    guard let group, group.connections.first === self else { return 0 }
    return group.waitingCalls
  }

  /// Below the server's MAX_CONCURRENT_STREAMS.
  var hasFreeStream: Bool {
    guard phase == .ready, let session else { return false }
    return session.openStreams < session.peerStreamLimit
  }
}
