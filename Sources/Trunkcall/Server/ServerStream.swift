// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import Logging
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
/// The client may reset the stream or disconnect at any point: `closed` then cancels the handler.
/// The slot of a handler is released when the handler has ended, not when its stream has.
///
/// It is the HTTP/2 stream itself. State that few calls need is kept apart (``ColdState``,
/// ``MessageFlow``), so that making and freeing a plain unary call is cheap.
///
/// `@unchecked Sendable`: what is not `let` or guarded by the connection's `responseLock` is
/// accessed only on the connection's loop, or is set before the handler starts.
final class ServerStream: HTTP2Stream, ServerCallContext, @unchecked Sendable {
  // Strong: a handler may outlive its connection. The session releases its streams when it closes.
  let connection: ServerConnection

  // In an order without padding, 200 bytes with those of the stream: there may be many.

  // The request. Constant after its headers.
  @exclusivity(unchecked) private(set) var method: LoopMethod?
  @exclusivity(unchecked) private(set) var requestMetadata = Metadata()
  @exclusivity(unchecked) private var names: CallNames?

  // State
  enum Phase { case receivingHeaders, collecting, running, answered, closed }
  @exclusivity(unchecked) var payload: ReceivedMessage?
  @exclusivity(unchecked) var phase = Phase.receivingHeaders
  @exclusivity(unchecked) var handlerRuns = false
  @exclusivity(unchecked) var hasStarted = false
  /// It is in its connection's ``CallQueue``.
  @exclusivity(unchecked) var isWaiting = false
  @exclusivity(unchecked) var hasFailed = false
  /// The response's headers are submitted.
  @exclusivity(unchecked) var hasResponded = false
  /// See ``ResponseMarks``.
  private let marks = Atomic<UInt8>(0)
  @exclusivity(unchecked) private var reader: MessageReader
  @exclusivity(unchecked) private var request: RequestHead = []
  /// Its part of ``ConnectionCalls/reservedBytes``.
  @exclusivity(unchecked) private var reservedSize: UInt32 = 0

  // Compression: see ServerStream+Compression.swift
  @exclusivity(unchecked) var clientAccepts: CompressionSet = []
  @exclusivity(unchecked) var requestCompression = Compression.identity
  let replyCompressionCode = Atomic<UInt8>(0)
  let lastWasCompressed = Atomic<Bool>(false)

  /// The task that runs the handler, if it is one of the loop's; valid while it does.
  @exclusivity(unchecked) var poolTask: BorrowedTask?

  /// Made for calls that need more than a plain unary one.
  final class ColdState {
    var rejectedRequest: RequestHead.RejectedRequest?
    var deadline: UInt64 = 0
    var status: RPCError?
    var failure: RPCError?
    var refusesEncoding = false
    var deadlineTimer: LoopTimer?
    /// The handler's task, on the global pool.
    var task: Task<Void, Never>?
    /// The handler's wait, when the client does not read.
    @exclusivity(unchecked) var writing = StreamWaiter<RPCError?>()
  }
  @exclusivity(unchecked) private(set) var coldState: ColdState?
  /// Made for streams: see ServerStream+Messages.swift
  @exclusivity(unchecked) var flow: MessageFlow?

  /// What handlers have added, and whether the headers were sent: saves most calls the lock.
  struct ResponseMarks: OptionSet {
    var rawValue: UInt8
    static let initial = ResponseMarks(rawValue: 1)
    static let trailing = ResponseMarks(rawValue: 2)
    static let sent = ResponseMarks(rawValue: 4)
    static let load = ResponseMarks(rawValue: 8)
  }
  final class Response {
    var initial = Metadata()
    var trailing = Metadata()
    var load = LoadReport()
  }
  // Accessed by `withResponse` only.
  @exclusivity(unchecked) private var lockedResponse: Response?

  init(_ connection: ServerConnection, _ session: HTTP2Session, id: Int32) {
    self.connection = connection
    reader = MessageReader(limit: connection.server.options.maxReceiveMessageSize)
    super.init(session, id: id)
  }

