// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import Logging
internal import Synchronization
internal import TrunkHTTP2
internal import TrunkSockets

/// The response of a call on the server: headers, trailers, the status.
extension ServerStream {
  /// Sends the call's only status: OK.
  func answer() {
    guard settle() else { return }
    connection.context.counters.succeeded()
    if !hasResponded { sendHeaders() }
    finishWithTrailers()
  }

  /// Sends the call's only status.
  func answer(_ error: RPCError) {
    guard settle() else { return }
    makeColdState().status = error
    connection.context.counters.failed()
    // Trailers-Only has no initial metadata (PROTOCOL-HTTP2.md, Responses).
    if hasResponded || hasInitialMetadata {
      if !hasResponded { sendHeaders() }
      finishWithTrailers()
    } else {
      sendTrailersOnly()
    }
    creditAll()
  }

  private func settle() -> Bool {
    guard phase != .answered, phase != .closed else { return false }
    phase = .answered
    if isWaiting { connection.context.scheduler.removeWaiting(self) }
    coldState?.deadlineTimer?.cancel()
    return true
  }

  private var hasInitialMetadata: Bool {
    responseMarks.contains(.initial) && withResponse { !$0.initial.isEmpty }
  }

  /// Ends the call by the library: the handler is cancelled, the client gets the status.
  func fail(_ error: RPCError) {
    let wasRunning = phase == .running
    end(error)
    answer(error)
    if handlerRuns { cancelHandler() }
    if wasRunning && queued > 0 { resetIfStuck() }
  }

  /// Trailers wait behind messages that the client does not read: after a timeout it gets a bare
  /// RST_STREAM.
  private func resetIfStuck() {
    // Released when the stream is closed.
    let timer = LoopTimer(on: loop) { [self] in
      guard phase == .answered, !isLocallyDone else { return }
      reset(HTTP2ErrorCode.cancel)
    }
    timer.schedule(after: ServerStream.trailersGrace)
    let coldState = makeColdState()
    coldState.deadlineTimer?.cancel()
    coldState.deadlineTimer = timer
  }
  private static let trailersGrace: Duration = .seconds(1)

  func sendHeaders() {
    hasResponded = true
    let hasInitial = mark(.sent).contains(.initial)
    connection.session.withHeaders { headers in
      headers.add(":status", "200")
      addContentType(&headers)
      addEncodings(&headers)
      if hasInitial { headers.add(withResponse { $0.initial }) }
    }
    connection.session.respond(self)
  }

  private func sendTrailersOnly() {
    hasResponded = true
    connection.session.withHeaders { headers in
      headers.add(":status", "200")
      addContentType(&headers)
      writeTrailers(&headers)
    }
    connection.session.respondAndEnd(self)
  }

  /// The request's content-type (PROTOCOL-HTTP2.md, Responses).
  private func addContentType(_ headers: inout HeaderList) {
    if requestSaysProto {
      headers.add("content-type", "application/grpc+proto")
    } else {
      headers.add("content-type", "application/grpc")
    }
  }

  func writeTrailers(_ headers: inout HeaderList) {
    var trailing = responseMarks.contains(.trailing) ? withResponse { $0.trailing } : Metadata()
    if responseMarks.contains(.load) || connection.server.options.loadRecorder != nil {
      addLoadReport(to: &trailing)
    }
    guard let status = coldState?.status else {
      headers.add("grpc-status", "0")
      headers.add(trailing)
      return
    }
    let plan = TrailerPlan(
      status, trailing: trailing, limit: connection.session.peerHeaderListLimit)
    headers.add("grpc-status", Array(String(status.code.rawValue).utf8))
    if !plan.message.isEmpty { headers.add("grpc-message", plan.message) }
    if coldState?.refusesEncoding == true {
      headers.add("grpc-accept-encoding", connection.server.options.acceptedCompression.wireNames)
    }
    headers.add(plan.metadata)
    if !plan.leftOut.isEmpty {
      connection.server.logger.warning(
        "not all of a status can be sent",
        metadata: [
          "method": "\(methodName)", "peer": "\(peer)", "status": "\(status.code)",
          "left out": "\(plan.leftOut.joined(separator: "; "))",
        ])
    }
  }

  func answerHTTP(_ problem: RequestHead.HTTPProblem) {
    phase = .answered
    connection.context.counters.note(.badHeader)
    connection.session.withHeaders { headers in
      headers.add(":status", Array(String(problem.status).utf8))
      if problem.status == 405 { headers.add("allow", "POST") }
    }
    connection.session.respondAndEnd(self)
    creditAll()
  }

  /// The error of a call without a method; counts a path that is malformed.
  func unknownMethod() -> (error: RPCError, isMalformed: Bool) {
    let isPath = path.withContiguousBytes { MethodPath($0) != nil }
    guard isPath else {
      connection.context.counters.note(.badPath)
      return (RPCError(.unimplemented, "malformed method path \(path)"), true)
    }
    return (connection.server.methods.unknownMethod(path), false)
  }

  func startDeadline(_ deadline: UInt64) {
    let timer = LoopTimer(on: loop) { [self] in
      // Trailers, not a bare RST_STREAM: some clients report that as CANCELLED.
      fail(RPCError(.deadlineExceeded, "the call's deadline passed on the server"))
    }
    timer.schedule(at: deadline)
    makeColdState().deadlineTimer = timer
  }

  /// At debug level.
  @inline(never)
  func logEnd(_ reason: StreamCloseReason, _ wasAnswered: Bool) {
    let error =
      wasAnswered ? coldState?.status : RPCError(.cancelled, "closed before its answer: \(reason)")
    connection.server.log.callEnded(method: methodName, peer: peer, error)
  }

  func addInitialMetadata(_ metadata: Metadata) throws(RPCError) {
    let metadata = try metadata.checked(.initial, connection.server.logger)
    try check(metadata, beside: withResponse { $0.initial })
    guard beforeHeaders({ $0.initial.append(contentsOf: metadata) }) else {
      throw RPCError(.failedPrecondition, "the initial metadata of this call is sent already")
    }
  }

  func addTrailingMetadata(_ metadata: Metadata) throws(RPCError) {
    let metadata = try metadata.checked(.trailers, connection.server.logger)
    try check(metadata, beside: withResponse { $0.trailing })
    withResponse { $0.trailing.append(contentsOf: metadata) }
    mark(.trailing)
  }

  /// Throws if the client's limit does not allow it; on any thread.
  private func check(_ metadata: Metadata, beside sent: Metadata) throws(RPCError) {
    if let oversize = metadata.oversize(beside: sent) { throw oversize }
    let limit = connection.headerListLimit.load(ordering: .relaxed)
    if let oversize = metadata.oversize(for: limit, beside: sent) { throw oversize }
  }

  func sendInitialMetadata() {
    loop.run { [self] in
      guard phase == .running, !hasResponded else { return }
      sendHeaders()
    }
  }
}

extension String {
  fileprivate func withContiguousBytes<R>(_ body: (UnsafeRawBufferPointer) -> R) -> R {
    var copy = self
    return copy.withUTF8 { body(UnsafeRawBufferPointer($0)) }
  }
}
