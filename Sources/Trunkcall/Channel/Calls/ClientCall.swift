// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import DequeModule
internal import Synchronization
internal import TrunkDiscovery
internal import TrunkHTTP2
internal import TrunkSockets
internal import TrunkWire

/// One call, from its first pick to its status.
///
/// ```
///   made ── dispatch ──► on a connection ── trailers, reset, deadline, cancel ──► settled
///                │  ▲          │
///                ▼  │          │ never sent, or refused: transparent retry (gRFC A6)
///     control loop: waits ◄────┘
/// ```
/// It has an owning loop, which alone accesses it. A loop that moves it stores the new owner, posts
/// it to that loop's inbox, and does not access it afterwards.
///
/// `@unchecked Sendable`: before `dispatch` one thread has it, then its owning loop; the caller reads
/// results after the loop has resumed it, and they are not written again.
final class ClientCall: @unchecked Sendable {
  enum Outcome: Sendable {
    case ok
    case failed(RPCError)
  }

  let context: ChannelContext
  let method: MethodName
  let metadata: Metadata
  let isUnary: Bool

  /// Index into the channel's loops; -1 before ``ChannelContext/dispatch(_:)``.
  private let owningLoopIndex = Atomic<Int>(-1)
  private let cancelRequested = Atomic<Bool>(false)
  private let over = Atomic<Bool>(false)

  // Limits
  /// `CLOCK_MONOTONIC` nanoseconds; `.max` for none.
  @exclusivity(unchecked) var deadline: UInt64
  @exclusivity(unchecked) var waitForReady: Bool?
  @exclusivity(unchecked) var sendLimit: Int
  @exclusivity(unchecked) var receiveLimit: Int
  let compression: Compression
  let start: UInt64
  @exclusivity(unchecked) var hasConfig = false

  // The current attempt
  @exclusivity(unchecked) var stream: HTTP2Stream?
  @exclusivity(unchecked) var connection: ClientConnection?
  @exclusivity(unchecked) var peer: String?
  /// Of the subchannel, told that the attempt began and not yet that it ended.
  @exclusivity(unchecked) var observer: (any CallObserver)?
  @exclusivity(unchecked) var token: UInt64?
  @exclusivity(unchecked) var subchannel = SubchannelID(0)
  @exclusivity(unchecked) var attemptBegan: UInt64 = 0
  @exclusivity(unchecked) var wasRefused = false
  @exclusivity(unchecked) private var timer: LoopTimer?
  /// While it waits for a pick among the control loop's ``PendingCalls``, or for a stream among those
  /// of its connection's ``ConnectionGroup``: it has a ``connection`` then, and no ``stream``.
  @exclusivity(unchecked) var ticket: PendingTicket?

  // Requests, kept until the response headers for a transparent retry
  @exclusivity(unchecked) var firstFrame: [UInt8]?
  @exclusivity(unchecked) var moreFrames: [[UInt8]] = []
  @exclusivity(unchecked) var keptBytes = 0
  @exclusivity(unchecked) var canReplay = true
  @exclusivity(unchecked) var requestsEnded = false
  @exclusivity(unchecked) var policy = CallPolicy.none

  // The response
  @exclusivity(unchecked) var response = ResponseState()
  @exclusivity(unchecked) var reader: MessageReader
  @exclusivity(unchecked) var reply: ReceivedMessage?
  @exclusivity(unchecked) var inbound = Deque<ReceivedMessage>()
  /// Received bytes of this stream that were not yet added to the peer's window.
  @exclusivity(unchecked) var uncreditedBytes = 0
  @exclusivity(unchecked) var outcome: Outcome?

  // Continuations
  @exclusivity(unchecked) var unaryWaiter: UnsafeContinuation<Void, Never>?
  @exclusivity(unchecked) var messageWaiter: UnsafeContinuation<Received, Never>?
  @exclusivity(unchecked) var headersWaiters: [UnsafeContinuation<Received, Never>] = []
  @exclusivity(unchecked) var sendWaiters: [UnsafeContinuation<RPCError?, Never>] = []

  /// - Parameter metadata: the request's, checked and ready to send.
  init(_ context: ChannelContext, _ request: CallRequest, _ metadata: Metadata, isUnary: Bool) {
    self.context = context
    method = request.method
    self.metadata = metadata
    self.isUnary = isUnary
    start = Clock.now()
    deadline = request.options.end(from: start)
    waitForReady = request.options.waitForReady
    compression = request.options.compression ?? context.settings.compression
    sendLimit = context.settings.maxSendMessageSize
    receiveLimit =
      request.options.maxReceiveMessageSize.map { max(0, $0) }
      ?? context.settings.maxReceiveMessageSize
    reader = MessageReader(limit: receiveLimit)
  }

