// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import DequeModule
internal import TrunkHTTP2
internal import TrunkSockets

/// Admits, queues and starts the calls of one loop. From the bytes of a request to its handler:
///
/// ```
///   ServerConnection.received ─► nghttp2 ─► ServerStream.ended ─► add ─► due (by method)
///                       └──────► run ─► HandlerTaskPool.start ─► next ─► admits ─► handler
///
///   due ── room, no call waits ─► running ──► handlerEnded: the next may start
///    ├── no room ──► waiting ────────┘
///    └── the queue is full ──► RESOURCE_EXHAUSTED
/// ```
/// There is room while fewer than `maxHandlersPerConnection` handlers run (those of cancelled calls
/// included: CVE-2023-44487) and the client reads its responses, that is, no more than
/// `maxUnsentBytes` wait to be sent to it. A handler that has not responded yet counts with
/// the size of its method's recent responses (``ReplySize``): otherwise a hundred that start at once
/// would all be admitted.
///
/// Loop-bound.
final class CallScheduler {
  /// Handlers that may run at once on this loop: its share of `maxHandlers`.
  let handlerLimit: Int
  private let options: ServerOptions
  private let counters: ServerCounters
  /// The task pools of the methods that have calls to start.
  @exclusivity(unchecked) private var due: [HandlerTaskPool] = []

  init(_ options: ServerOptions, _ counters: ServerCounters, loops: Int) {
    self.options = options
    self.counters = counters
    handlerLimit = max(1, (options.maxHandlers + loops - 1) / max(1, loops))
  }

  // MARK: Starting

  /// The request of a call has arrived (of a stream: its headers). Its handler starts with the next
  /// ``run()``: a handler must not run inside nghttp2's callbacks.
  func add(_ call: ServerStream) {
    call.phase = .running
    guard let pool = call.method?.taskPool else { return }
    pool.due.append(call)
    if pool.due.count == 1 { due.append(pool) }
  }

  /// Starts the handlers that are due. Must not be called inside a handler.
  func run() {
    while let pool = due.popLast() { pool.start() }
  }

  /// Checked before ``run()``: most received bytes make no call due.
  @inline(__always) var hasDue: Bool { !due.isEmpty }

  /// Whether the call's handler may run now; counts it then. Otherwise the call waits or is
  /// rejected. Called right before the handler runs, when the responses of the calls before it are
  /// known.
  func admits(_ call: ServerStream) -> Bool {
    // Counted by ``runWaiting(_:)``.
    if call.handlerRuns { return true }
    guard call.canStart else { return false }
    let connection = call.connection
    if counters.handlersRunning >= handlerLimit {
      reject(call, "the server runs \(options.maxHandlers) calls already")
    } else if let reason = rejectionReason(connection) {
      enqueue(call, reason)
    } else if !connection.calls.waiting.isEmpty {
      enqueue(call, "other calls wait")
    } else {
      count(call, connection)
      return true
    }
    return false
  }

  /// Counts the handler as running, with the response that is expected of it.
  private func count(_ call: ServerStream, _ connection: ServerConnection) {
    connection.calls.handlers += 1
    counters.running(1)
    call.reserved = call.method?.replies.typical ?? 0
    connection.calls.reservedBytes += call.reserved
    call.handlerRuns = true
  }

  /// Why no handler of this connection can start now; nil if one can.
  private func rejectionReason(_ connection: ServerConnection) -> String? {
    // Field by field: a copy would hold the queue's storage, which all loops share while it is empty.
    let handlers = connection.calls.handlers
    if handlers >= options.handlerLimit {
      return "\(handlers) calls are running on this connection"
    }
    if connection.unsentBytes + connection.calls.reservedBytes > options.maxUnsentBytes {
      return "\(connection.unsentBytes) bytes wait to be read by this client"
    }
    return nil
  }

  // MARK: Waiting

  private func enqueue(_ call: ServerStream, _ why: String) {
    let size = call.payloadSize
    let connection = call.connection
    // Before it had read the server's SETTINGS a client may have opened more streams than
    // `maxConcurrentStreams` (decision 26): they wait as well.
    let early = max(0, connection.session.openStreams - options.maxConcurrentStreams)
    let limit = options.maxWaitingCalls + early
    let (waiting, bytes) = (connection.calls.waiting.count, connection.calls.waiting.bytes)
    guard waiting < limit, bytes + size <= options.maxWaitingBytes else {
      return reject(call, "\(why), and \(waiting) calls are waiting for that already")
    }
    counters.note(.callQueued)
    counters.waiting(1)
    connection.calls.waiting.append(call, bytes: size)
  }

  private func reject(_ call: ServerStream, _ why: String) {
    counters.note(.callShed)
    call.fail(RPCError(.resourceExhausted, why))
  }

  /// A waiting call has ended.
  func removeWaiting(_ call: ServerStream) {
    call.connection.calls.waiting.remove(call)
    counters.waiting(-1)
  }

  /// There may be room again. The handlers start in a later round of the loop: the caller may be the
  /// end of a handler, and one would run inside the other.
  func startWaiting(_ connection: ServerConnection) {
    guard !connection.calls.waiting.isEmpty, !connection.calls.startIsDue,
      rejectionReason(connection) == nil
    else { return }
    connection.calls.startIsDue = true
    let bound = LoopBound(connection, on: connection.loop)
    connection.loop.later { bound.value.context.scheduler.runWaiting(bound.value) }
  }

  private func runWaiting(_ connection: ServerConnection) {
    connection.calls.startIsDue = false
    while !connection.isClosed, rejectionReason(connection) == nil,
      let call = connection.calls.waiting.popFirst()
    {
      counters.waiting(-1)
      count(call, connection)
      // One by one: the response of one may leave no room for the next.
      add(call)
      run()
    }
  }

  // MARK: Ending

  /// A handler has ended. After the end of its connection this may run on another thread than the
  /// loop's, which may have ended as well.
  func handlerEnded(_ call: ServerStream) {
    counters.running(-1)
    let connection = call.connection
    guard !connection.isClosed else { return }
    connection.calls.handlers -= 1
    startWaiting(connection)
  }
}

/// The calls of one connection as its loop's ``CallScheduler`` counts them. Loop-bound.
struct ConnectionCalls {
  var waiting = CallQueue()
  /// A start of waiting calls is posted to the loop.
  var startIsDue = false
  /// Handlers that run, those of cancelled calls included.
  var handlers = 0
  /// The expected size of the responses of the handlers that run, in bytes (``ReplySize``).
  var reservedBytes = 0
}
