// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import Logging
internal import TrunkDiscovery
internal import TrunkHTTP2
internal import TrunkSockets
internal import TrunkWire

// Events of the stream, on the connection's loop.
extension ClientCall {
  func header(_ name: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) {
    guard outcome == nil, !response.header(name, value) else { return }
    context.settings.logger.debug(
      "a header of the response is ignored: its name is reserved, or its value is not base64",
      metadata: ["name": "\(String(decoding: name.prefix(64), as: UTF8.self))"])
  }

  func headersEnded(endStream: Bool, tooLarge: Bool) {
    connection?.frameReceived()
    guard outcome == nil else { return }
    if tooLarge {
      return abort(
        RPCError(.resourceExhausted, "the response's header list is larger than the limit"))
    }
    switch response.blockEnded(endStream: endStream) {
    case .interim: break
    case .headers:
      commit()
      wakeHeadersWaiters()
    case .ok: settle(completed())
    case .failed(let error): attemptFailed(afterDeadline(error))
    }
  }

  func data(_ bytes: UnsafeRawBufferPointer) {
    connection?.frameReceived()
    guard outcome == nil, response.phase == .messages else {
      stream?.consume(bytes.count)
      return
    }
    uncreditedBytes += bytes.count
    var unreadable = false
    do throws(FramingError) {
      try reader.receive(bytes) { payload, isCompressed in
        if !isCompressed {
          take(ReceivedMessage(payload, .identity))
        } else if response.compression != .identity,
          context.settings.acceptedCompression.accepts(response.compression)
        {
          take(ReceivedMessage(payload, response.compression))
        } else {
          unreadable = true
        }
      }
    } catch {
      return settle(.failed(error.rpcError))
    }
    if unreadable {
      return settle(.failed(response.compressedMessage(context.settings.acceptedCompression)))
    }
    if isUnary || inbound.isEmpty {
      // No complete message is waiting: the peer needs window for the rest of the one under way.
      stream?.consume(uncreditedBytes)
      uncreditedBytes = 0
    }
    wakeReader()
  }

  func ended() {
    guard outcome == nil, policyRetries?.pending == nil else { return }
    settle(.failed(afterDeadline(ResponseState.missingStatus)))
  }

  func writable() { wakeSenders(nil) }

  func closed(_ reason: StreamCloseReason) {
    let connection = connection
    self.connection = nil
    stream = nil
    if outcome != nil {
      report(connection)
    } else if let delay = policyRetries?.pending {
      report(connection)
      connection?.callEnded(isOK: false, began: attemptBegan)
      return retry(after: delay)
    } else if retries(reason, connection) {
      report(connection)
      connection?.callEnded(isOK: false, began: attemptBegan)
      return pickAgain()
    } else {
      attemptFailed(afterDeadline(status(reason, connection)))
      report(connection)
    }
    connection?.callEnded(isOK: isOK, began: attemptBegan)
  }

  private var isOK: Bool { if case .ok = outcome { true } else { false } }

  private func take(_ message: ReceivedMessage) {
    guard outcome == nil else { return }
    if !isUnary {
      inbound.append(message)
    } else if reply == nil {
      reply = message
    } else {
      abort(RPCError(.unimplemented, "the server sent more than the one message that is due"))
    }
  }

  /// gRFC A6: response headers commit the call; nothing is sent again.
  private func commit() {
    stopReplay()
    if case .hedge(let attempt) = policy { attempt.answered() }
  }

  /// Nothing is sent again: what was kept for that is freed.
  func stopReplay() {
    canReplay = false
    firstFrame = nil
    moreFrames = []
    releaseReserved()
  }

  private func completed() -> Outcome {
    if reader.isMidMessage {
      return .failed(RPCError(.internal, "the server ended the call in the middle of a message"))
    }
    if isUnary, reply == nil {
      return .failed(
        RPCError(.unimplemented, "the server sent no message where one is due"))
    }
    return .ok
  }

  private func retries(_ reason: StreamCloseReason, _ connection: ClientConnection?) -> Bool {
    guard canReplay, response.phase == .headers else { return false }
    switch reason {
    case .notSent:
      // A connection that still takes calls has refused this one: no retry.
      return connection?.isTakingCalls == false
    case .refused:
      defer { wasRefused = true }
      return !wasRefused
    case .code, .refusedHere, .connectionLost: return false
    }
  }

  private func status(_ reason: StreamCloseReason, _ connection: ClientConnection?) -> RPCError {
    let peer = peer ?? "the server"
    switch reason {
    case .connectionLost:
      // statuscodes.md: a violation of framing or flow control is INTERNAL.
      return RPCError(
        connection?.wasViolated == true ? .internal : .unavailable,
        "\(peer): \(connection?.failure ?? "connection lost")")
    case .notSent: return RPCError(.unavailable, "\(peer): the call could not be sent")
    case .refused: return RPCError(.unavailable, "\(peer) refused the call")
    case .refusedHere(let why):
      return RPCError(.internal, "\(peer): this side refused the response: \(why)")
    case .code(let code):
      return RPCError(
        RPCError.Code(resetCode: code),
        "\(peer) reset the stream with \(HTTP2ErrorCode.name(code))")
    }
  }

  /// statuscodes.md: CANCELLED that arrives after the deadline is reported as DEADLINE_EXCEEDED.
  private func afterDeadline(_ error: RPCError) -> RPCError {
    guard error.code == .cancelled, deadline != .max, deadline <= Clock.now() else { return error }
    return RPCError(.deadlineExceeded, "the deadline has passed")
  }

  /// Tells the policy how the attempt ended.
  /// - Parameter neverSent: no connection has taken it, and it is picked for again.
  func report(_ connection: ClientConnection?, neverSent: Bool = false) {
    guard token != nil || observer != nil else { return }
    var code: RPCError.Code?
    switch outcome {
    case .ok: code = nil
    case .failed(let error): code = error.code
    case nil: code = policyRetries?.lastCode ?? .unavailable
    }
    let now = max(Clock.now(), attemptBegan)
    if let observer {
      self.observer = nil
      var ended = CallOutcome(
        code: code, began: attemptBegan, ended: now, trailingMetadata: response.trailingMetadata)
      var isInconclusive = neverSent
      if case .hedge(let attempt) = policy, attempt.isSuperseded { isInconclusive = true }
      if isInconclusive {
        ended.isInconclusive = true
        ended.code = .cancelled
      }
      observer.callEnded(ended)
    }
    if let token, let connection {
      self.token = nil
      connection.note(
        PickOutcome(
          subchannel: subchannel, token: token, code: code,
          latency: .nanoseconds(Int64(clamping: now - attemptBegan)),
          trailingMetadata: response.trailingMetadata))
    }
  }
}
