// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

internal import TrunkHTTP2
internal import TrunkSockets

/// When the handlers of a connection's calls start.
///
/// ```
///   headers (and message) ──► starting ── room, nobody waits ──► running ──► ended: the next may start
///                                │                                  ▲
///                                ├── no room ──► waiting ───────────┘
///                                └── the queue is full ──► RESOURCE_EXHAUSTED
/// ```
/// There is room while fewer than `maxHandlersPerConnection` handlers run (those of cancelled calls
/// included: CVE-2023-44487) and the client reads its answers, that is, no more than
/// `maxUnsentBytes` wait to be sent to it. A handler that has not answered yet counts with what its
/// method's answers were lately, or a hundred that start at once would all get by.
extension ServerConnection {
  /// Handlers start after nghttp2 has returned, so that none runs inside its callbacks.
  func startAfterReceiving(_ call: ServerStream) { starting.append(call) }

  func startCalls() {
    guard !starting.isEmpty else { return }
    for call in starting where call.canStart {
      if call.runsOnPool {
        if admits(call) { call.startOnPool() }
      } else {
        context.start(call)
      }
    }
    // The room of a burst is not kept.
    starting.removeAll(keepingCapacity: starting.count <= 32)
    context.startHandlers()
  }

  /// Whether the call's handler may run now; counts it then. Else the call waits, or is shed. Asked
  /// right before the handler runs, when what the calls before it have answered is known.
  func admits(_ call: ServerStream) -> Bool {
    if call.handlerRuns { return true }
    guard call.canStart else { return false }
    if context.counters.handlersRunning >= context.handlerLimit {
      shed(call, "the server runs \(server.options.maxHandlers) calls already")
    } else if let rejectionReason {
      enqueue(call, rejectionReason)
    } else if !waiting.isEmpty {
      enqueue(call, "other calls wait")
    } else {
      count(call)
      return true
    }
    return false
  }

  private func enqueue(_ call: ServerStream, _ why: String) {
    let size = call.payloadSize
    // A client that did not know `maxConcurrentStreams` yet may have opened more: they wait as
    // well.
    let early = max(0, session.openStreams - server.options.maxConcurrentStreams)
    let limit = server.options.maxWaitingCalls + early
    guard waiting.count < limit, waiting.bytes + size <= server.options.maxWaitingBytes else {
      return shed(call, "\(why), and \(waiting.count) calls are waiting for that already")
    }
    context.counters.note(.callQueued)
    context.counters.waiting(1)
    waiting.append(call, bytes: size)
  }

  private func shed(_ call: ServerStream, _ why: String) {
    context.counters.note(.callShed)
    call.fail(RPCError(.resourceExhausted, why))
  }

  private func count(_ call: ServerStream) {
    handlers += 1
    context.counters.running(1)
    call.reserved = call.method?.replies.typical ?? 0
    reservedBytes += call.reserved
    call.handlerRuns = true
  }

  /// Why no handler can start now.
  private var rejectionReason: String? {
    if handlers >= server.options.handlerLimit {
      return "\(handlers) calls are running on this connection"
    }
    if unsentBytes + reservedBytes > server.options.maxUnsentBytes {
      return "\(unsentBytes) bytes wait to be read by this client"
    }
    return nil
  }

  /// A handler has ended. After the end of the connection this may run off the loop, which may have
  /// ended as well.
  func releaseHandlerSlot() {
    context.counters.running(-1)
    guard !isClosed else { return }
    handlers -= 1
    startWaitingCalls()
  }

  /// A waiting call has ended.
  func leftPendingCalls(_ call: ServerStream) {
    waiting.remove(call)
    context.counters.waiting(-1)
  }

  /// Room may have come. Not from within whoever made it: one handler would run inside the next.
  func startWaitingCalls() {
    guard !waiting.isEmpty, !startIsDue, rejectionReason == nil else { return }
    startIsDue = true
    let bound = LoopBound(self, on: loop)
    loop.later { bound.value.startWaiting() }
  }

  private func startWaiting() {
    startIsDue = false
    while !isClosed, rejectionReason == nil, let call = waiting.popFirst() {
      context.counters.waiting(-1)
      count(call)
      // One by one: what it answers may leave no room for the next.
      if call.runsOnPool {
        call.startOnPool()
      } else {
        context.start(call)
        context.startHandlers()
      }
    }
  }
}

/// What one method's answers are like on one loop: the largest of late. Touched on the loop only.
final class ReplySize {
  private(set) var typical = 0

  /// Large ones count at once, and fade.
  @inline(__always) func note(_ size: Int) { typical = max(size, typical - typical >> 3) }
}
