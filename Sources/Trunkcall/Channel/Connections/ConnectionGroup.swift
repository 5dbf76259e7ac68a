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
  /// A call that waits.
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

  /// It takes calls, unless it has ended by now.
  func add(_ connection: ClientConnection) {
    // Each connection that joins ends the subchannel's knowledge of calls that wait.
    defer { if !queue.isEmpty { report(true) } }
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
    guard call.outcome == nil, !call.settleIfDue() else {
      return call.notBegun(on: oldest, reference, token)
    }
    let waiting = Waiting(call: call, reference: reference, token: token)
    guard let ticket = queue.add(waiting) else {
      call.settle(
        .failed(
          RPCError(
            .resourceExhausted,
            "\(queue.limit) calls are waiting for a stream of \(oldest.peer) already"
          )))
      return call.notBegun(on: oldest, reference, token)
    }
    call.wait(ticket, forStreamOf: oldest)
    if queue.count == 1 { report(true) }
  }

  /// A call was settled while it waited.
  func remove(_ ticket: PendingTicket) {
    guard let waiting = queue.remove(ticket) else { return }
    if queue.isEmpty { report(false) }
    waiting.call.notSent(waiting.token, waiting.reference, on: waiting.reference.connection.value)
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

  /// A loop's own connection, which has handed calls over, has a stream again: the call that came first
  /// goes there.
  func lend(_ own: ConnectionReference) {
    guard let next = queue.takeFirst() else { return }
    next.call.stopWaiting()
    next.call.stopTimer()
    next.call.move(to: own, token: next.token, from: nil)
    if queue.isEmpty { return report(false) }
    // Behind that call. Streams may have ended there in the meantime.
    own.connection.loop.later {
      own.connection.value.hasHandedOver = true
      own.connection.value.takeBack()
    }
  }

  /// The channel closes, and calls that wait go on: on a connection that ends when it has none, where they
  /// wait for its streams.
  func beginAll(on connection: ClientConnection) {
    guard !queue.isEmpty else { return }
    for waiting in queue.takeAll() {
      waiting.call.stopWaiting()
      waiting.call.begin(on: connection, waiting.reference, waiting.token)
    }
    report(false)
  }

  /// No connection is left: the calls were not sent, so that the policy picks for them again.
  private func pickAgain() {
    for waiting in queue.takeAll() {
      waiting.call.stopWaiting()
      waiting.call.notBegun(
        on: waiting.reference.connection.value, waiting.reference, waiting.token)
    }
    report(false)
  }
}

extension ClientConnection {
  /// A stream has ended: a call that was handed over may have it.
  @inline(never)
  func takeBack() {
    guard let overflow, hasFreeStream else { return }
    hasHandedOver = false
    let own = ConnectionReference(
      connection: LoopBound(self, on: loop), loopIndex: loopIndex,
      subchannel: overflow.subchannel, observer: nil)
    overflow.connection.loop.later { overflow.connection.value.group?.lend(own) }
  }

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
