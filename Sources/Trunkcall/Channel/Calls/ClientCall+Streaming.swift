// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import DequeModule
internal import TrunkHTTP2
internal import TrunkWire

/// What a reader of a call is resumed with.
enum Received: Sendable {
  case one(ReceivedMessage)
  /// Several messages that had already come, for a reader on another thread.
  case many([ReceivedMessage])
  case end
  case failed(RPCError)
  case metadata(Metadata)
}

/// The operations of a streaming call, on the call's loop.
extension ClientCall {
  /// Bytes of messages that are handed at once to a reader on another thread.
  static let batchSize = 64 * 1024

  // MARK: Messages in

  /// The next message or the end, if it has come; nil if the reader has to wait.
  func takeOne() -> Received? {
    guard let message = inbound.popFirst() else { return ending() }
    credit(message.windowSize)
    return .one(message)
  }

  func takeBatch() -> Received? {
    guard let first = inbound.popFirst() else { return ending() }
    var bytes = first.windowSize
    guard !inbound.isEmpty, bytes < ClientCall.batchSize else {
      credit(bytes)
      return .one(first)
    }
    var batch = [first]
    while bytes < ClientCall.batchSize, let next = inbound.popFirst() {
      batch.append(next)
      bytes += next.windowSize
    }
    credit(bytes)
    return .many(batch)
  }

  func waitForMessage(_ waiter: UnsafeContinuation<Received, Never>) {
    if let received = takeBatch() { return waiter.resume(returning: received) }
    guard messageWaiter == nil else {
      return waiter.resume(
        returning: .failed(RPCError(.failedPrecondition, "two tasks read one stream at once")))
    }
    messageWaiter = waiter
  }

  func wakeReader() {
    guard let waiter = messageWaiter, let received = takeBatch() else { return }
    messageWaiter = nil
    waiter.resume(returning: received)
  }

  private func ending() -> Received? {
    switch outcome {
    case .ok: .end
    case .failed(let error): .failed(error)
    case nil: nil
    }
  }

  /// The application took `count` bytes: as many are added to the window (RFC 9113 §6.9), not
  /// before.
  private func credit(_ count: Int) {
    // When only an unfinished message is left, the rest of it needs window to arrive.
    let due = inbound.isEmpty ? uncreditedBytes : min(count, uncreditedBytes)
    uncreditedBytes -= due
    stream?.consume(due)
  }

  // MARK: Metadata in

  func waitForHeaders(_ waiter: UnsafeContinuation<Received, Never>) {
    guard let headers else { return headersWaiters.append(waiter) }
    waiter.resume(returning: headers)
  }

  var headers: Received? {
    if response.phase == .messages { return .metadata(response.initialMetadata) }
    switch outcome {
    case .ok: return .metadata(response.initialMetadata)
    // A call that failed after its headers had initial metadata.
    case .failed(let error):
      return response.hadHeaders ? .metadata(response.initialMetadata) : .failed(error)
    case nil: return nil
    }
  }

  func wakeHeadersWaiters() {
    guard !headersWaiters.isEmpty, let headers else { return }
    let waiters = headersWaiters
    headersWaiters = []
    for waiter in waiters { waiter.resume(returning: headers) }
  }

  // MARK: Messages out

  /// Queues a frame.
  /// - Returns: whether the writer should wait for room.
  func enqueue(_ frame: [UInt8]) throws(RPCError) -> Bool {
    switch outcome {
    case .failed(let error): throw error
    case .ok: return false  // the server ended without the rest; its replies are to be read
    case nil: break
    }
    if let refusal = refusal(of: frame) {
      abort(refusal)
      throw refusal
    }
    if case .hedged(let hedged) = policy, !hedged.isTakenOver {
      return hedged.write(frame, self)
    }
    keep(frame)
    if let stream {
      stream.write(frame)
      return stream.isAboveMark
    }
    return keptBytes > HTTP2Stream.writeMark
  }

  func waitForRoom(_ waiter: UnsafeContinuation<RPCError?, Never>) {
    if case .failed(let error) = outcome { return waiter.resume(returning: error) }
    // Up to the commit the buffer's limit bounds what is written.
    if case .hedged(let hedged) = policy, !hedged.isTakenOver {
      return waiter.resume(returning: nil)
    }
    let mustWait = stream.map(\.isAboveMark) ?? (keptBytes > HTTP2Stream.writeMark)
    guard mustWait, outcome == nil else { return waiter.resume(returning: nil) }
    sendWaiters.append(waiter)
  }

  func wakeSenders(_ error: RPCError?) {
    guard !sendWaiters.isEmpty else { return }
    let waiters = sendWaiters
    sendWaiters = []
    for waiter in waiters { waiter.resume(returning: error) }
  }

  func endRequests() {
    guard !requestsEnded else { return }
    requestsEnded = true
    stream?.finish()
    if case .hedged(let hedged) = policy { hedged.finish() }
  }

  /// Frames are kept for a transparent retry (gRFC A6): without limit while none was sent (the
  /// stream's queue has them anyway), then up to the channel's limit.
  func keep(_ frame: [UInt8]) {
    guard canReplay else { return }
    keptBytes += frame.count
    reserve(frame.count)
    if stream?.headersSent == true, keptBytes > context.settings.maxRetryBufferSize {
      stopReplay()
    } else if firstFrame == nil {
      firstFrame = frame
    } else {
      moreFrames.append(frame)
    }
  }
}
