// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import DequeModule
internal import Synchronization
internal import TrunkHTTP2
internal import TrunkSockets

/// One call on the server, from its first header to the end of its handler.
///
/// ```
///   headers --bad--> answered                                (Trailers-Only, or an HTTP error)
///      |ok
///   unary: collecting --END_STREAM--> running --> answered --> closed
///   streams: --------- at once -----> running --> answered --> closed
/// ```
/// The client may go away at any point: `closed` then cancels the handler. The slot of a handler is
/// free when the handler has ended, not when its stream has.
///
/// `@unchecked Sendable`: what is not `let` or behind the connection's `responseLock` is touched only on the
/// connection's loop, or is set before the handler starts.
final class ServerStream: ServerCallContext, @unchecked Sendable {
  let loop: EventLoop
  // Strong: a handler may outlive its connection. The session lets go of its streams when it closes.
  let connection: ServerConnection
  let stream: HTTP2Stream

  // What the request said. Not changed after its headers.
  @exclusivity(unchecked) private(set) var method: ServedMethod?
  @exclusivity(unchecked) private(set) var requestMetadata = Metadata()
  @exclusivity(unchecked) private(set) var deadline: UInt64?
  var peer: String { connection.peer }
  @exclusivity(unchecked) private(set) var authority = ""
  @exclusivity(unchecked) private(set) var userAgent = ""
  @exclusivity(unchecked) private(set) var request = RequestHead()

  // The life of the call
  enum Phase { case receivingHeaders, collecting, running, answered, closed }
  @exclusivity(unchecked) var phase = Phase.receivingHeaders
  @exclusivity(unchecked) private var reader: MessageReader
  @exclusivity(unchecked) private var payload: ReceivedMessage?
  @exclusivity(unchecked) var task: Task<Void, Never>?
  @exclusivity(unchecked) private var handlerRuns = false
  @exclusivity(unchecked) private var hasStarted = false
  /// In its connection's queue.
  @exclusivity(unchecked) var isWaiting = false
  /// Its part of the connection's `reservedBytes`.
  @exclusivity(unchecked) var reserved = 0
  @exclusivity(unchecked) var deadlineTimer: LoopTimer?
  @exclusivity(unchecked) var status: RPCError?
  @exclusivity(unchecked) var refusesEncoding = false

  // Compression: see ServerStream+Compression.swift
  @exclusivity(unchecked) var requestCompression = Compression.identity
  @exclusivity(unchecked) var clientAccepts: CompressionSet = []
  let replyCompressionCode = Atomic<UInt8>(0)
  let lastWasCompressed = Atomic<Bool>(false)

  // Streams: see ServerStream+Messages.swift
  @exclusivity(unchecked) var inbox = Deque<ReceivedMessage>()
  @exclusivity(unchecked) var outstanding = 0
  @exclusivity(unchecked) var requestsEnded = false
  @exclusivity(unchecked) var failure: RPCError?
  @exclusivity(unchecked) var reading = Waiter<Inbound>()
  @exclusivity(unchecked) var writing = Waiter<RPCError?>()
  @exclusivity(unchecked) var headersSent = false
  struct Response {
    var initial = Metadata()
    var trailing = Metadata()
  }
  /// What handlers have added and whether the headers have gone: most calls are spared the lock.
  struct ResponseMarks: OptionSet {
    var rawValue: UInt8
    static let initial = ResponseMarks(rawValue: 1)
    static let trailing = ResponseMarks(rawValue: 2)
    static let sent = ResponseMarks(rawValue: 4)
  }
  private let marks = Atomic<UInt8>(0)
  // Reached through `withResponse` only.
  @exclusivity(unchecked) private var lockedResponse = Response()

  init(_ stream: HTTP2Stream, _ connection: ServerConnection) {
    self.stream = stream
    self.connection = connection
    loop = connection.loop
    reader = MessageReader(limit: connection.server.options.maxReceiveMessageSize)
  }

  /// What a handler on another thread may add to while the loop reads it. One lock for all streams of
  /// a connection: a lock of each stream's own costs generic metadata on every call.
  func withResponse<R: Sendable>(_ body: (inout Response) -> R) -> R {
    connection.responseLock.withLock { _ in body(&lockedResponse) }
  }

  /// Sets a mark.
  /// - Returns: those that stood before.
  @discardableResult
  func mark(_ mark: ResponseMarks) -> ResponseMarks {
    ResponseMarks(
      rawValue: marks.bitwiseOr(mark.rawValue, ordering: .acquiringAndReleasing).oldValue)
  }
  var responseMarks: ResponseMarks { ResponseMarks(rawValue: marks.load(ordering: .acquiring)) }

