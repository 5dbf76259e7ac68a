// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import TrunkHTTP2
internal import TrunkSockets

/// How a call on the server is answered: headers, trailers, the one status.
extension ServerStream {
  /// The call's one and only status: OK.
  func answer() {
    guard settle() else { return }
    connection.context.counters.succeeded()
    if !hasResponded { sendHeaders() }
    finishWithTrailers()
  }

  /// The call's one and only status.
  func answer(_ error: RPCError) {
    guard settle() else { return }
    makeAside().status = error
    connection.context.counters.failed()
    // Initial metadata has no place in Trailers-Only.
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
    if isWaiting { connection.leaveQueue(self) }
    aside?.deadlineTimer?.cancel()
    return true
  }

  private var hasInitialMetadata: Bool {
    responseMarks.contains(.initial) && withResponse { !$0.initial.isEmpty }
  }

  /// Ends the call on the library's own account: the handler is told, the client gets the status.
  func fail(_ error: RPCError) {
    let wasRunning = phase == .running
    end(error)
    answer(error)
    if handlerRuns { cancelHandler() }
    if wasRunning && queued > 0 { resetIfStuck() }
  }

  /// Trailers wait behind messages that the client does not read: it gets some time, then a bare
  /// RST_STREAM.
  private func resetIfStuck() {
    // Lives until the stream is closed, as the other one does.
    let timer = LoopTimer(on: loop) { [self] in
      guard phase == .answered, !isLocallyDone else { return }
      reset(HTTP2ErrorCode.cancel)
    }
    timer.schedule(after: ServerStream.trailersGrace)
    let aside = makeAside()
    aside.deadlineTimer?.cancel()
    aside.deadlineTimer = timer
  }
  private static let trailersGrace: Duration = .seconds(1)

  func sendHeaders() {
    hasResponded = true
    let hasInitial = mark(.sent).contains(.initial)
    connection.session.withHeaders { headers in
      headers.add(":status", "200")
      headers.add("content-type", "application/grpc")
      addEncodings(&headers)
      if hasInitial { headers.add(withResponse { $0.initial }) }
    }
    connection.session.respond(self)
  }

  private func sendTrailersOnly() {
    hasResponded = true
    connection.session.withHeaders { headers in
      headers.add(":status", "200")
      headers.add("content-type", "application/grpc")
      writeTrailers(&headers)
    }
    connection.session.respondAndEnd(self)
  }

  func writeTrailers(_ headers: inout HeaderList) {
    if let status = aside?.status {
      headers.add("grpc-status", Array(String(status.code.rawValue).utf8))
      if !status.message.isEmpty {
        headers.add("grpc-message", ServerStream.encode(status.message))
      }
      if aside?.refusesEncoding == true {
        headers.add(
          "grpc-accept-encoding", connection.server.options.acceptedCompression.wireNames)
      }
      // The status has to arrive, whatever it was to bring along.
      if status.metadata.violation() == nil,
        status.metadata.oversize(beside: trailingMetadata) == nil
      {
        headers.add(status.metadata)
      }
    } else {
      headers.add("grpc-status", "0")
    }
    if responseMarks.contains(.trailing) { headers.add(trailingMetadata) }
  }

  private var trailingMetadata: Metadata { withResponse { $0.trailing } }

  /// Percent-encoded, and cut at 4 KiB: the status has to fit into the client's header list.
  private static func encode(_ message: String) -> [UInt8] {
    let limit = 4_096
    let encoded = PercentEncoding.encode(message)
    if encoded.count <= limit { return encoded }
    // Not in the middle of an escape.
    let end = encoded[..<limit].suffix(2).firstIndex(of: UInt8(ascii: "%")) ?? limit
    return Array(encoded[..<end])
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

  func unknownMethod() -> RPCError {
    let isPath = path.withContiguousBytes { MethodPath($0) != nil }
    guard isPath else {
      connection.context.counters.note(.badPath)
      return RPCError(.unimplemented, "malformed method path \(path)")
    }
    return connection.server.methods.hasService(of: path)
      ? RPCError(.unimplemented, "unknown method \(path)")
      : RPCError(.unimplemented, "unknown service of \(path)")
  }

  func startDeadline(_ deadline: UInt64) {
    let timer = LoopTimer(on: loop) { [self] in
      // Trailers, not a bare RST_STREAM: some clients report that as CANCELLED.
      fail(RPCError(.deadlineExceeded, "the call's deadline passed on the server"))
    }
    timer.schedule(at: deadline)
    makeAside().deadlineTimer = timer
  }

  func addInitialMetadata(_ metadata: Metadata) throws(RPCError) {
    try ServerStream.check(metadata)
    if let oversize = metadata.oversize(beside: withResponse { $0.initial }) { throw oversize }
    guard beforeHeaders({ $0.initial.append(contentsOf: metadata) }) else {
      throw RPCError(.failedPrecondition, "the initial metadata of this call is sent already")
    }
  }

  func addTrailingMetadata(_ metadata: Metadata) throws(RPCError) {
    try ServerStream.check(metadata)
    if let oversize = metadata.oversize(beside: withResponse { $0.trailing }) { throw oversize }
    withResponse { $0.trailing.append(contentsOf: metadata) }
    mark(.trailing)
  }

  static func check(_ metadata: Metadata) throws(RPCError) {
    if let violation = metadata.violation() { throw RPCError(.internal, violation) }
  }
}

extension String {
  fileprivate func withContiguousBytes<R>(_ body: (UnsafeRawBufferPointer) -> R) -> R {
    var copy = self
    return copy.withUTF8 { body(UnsafeRawBufferPointer($0)) }
  }
}