  /// One attempt of a call with a hedging policy.
  init(attemptOf call: ClientCall, _ attempt: HedgeAttempt) {
    context = call.context
    method = call.method
    metadata = call.metadata
    isUnary = call.isUnary
    start = call.start
    deadline = call.deadline
    waitForReady = call.waitForReady
    compression = call.compression
    sendLimit = call.sendLimit
    receiveLimit = call.receiveLimit
    reader = MessageReader(limit: receiveLimit)
    hasConfig = true
    policy = .hedge(attempt)
  }

  // MARK: The owning loop

  var isOnOwningLoop: Bool {
    let index = owningLoopIndex.load(ordering: .acquiring)
    return index >= 0 && context.loops[index].isCurrent
  }

  /// -1 before the first dispatch.
  var loopIndex: Int { owningLoopIndex.load(ordering: .sequentiallyConsistent) }

  /// nil before the first dispatch.
  var owningLoop: EventLoop? {
    let index = loopIndex
    return index >= 0 ? context.loops[index] : nil
  }

  var isOver: Bool { over.load(ordering: .acquiring) }
  var isCancelled: Bool { cancelRequested.load(ordering: .sequentiallyConsistent) }

  func setOwningLoop(at index: Int) {
    owningLoopIndex.store(index, ordering: .sequentiallyConsistent)
  }

  /// Runs `body` on the owning loop, at once if the caller is on it.
  func onOwningLoop(_ body: @escaping @Sendable (ClientCall) -> Void) {
    let index = owningLoopIndex.load(ordering: .sequentiallyConsistent)
    guard index >= 0 else { return }
    let loop = context.loops[index]
    if loop.isCurrent { body(self) } else { loop.later { [self] in onOwningLoop(body) } }
  }

  /// As ``onOwningLoop(_:)``, but never inside the caller.
  func postToOwningLoop(_ body: @escaping @Sendable (ClientCall) -> Void) {
    owningLoop?.later { [self] in onOwningLoop(body) }
  }

  /// From any thread, any number of times.
  func cancel() {
    // The flag first, then the owning loop: either the posted closure finds the call, or the call finds
    // the flag.
    cancelRequested.store(true, ordering: .sequentiallyConsistent)
    if isOver { return }
    onOwningLoop { $0.abort(RPCError(.cancelled, "the call was cancelled")) }
  }

  // MARK: Moving

  /// Hands the call to a connection's loop; the caller does not access it afterwards.
  func move(to reference: ConnectionReference, token: UInt64?, from here: Int?) {
    if reference.isObserved, observer == nil { observe(reference) }
    setOwningLoop(at: reference.loopIndex)
    if here == reference.loopIndex { return arrive(reference, token) }
    context.loops[reference.loopIndex].later { [self] in arrive(reference, token) }
  }

  /// The call counts for its server from the pick on, not from its stream on: the next picks of a burst see
  /// it.
  @inline(never)
  private func observe(_ reference: ConnectionReference) {
    attemptBegan = Clock.now()
    observer = reference.observer
    observer?.callBegan(at: attemptBegan)
  }

  /// Starts an attempt. On the connection's loop.
  private func arrive(_ reference: ConnectionReference, _ token: UInt64?) {
    let connection = reference.connection.value
    if connection.isScaled, canReplay { return arrive(atOneOfMany: connection, reference, token) }
    begin(on: connection, reference, token)
  }

  /// Opens a stream and writes the requests; on the connection's loop.
  func begin(on connection: ClientConnection, _ reference: ConnectionReference, _ token: UInt64?) {
    let now = Clock.now()
    guard let stream = open(on: connection) else {
      return notBegun(on: connection, reference, token)
    }
    self.stream = stream
    self.connection = connection
    self.token = token
    subchannel = reference.subchannel
    attemptBegan = now
    peer = connection.peer
    if let firstFrame { stream.write(firstFrame) }
    for frame in moreFrames { stream.write(frame) }
    if requestsEnded { stream.finish() }
    if case .hedge(let attempt) = policy { attempt.began() }
    watchDeadline(on: connection.loop)
    if !sendWaiters.isEmpty, !stream.isAboveMark { wakeSenders(nil) }
  }

  /// The call is settled, or the connection takes no more calls.
  @inline(never)
  func notBegun(
    on connection: ClientConnection, _ reference: ConnectionReference, _ token: UInt64?
  ) {
    report(connection, neverSent: outcome == nil)
    notSent(token, reference, on: connection)
    guard outcome == nil else { return }
    guard canReplay else {  // a PinnedCall
      return settle(.failed(RPCError(.unavailable, "the connection takes no more calls")))
    }
    stopTimer()
    context.pickOnControlLoop(self)
  }

  /// A policy that counts its picks gets the outcome of each.
  func notSent(
    _ token: UInt64?, _ reference: ConnectionReference, on connection: ClientConnection
  ) {
    guard let token else { return }
    var code = RPCError.Code.unavailable
    if case .failed(let error) = outcome { code = error.code }
    connection.note(
      PickOutcome(subchannel: reference.subchannel, token: token, code: code, latency: .zero))
  }