  /// Changes what goes with the headers, from any thread.
  /// - Returns: false if they have gone. Whoever marks first wins: either the loop sees the mark and
  ///   waits for the lock, or it has left its own behind.
  func beforeHeaders(_ body: (inout Response) -> Void) -> Bool {
    guard !mark(.initial).contains(.sent) else { return false }
    return withResponse { response in
      guard !responseMarks.contains(.sent) else { return false }
      body(&response)
      return true
    }
  }

  var methodName: String { method?.name.text ?? request.path }

  var timeRemaining: Duration? {
    deadline.map { end in
      let now = Clock.now()
      return .nanoseconds(end > now ? Int64(clamping: end - now) : 0)
    }
  }
}

// MARK: - What the peer sends

extension ServerStream: HTTP2StreamHandler {
  func header(_ name: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) {
    guard phase == .receivingHeaders else { return }
    switch name.count {
    case 5 where name.equals(":path"):
      method = connection.server.methods.find(value)
      if method == nil { request.path = String(decoding: value.prefix(1_024), as: UTF8.self) }
    case 7 where name.equals(":method"): request.isPost = value.equals("POST")
    case 7 where name.equals(":scheme"): break
    case 10 where name.equals(":authority"): authority = connection.cachedAuthority(value)
    case 10 where name.equals("user-agent"): userAgent = connection.cachedUserAgent(value)
    case 2 where name.equals("te"): break
    case 12 where name.equals("content-type"):
      request.isGRPC = RequestHead.isGRPC(contentType: value)
    // HTTP's own, and of no meaning to gRPC.
    case 14 where name.equals("content-length"): break
    case 12 where name.equals("grpc-timeout"):
      if let timeout = GRPCTimeout.parse(value) {
        deadline = loop.now.addingReportingOverflow(timeout).overflow ? .max : loop.now &+ timeout
      } else {
        request.badHeader = "grpc-timeout"
      }
    case 13 where name.equals("grpc-encoding"):
      if !takeRequestEncoding(value) {
        request.encoding = String(decoding: value.prefix(64), as: UTF8.self)
      }
    case 20 where name.equals("grpc-accept-encoding"):
      clientAccepts.formUnion(CompressionSet(wire: value))
    default:
      if name.ends(with: "-bin"), !RequestHead.isBinary(value) {
        request.badHeader = String(decoding: name.prefix(256), as: UTF8.self)
      }
      requestMetadata.append(name, value)
    }
  }

  func headersEnded(_ kind: HeaderBlockKind, endStream: Bool, tooLarge: Bool) {
    // Trailers of a request mean nothing to gRPC; END_STREAM comes by itself.
    guard phase == .receivingHeaders else { return }
    if let problem = request.httpProblem { return answerHTTP(problem) }
    if tooLarge {
      connection.context.counters.note(.headerListTooLarge)
      let limit = connection.server.options.maxHeaderListSize
      return answer(
        RPCError(.resourceExhausted, "the request's headers are over the limit of \(limit) bytes"))
    }
    if let name = request.badHeader {
      connection.context.counters.note(.badHeader)
      return answer(RPCError(.internal, "malformed request header \(name)"))
    }
    guard let method else { return answer(unknownMethod()) }
    if let encoding = request.encoding {
      refusesEncoding = true
      return answer(unknownEncoding(encoding))
    }
    startCompression()
    if let deadline { startDeadline(deadline) }
    switch method.handler {
    case .unary: phase = .collecting
    case .streaming: start()
    }
  }

  func data(_ bytes: UnsafeRawBufferPointer) {
    outstanding += bytes.count
    guard phase == .collecting || phase == .running, failure == nil else { return creditAll() }
    do throws(FramingError) {
      try reader.receive(bytes) { payload, compressed in received(payload, compressed) }
    } catch {
      if case .tooLarge = error { connection.context.counters.note(.messageTooLarge) }
      fail(error.rpcError)
    }
    creditReceived()
  }

  private func received(_ payload: [UInt8], _ compressed: Bool) {
    if compressed, requestCompression == .identity {
      // Flag 1 without grpc-encoding (PROTOCOL-HTTP2.md).
      return fail(RPCError(.internal, "a compressed message without grpc-encoding"))
    }
    let message = ReceivedMessage(payload, compressed ? requestCompression : .identity)
    if phase == .running {
      deliver(message)
    } else if self.payload == nil {
      self.payload = message
    } else {
      fail(RPCError(.unimplemented, "the client sent more than the one message that is due"))
    }
  }

  func ended() {
    requestsEnded = true
    if reader.isMidMessage {
      return fail(RPCError(.internal, "the request ended in the middle of a message"))
    }
    switch phase {
    case .collecting:
      // Without a message grpc-go and C-core would hang on a silent server: answer.
      if payload == nil {
        fail(RPCError(.unimplemented, "the client sent no message where one is due"))
      } else {
        start()
      }
    case .running: endRequests()
    default: break
    }
  }