  var loop: EventLoop { connection.loop }
  var peer: String { connection.peer }
  var authority: String { names?.authority ?? "" }
  var userAgent: String { names?.userAgent ?? "" }
  var requestSaysProto: Bool { request.contains(.saysProto) }
  var stop: StopSignal { connection.server.stop }
  // On any thread: flag and value are set before the handler starts, and do not change then.
  var deadline: UInt64? { request.contains(.hasDeadline) ? coldState?.deadline : nil }

  func makeColdState() -> ColdState {
    if let coldState { return coldState }
    let coldState = ColdState()
    self.coldState = coldState
    return coldState
  }

  private func makeRejectedRequest() -> RequestHead.RejectedRequest {
    let coldState = makeColdState()
    if let rejectedRequest = coldState.rejectedRequest { return rejectedRequest }
    let rejectedRequest = RequestHead.RejectedRequest()
    coldState.rejectedRequest = rejectedRequest
    return rejectedRequest
  }

  /// Bytes kept of a path that is no method's.
  static let maxPathSize = 1_024

  /// Of a request for no method.
  var path: String { coldState?.rejectedRequest?.path ?? "" }

  var reserved: Int {
    get { Int(reservedSize) }
    set { reservedSize = UInt32(clamping: newValue) }
  }

  /// State that a handler on another thread may change while the loop reads it. One lock for all
  /// streams of a connection: a lock of each stream's own costs generic metadata on every call.
  func withResponse<R: Sendable>(_ body: (Response) -> R) -> R {
    connection.responseLock.withLock { _ in
      if let lockedResponse { return body(lockedResponse) }
      let response = Response()
      lockedResponse = response
      return body(response)
    }
  }

  /// Sets a mark.
  /// - Returns: the marks before.
  @discardableResult
  func mark(_ mark: ResponseMarks) -> ResponseMarks {
    ResponseMarks(
      rawValue: marks.bitwiseOr(mark.rawValue, ordering: .acquiringAndReleasing).oldValue)
  }
  var responseMarks: ResponseMarks { ResponseMarks(rawValue: marks.load(ordering: .acquiring)) }

  /// Changes what is sent with the headers, on any thread.
  /// - Returns: false if they have been sent. The first to set its mark wins: either the loop sees
  ///   the mark and waits for the lock, or this finds the loop's mark.
  func beforeHeaders(_ body: (Response) -> Void) -> Bool {
    guard !mark(.initial).contains(.sent) else { return false }
    return withResponse { response in
      guard !responseMarks.contains(.sent) else { return false }
      body(response)
      return true
    }
  }

  var methodName: String { method?.served.name.text ?? path }

  var timeRemaining: Duration? {
    deadline.map { end in
      let now = Clock.now()
      return .nanoseconds(end > now ? Int64(clamping: end - now) : 0)
    }
  }

  // MARK: What the peer sends

  override func header(_ name: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) {
    guard phase == .receivingHeaders else { return }
    switch name.count {
    case 5 where name.equals(":path"):
      method = connection.context.method(value)
      if method == nil {
        makeRejectedRequest().path = String(
          decoding: value.prefix(ServerStream.maxPathSize), as: UTF8.self)
      }
    case 7 where name.equals(":method"): if value.equals("POST") { request.insert(.isPost) }
    case 7 where name.equals(":scheme"): break
    case 10 where name.equals(":authority"):
      names = connection.names.with(authority: value)
      request.insert(.hasAuthority)
    // RFC 9113 §8.3.1: used instead of `:authority` by clients that translate HTTP/1.1.
    case 4 where name.equals("host"):
      if !request.contains(.hasAuthority) { names = connection.names.with(authority: value) }
    case 10 where name.equals("user-agent"):
      names = connection.names.with(userAgent: value, beside: names)
      request.insert(.hasUserAgent)
    case 2 where name.equals("te"): break
    case 12 where name.equals("content-type"):
      if ContentType.isGRPC(value) {
        request.insert(.isGRPC)
        if value.equals("application/grpc+proto") { request.insert(.saysProto) }
      } else {
        request.remove(.isGRPC)
      }
    case 12 where name.equals("grpc-timeout"):
      if let timeout = GRPCTimeout.parse(value) {
        let (end, overflow) = loop.now.addingReportingOverflow(timeout)
        makeColdState().deadline = overflow ? .max : end
        request.insert(.hasDeadline)
      } else {
        makeRejectedRequest().badHeader = "grpc-timeout"
      }
    case 13 where name.equals("grpc-encoding"):
      if !takeRequestEncoding(value) {
        makeRejectedRequest().encoding = String(decoding: value.prefix(64), as: UTF8.self)
      }
    case 20 where name.equals("grpc-accept-encoding"):
      clientAccepts.formUnion(CompressionSet(wire: value))
    default:
      guard MetadataName(name).isReadable else {
        if name.starts(with: "grpc-") {
          connection.server.logger.debug(
            "a reserved header of a request is ignored",
            metadata: [
              "name": "\(String(decoding: name.prefix(64), as: UTF8.self))", "peer": "\(peer)",
            ])
        }
        return
      }
      if name.ends(with: "-bin"), !Metadata.isBinary(value) {
        makeRejectedRequest().badHeader = String(decoding: name.prefix(256), as: UTF8.self)
      }
      requestMetadata.append(name, value)
    }
  }

