// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import TrunkSockets
internal import TrunkWire

/// The server's half of a call within the process: the handler's context, and the metadata and
/// status that it sets.
final class InProcessCall: ServerCallContext {
  let methodName: String
  let requestMetadata: Metadata
  let authority: String
  /// `CLOCK_MONOTONIC` nanoseconds; nil for none.
  let deadline: UInt64?
  private let headerListLimit: Int
  private let log: CallLog

  struct Answer: Sendable {
    var initial = Metadata()
    var trailing = Metadata()
    var load: LoadReport?
    var headersSent = false
    /// The call failed before its headers were sent.
    var failure: RPCError?
    var hasEnded = false

    /// The report becomes metadata, as over a network.
    mutating func finishTrailers() {
      guard let report = load else { return }
      trailing.append(contentsOf: report.metadata)
      load = nil
    }
  }
  private let answer = Locked(Answer())
  private let headersWaiters = Locked<[CheckedContinuation<Void, Never>]>([])

  /// - Parameters:
  ///   - metadata: the request's, checked and ready to send.
  ///   - headerListLimit: of the response's headers, and of its trailers.
  init(
    _ request: CallRequest, _ metadata: Metadata, authority: String, deadline: UInt64?,
    headerListLimit: Int, _ log: CallLog
  ) {
    methodName = request.method.text
    requestMetadata = metadata
    self.authority = authority
    self.deadline = deadline
    self.headerListLimit = headerListLimit
    self.log = log
  }

  var peer: String { InProcessChannel.peer }
  var userAgent: String { RequestHeaders.userAgent }
  var timeRemaining: Duration? {
    deadline.map { end in
      let now = Clock.now()
      return .nanoseconds(end > now ? Int64(clamping: end - now) : 0)
    }
  }
  // Nothing is compressed within the process.
  var lastMessageWasCompressed: Bool { false }
  var requestCompression: Compression { .identity }
  var clientAccepts: CompressionSet { [] }
  var stop: StopSignal { .never }
  #if TLS
    var tlsPeer: TLSPeer? { nil }
  #endif

  func compressResponses(with compression: Compression) throws(RPCError) -> Bool {
    compression == .identity
  }

  func addInitialMetadata(_ metadata: Metadata) throws(RPCError) {
    let metadata = try metadata.checked(.initial, nil)
    try check(metadata, beside: initialMetadata)
    let isLate = answer.withLock { answer in
      if !answer.headersSent { answer.initial.append(contentsOf: metadata) }
      return answer.headersSent
    }
    if isLate {
      throw RPCError(.failedPrecondition, "the initial metadata of this call is sent already")
    }
  }

  func addTrailingMetadata(_ metadata: Metadata) throws(RPCError) {
    let metadata = try metadata.checked(.trailers, nil)
    try check(metadata, beside: trailingMetadata)
    answer.withLock { $0.trailing.append(contentsOf: metadata) }
  }

  var loadReport: LoadReport { answer.withLock { $0.load ?? LoadReport() } }
  func setLoadReport(_ report: LoadReport) { answer.withLock { $0.load = report } }

  /// Throws if the client's limit does not allow it.
  private func check(_ metadata: Metadata, beside sent: Metadata) throws(RPCError) {
    if let oversize = metadata.oversize(beside: sent) { throw oversize }
    if let oversize = metadata.oversize(for: headerListLimit, beside: sent) { throw oversize }
  }

  func sendInitialMetadata() { sendHeaders() }

  // MARK: The client's side

  var initialMetadata: Metadata { answer.withLock { $0.initial } }
  /// As the handler has set it so far.
  var trailingMetadata: Metadata {
    var answer = answer.withLock { $0 }
    answer.finishTrailers()
    return answer.trailing
  }
  /// As the client gets it: empty until the call has ended.
  var receivedTrailers: Metadata { answer.withLock { $0.hasEnded ? $0.trailing : Metadata() } }

  var hasSentHeaders: Bool { answer.withLock { $0.headersSent } }

  /// The initial metadata is final from now on; those who await it are resumed.
  func sendHeaders() {
    let isFirst = answer.withLock { answer in
      defer { answer.headersSent = true }
      return !answer.headersSent
    }
    guard isFirst else { return }
    let waiters = headersWaiters.withLock { waiters in
      defer { waiters = [] }
      return waiters
    }
    for waiter in waiters { waiter.resume() }
  }

  /// Ends the call, once. A handler's failure without initial metadata has no headers, as a
  /// Trailers-Only response has none; neither has a call that this side ends before its headers.
  func ended(_ error: RPCError?) {
    let isFirst = answer.withLock { answer in
      guard !answer.hasEnded else { return false }
      answer.hasEnded = true
      answer.finishTrailers()
      if error?.origin == .local { answer.trailing = Metadata() }
      if let error, !answer.headersSent, error.origin == .local || answer.initial.isEmpty {
        answer.failure = error
      }
      return true
    }
    if isFirst { logEnd(error) }
    sendHeaders()
  }

  /// Suspends until the headers are sent, or the call's end.
  /// - Returns: the call's status, if it ended before its headers.
  func receivedHeaders() async -> Result<Metadata, RPCError> {
    await waitForHeaders()
    let answer = answer.withLock { $0 }
    return answer.failure.map { .failure($0) } ?? .success(answer.initial)
  }

  private func waitForHeaders() async {
    await withCheckedContinuation { continuation in
      // The flag is read under the waiters' lock: it is set before they are taken.
      let isThere = headersWaiters.withLock { waiters in
        if answer.withLock({ $0.headersSent }) { return true }
        waiters.append(continuation)
        return false
      }
      if isThere { continuation.resume() }
    }
  }

  /// At debug level.
  func logEnd(_ error: RPCError?) {
    if log.logsEnds { log.callEnded(method: methodName, peer: peer, error) }
  }

  /// A status as it would come over a network, its metadata with it.
  func error(_ error: any Error) -> RPCError {
    log.handlerThrew(error, method: methodName, peer: peer)
    let status = ServerStream.status(of: error)
    answer.withLock { $0.finishTrailers() }
    let plan = TrailerPlan(status, trailing: trailingMetadata, limit: headerListLimit)
    let answer = answer.withLock { answer in
      answer.trailing = plan.metadata
      return answer
    }
    let message = plan.message.withUnsafeBytes { PercentEncoding.decode($0) }
    var received = RPCError(status.code, message, origin: .peer, metadata: plan.metadata)
    received.initialMetadata = answer.initial
    received.peer = peer
    return received
  }
}
