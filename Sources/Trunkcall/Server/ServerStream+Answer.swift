// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import TrunkHTTP2
internal import TrunkSockets

/// How a call on the server is answered: headers, trailers, the one status.
extension ServerStream {
  /// The call's one and only status; nil is OK.
  func answer(_ error: RPCError?) {
    guard phase != .answered, phase != .closed else { return }
    phase = .answered
    if isWaiting { connection.leaveQueue(self) }
    status = error
    deadlineTimer?.cancel()
    connection.context.counters.ended(error)
    // Initial metadata has no place in Trailers-Only.
    if error == nil || headersSent || hasInitialMetadata {
      if !headersSent { sendHeaders() }
      stream.finishWithTrailers()
    } else {
      sendTrailersOnly()
    }
    if error != nil { creditAll() }
  }

  private var hasInitialMetadata: Bool {
    responseMarks.contains(.initial) && withResponse { !$0.initial.isEmpty }
  }

  /// Ends the call on the library's own account: the handler is told, the client gets the status.
  func fail(_ error: RPCError) {
    let wasRunning = phase == .running
    end(error)
    answer(error)
    task?.cancel()
    if wasRunning && stream.queued > 0 { resetIfStuck() }
  }

  /// Trailers wait behind messages that the client does not read: it gets some time, then a bare
  /// RST_STREAM.
  private func resetIfStuck() {
    let timer = LoopTimer(on: loop) { [weak self] in
      guard let self, self.phase == .answered, !self.stream.isLocallyDone else { return }
      self.stream.reset(HTTP2ErrorCode.cancel)
    }
    timer.schedule(after: ServerStream.trailersGrace)
    deadlineTimer?.cancel()
    deadlineTimer = timer
  }
  private static let trailersGrace: Duration = .seconds(1)

  func sendHeaders() {
    headersSent = true
    let session = connection.session
    session.headers.add(":status", "200")
    session.headers.add("content-type", "application/grpc")
    let hasInitial = mark(.sent).contains(.initial)
    let metadata = hasInitial ? withResponse { $0.initial } : nil
    addEncodings(&session.headers)
    if let metadata { session.headers.add(metadata) }
    session.respond(stream)
  }

  private func sendTrailersOnly() {
    headersSent = true
    let session = connection.session
    session.headers.add(":status", "200")
    session.headers.add("content-type", "application/grpc")
    addTrailers(&session.headers)
    session.respondAndEnd(stream)
  }

  func addTrailers(_ headers: inout HeaderList) {
    if let status {
      headers.add("grpc-status", Array(String(status.code.rawValue).utf8))
      if !status.message.isEmpty {
        headers.add("grpc-message", ServerStream.encode(status.message))
      }
      if refusesEncoding {
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
    let session = connection.session
    session.headers.add(":status", Array(String(problem.status).utf8))
    if problem.status == 405 { session.headers.add("allow", "POST") }
    session.respondAndEnd(stream)
    creditAll()
  }

  func unknownMethod() -> RPCError {
    let isPath = request.path.withContiguousBytes { MethodPath($0) != nil }
    guard isPath else {
      connection.context.counters.note(.badPath)
      return RPCError(.unimplemented, "malformed method path \(request.path)")
    }
    return connection.server.methods.hasService(of: request.path)
      ? RPCError(.unimplemented, "unknown method \(request.path)")
      : RPCError(.unimplemented, "unknown service of \(request.path)")
  }

  func startDeadline(_ deadline: UInt64) {
    let timer = LoopTimer(on: loop) { [weak self] in
      // Trailers, not a bare RST_STREAM: some clients report that as CANCELLED.
      self?.fail(RPCError(.deadlineExceeded, "the call's deadline passed on the server"))
    }
    timer.schedule(at: deadline)
    deadlineTimer = timer
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