  override func headersEnded(_ kind: HeaderBlockKind, endStream: Bool, tooLarge: Bool) {
    // gRPC has no request trailers; END_STREAM is reported separately.
    guard phase == .receivingHeaders else { return }
    if let problem = request.httpProblem { return answerHTTP(problem) }
    if !request.contains(.hasUserAgent) { names = names?.withoutUserAgent }
    if tooLarge {
      connection.context.counters.note(.headerListTooLarge)
      let limit = connection.server.options.maxHeaderListSize
      return answer(
        RPCError(.resourceExhausted, "the request's headers are over the limit of \(limit) bytes"))
    }
    if let name = coldState?.rejectedRequest?.badHeader {
      connection.context.counters.note(.badHeader)
      return answer(RPCError(.internal, "malformed request header \(name)"))
    }
    if method == nil {
      let status = unknownMethod()
      method = status.isMalformed ? nil : connection.context.unknownMethod(path, status.error)
      guard method != nil else { return answer(status.error) }
    }
    guard let method else { return }
    if let encoding = coldState?.rejectedRequest?.encoding {
      makeColdState().refusesEncoding = true
      return answer(unknownEncoding(encoding))
    }
    startCompression()
    if let deadline { startDeadline(deadline) }
    if method.isUnary {
      phase = .collecting
    } else {
      flow = MessageFlow()
      connection.context.scheduler.add(self)
    }
  }

  override func data(_ bytes: UnsafeRawBufferPointer) {
    guard phase == .collecting || phase == .running, !hasFailed else { return creditAll() }
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

  override func ended() {
    if reader.isMidMessage {
      return fail(RPCError(.internal, "the request ended in the middle of a message"))
    }
    switch phase {
    case .collecting:
      // Clients of grpc-go and C-core would wait for ever: the call gets a status.
      if payload == nil {
        fail(RPCError(.unimplemented, "the client sent no message where one is due"))
      } else {
        connection.context.scheduler.add(self)
      }
    case .running: endRequests()
    default: break
    }
  }

  override func writable() { coldState?.writing.resume(nil) }

  override func addTrailers(_ headers: inout HeaderList) { writeTrailers(&headers) }

  override func closed(_ reason: StreamCloseReason) {
    let wasAnswered = phase == .answered
    phase = .closed
    if connection.server.log.logsEnds { logEnd(reason, wasAnswered) }
    if let coldState {
      coldState.deadlineTimer?.cancel()
      coldState.deadlineTimer = nil
    }
    // An answered call may still have tasks made by its handler that wait for room to write.
    if !wasAnswered || flow?.isIdle == false || coldState?.writing.isWaiting == true {
      end(RPCError(.cancelled, "the client cancelled the call or went away"))
    }
    if !wasAnswered { connection.context.counters.cancelled() }
    if isWaiting { connection.context.scheduler.removeWaiting(self) }
    if !wasAnswered, !hasStarted {
      switch reason {
      case .code, .refusedHere: connection.session.noteEarlyReset()
      case .notSent, .refused, .connectionLost: break
      }
    }
    if handlerRuns { cancelHandler() }
    connection.streamClosed()
  }
}