  func writable() { writing.resume(nil) }

  func closed(_ reason: StreamCloseReason) {
    let wasAnswered = phase == .answered
    phase = .closed
    deadlineTimer?.cancel()
    // An answered call may still have tasks of its handler's making that wait for room to write.
    if !wasAnswered || reading.isWaiting || writing.isWaiting || !inbox.isEmpty {
      end(RPCError(.cancelled, "the client cancelled the call or went away"))
    }
    if !wasAnswered { connection.context.counters.cancelled() }
    if isWaiting { connection.leaveQueue(self) }
    if !wasAnswered, !hasStarted, case .code = reason { connection.session.noteEarlyReset() }
    task?.cancel()
    if !handlerRuns { task = nil }
    connection.streamClosed()
  }
}

// MARK: - Running the handler

extension ServerStream {
  private func start() {
    phase = .running
    connection.startAfterReceiving(self)
  }

  /// Not over already.
  var canStart: Bool { phase == .running && !hasStarted }
  var replySize: ReplySize? { method.map { connection.context.faces[$0.index].replies } }

  /// It has answered, or will not.
  func releaseReservation() {
    connection.reservedBytes -= reserved
    reserved = 0
  }

  /// Bytes that wait with it.
  var payloadSize: Int { payload?.payload.count ?? 0 }

  /// Called on the loop, outside of nghttp2's callbacks, when the connection has counted the handler.
  func startHandler() {
    handlerRuns = true
    guard canStart, let method else { return handlerEnded() }
    hasStarted = true
    let call = ServerCall(self)
    let payload = payload
    self.payload = nil
    connection.context.counters.started()
    if method.startsOnPool {
      task = Task(executorPreference: globalConcurrentExecutor) {
        await self.run(method.handler, payload, call)
      }
    } else {
      let face = connection.context.faces[method.index]
      face.meter.measure {
        // From the loop itself, or its first part would run on another thread.
        loop.checkIsolated()
        task = Task.immediate(executorPreference: face.tasks) {
          await self.run(method.handler, payload, call)
        }
      }
    }
    if !handlerRuns { task = nil }
  }

  private func run(
    _ handler: MethodTable.Handler, _ payload: ReceivedMessage?, _ call: ServerCall
  ) async {
    guard let deadline else { return await runBare(handler, payload, call) }
    await InheritedDeadline.$current.withValue(deadline) {
      await runBare(handler, payload, call)
    }
  }

  private func runBare(
    _ handler: MethodTable.Handler, _ payload: ReceivedMessage?, _ call: ServerCall
  ) async {
    do {
      let interceptors = connection.server.interceptors
      switch handler {
      case .unary(let body) where interceptors.isEmpty:
        let frame = try compressed(try await body(try opened(payload), call))
        if loop.isCurrent { complete(frame) } else { loop.later { self.complete(frame) } }
      case .unary(let body):
        try await interceptors.run(call, OneMessage(try opened(payload)), self) {
          call, source, sink in
          guard let payload = try await source.next() else {
            throw RPCError(.unimplemented, "no message where one is due")
          }
          try await sink.send(try await body(payload, call))
        }
        finish(nil)
      case .streaming(let body) where interceptors.isEmpty:
        try await body(self, self, call)
        finish(nil)
      case .streaming(let body):
        try await interceptors.run(call, self, self) { call, source, sink in
          try await body(source, sink, call)
        }
        finish(nil)
      }
    } catch {
      finish(ServerStream.status(of: error))
    }
  }

  /// An `RPCError` is the status; what else a handler throws stays on the server (UNKNOWN), except
  /// that a cancelled handler is cancelled.
  static func status(of error: any Error) -> RPCError {
    switch error {
    case let error as RPCError: error
    case is CancellationError: RPCError(.cancelled, "the handler was cancelled")
    default: RPCError(.unknown, "the handler failed")
    }
  }

  /// The reply of a unary call.
  private func complete(_ frame: OutgoingFrame) {
    handlerEnded()
    guard phase == .running else { return }
    if let error = write(frame) { answer(error) } else { answer(nil) }
  }

  private func finish(_ error: RPCError?) {
    if loop.isCurrent { handlerFinished(error) } else { loop.later { self.handlerFinished(error) } }
  }

  private func handlerFinished(_ error: RPCError?) {
    handlerEnded()
    if phase == .running { answer(error) }
  }

  private func handlerEnded() {
    guard handlerRuns else { return }
    handlerRuns = false
    task = nil
    if reserved > 0, !connection.isClosed { releaseReservation() }
    connection.releaseHandlerSlot()
  }
}