  /// - Returns: nil if the call is settled, or the connection takes no more calls.
  private func open(on connection: ClientConnection) -> HTTP2Stream? {
    guard outcome == nil, !settleIfDue() else { return nil }
    do throws(RPCError) {
      if isUnary, let firstFrame, let refusal = refusal(of: firstFrame) { throw refusal }
      if let refusal = connection.refusal { throw refusal }
      return try connection.open(self)
    } catch {
      settle(.failed(error))
      return nil
    }
  }

  /// Settles a call that was cancelled or whose deadline passed while it moved between loops.
  func settleIfDue() -> Bool {
    if isCancelled {
      abort(RPCError(.cancelled, "the call was cancelled"))
    } else if deadline != .max, deadline <= Clock.now() {
      abort(expired())
    } else {
      return false
    }
    return true
  }

  func watchDeadline(on loop: EventLoop) {
    guard deadline != .max, timer == nil else { return }
    // The timer is released when the call settles or moves on; until then each holds the other.
    let timer = LoopTimer(on: loop) { self.deadlinePassed() }
    timer.schedule(at: deadline)
    self.timer = timer
  }

  private func deadlinePassed() {
    timer = nil
    if stream != nil { connection?.callExpired(began: attemptBegan) }
    abort(expired())
  }

  private func expired() -> RPCError {
    guard ticket != nil || isWaitingHedged else {
      return RPCError(.deadlineExceeded, "the deadline has passed")
    }
    if ticket != nil, let connection { return expired(waitingAt: connection) }
    return context.controller.value.diagnostics(.deadlineExceeded, "the deadline has passed")
  }

  /// Another pick, on the control loop, without what the last attempt left: for a transparent retry,
  /// which no budget counts, or a further attempt of the policy (gRFC A6).
  func pickAgain() {
    stopTimer()
    response = ResponseState()
    reader = MessageReader(limit: receiveLimit)
    peer = nil
    uncreditedBytes = 0
    context.pickOnControlLoop(self)
  }

  func stopTimer() {
    timer?.cancel()
    timer = nil
  }

  /// It no longer waits on the control loop.
  func leftPendingCalls() {
    ticket = nil
    stopTimer()
  }

  // MARK: End

  /// Ends the call from this side: messages received and not yet read are dropped.
  func abort(_ error: RPCError) {
    guard outcome == nil else { return }
    inbound.removeAll()
    reply = nil
    settle(.failed(error))
  }

  /// A received message cannot be read: there are no further ones, even if the server has sent
  /// status OK.
  func failReceiving(_ error: RPCError) {
    inbound.removeAll()
    if outcome == nil { abort(error) } else { outcome = .failed(error) }
  }

  /// Sets the one status and resumes every waiter.
  func settle(_ result: Outcome) {
    guard outcome == nil else { return }
    if case .failed(let error) = result {
      outcome = .failed(withPeer(withAttempts(error)))
    } else {
      outcome = result
    }
    endPolicy()
    if context.settings.log.logsEnds { logEnd() }
    if ticket != nil { leaveQueue() }
    stopTimer()
    markOver()
    resetStream()
    firstFrame = nil
    moreFrames = []
    if let unaryWaiter {
      self.unaryWaiter = nil
      return unaryWaiter.resume()
    }
    wakeReader()
    wakeHeadersWaiters()
    if case .failed(let error) = outcome { wakeSenders(error) } else { wakeSenders(nil) }
  }

  func markOver() { over.store(true, ordering: .releasing) }

  /// At debug level.
  @inline(never)
  private func logEnd() {
    var error: RPCError?
    if case .failed(let failure) = outcome { error = failure }
    context.settings.log.callEnded(method: method.text, peer: peer, error)
  }

  /// Adds the server's address and metadata.
  private func withPeer(_ error: RPCError) -> RPCError {
    guard let peer else { return error }
    var error = error
    error.peer = peer
    error.initialMetadata = response.initialMetadata
    return error
  }

  /// The result for the caller of a unary call, after it was resumed.
  func unaryResponse() throws(RPCError) -> CallResponse {
    // The continuation orders this after the loop's writes; the flag makes that visible to the
    // thread sanitizer where the call was resumed before it waited.
    guard isOver else { throw RPCError(.internal, "the call was resumed before its end") }
    if case .failed(let error) = outcome { throw error }
    guard let reply else {
      throw RPCError(.internal, "the call was resumed before its end")
    }
    return CallResponse(
      payload: try reply.message(limit: receiveLimit), initialMetadata: response.initialMetadata,
      trailingMetadata: response.trailingMetadata, peer: peer ?? "",
      wasCompressed: reply.isCompressed)
  }

  private func resetStream() {
    guard let stream, stream.isOpen else { return }
    if stream.isRemotelyDone {
      // A server's status is final; unsent requests are dropped (RFC 9113 §8.1).
      if !stream.isLocallyDone { stream.reset(HTTP2ErrorCode.noError) }
    } else {
      stream.reset(HTTP2ErrorCode.cancel)
    }
  }
}
