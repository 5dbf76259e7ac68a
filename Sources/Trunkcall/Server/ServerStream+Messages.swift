// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import DequeModule
internal import TrunkHTTP2
internal import TrunkSockets

/// The result of a read of a stream.
enum Inbound: Sendable {
  case message(ReceivedMessage)
  case end
  case failed(RPCError)
}

extension ServerStream: MessageSource, MessageSink {
  private static let cancelledWait = RPCError(.cancelled, "the task that waited was cancelled")
  private static let twoReaders = RPCError(
    .failedPrecondition, "two tasks read one stream at once")
  private static let twoWriters = RPCError(
    .failedPrecondition, "two tasks write one stream at once")

  func next() async throws(RPCError) -> [UInt8]? {
    // Buffered messages are taken without suspending.
    if loop.isCurrent, let inbound = take() { return try unwrap(inbound) }
    return try unwrap(await waitForMessage())
  }

  // On the loop the closures of a wait capture the stream only, and allocate nothing.

  private func waitForMessage() async -> Inbound {
    guard loop.isCurrent else { return await waitForMessageElsewhere() }
    guard makeFlow().reading.begin(connection.context.nextWait()) else {
      return .failed(ServerStream.twoReaders)
    }
    return await withTaskCancellationHandler {
      await withUnsafeContinuation { self.wait($0) }
    } onCancel: {
      self.cancelReading()
    }
  }

  @inline(never)
  private func waitForMessageElsewhere() async -> Inbound {
    let ticket = WaitTicket()
    return await withTaskCancellationHandler {
      await withUnsafeContinuation { continuation in
        loop.run { self.wait(continuation, ticket) }
      }
    } onCancel: {
      ticket.cancel()
      cancelReading(ticket.number)
    }
  }

  private func cancelReading() {
    if let flow { cancelReading(flow.reading.current) }
  }

  private func cancelReading(_ wait: UInt32) {
    loop.later { self.makeFlow().reading.cancel(wait, .failed(ServerStream.cancelledWait)) }
  }

  func send(_ frame: [UInt8]) async throws(RPCError) {
    let frame = try compressed(frame)
    if loop.isCurrent {
      try writeMessage(frame)
      if !isAboveMark { return }
      if let error = await waitForRoom() { throw error }
    } else if let error = await waitToWrite(frame) {
      throw error
    }
  }

  /// On the loop.
  @inline(never)
  private func waitForRoom() async -> RPCError? {
    guard makeColdState().writing.begin(connection.context.nextWait()) else {
      return ServerStream.twoWriters
    }
    return await withTaskCancellationHandler {
      await withUnsafeContinuation { self.waitForRoom($0) }
    } onCancel: {
      self.cancelWriting()
    }
  }

  @inline(never)
  private func waitToWrite(_ frame: OutgoingFrame) async -> RPCError? {
    let ticket = WaitTicket()
    return await withTaskCancellationHandler {
      await withUnsafeContinuation { continuation in
        loop.run { self.waitToWrite(frame, continuation, ticket) }
      }
    } onCancel: {
      ticket.cancel()
      cancelWriting(ticket.number)
    }
  }

  private func cancelWriting() {
    if let coldState { cancelWriting(coldState.writing.current) }
  }

  private func cancelWriting(_ wait: UInt32) {
    loop.later { self.makeColdState().writing.cancel(wait, ServerStream.cancelledWait) }
  }

  // MARK: On the loop

  /// Also made for a unary call whose interceptors read, write or wait.
  func makeFlow() -> MessageFlow {
    if let flow { return flow }
    let flow = MessageFlow()
    self.flow = flow
    return flow
  }

  private var failure: RPCError? { hasFailed ? coldState?.failure : nil }

  /// Queues a message, after the headers.
  func writeMessage(_ frame: OutgoingFrame) throws(RPCError) {
    if hasFailed, let failure { throw failure }
    guard phase == .running else { throw RPCError(.cancelled, "the call has ended") }
    let size = frame.bytes.count - MessageFrame.prefixLength
    let limit = connection.server.options.maxSendMessageSize
    guard size >= 0, size <= limit, size <= Int(UInt32.max) else {
      throw RPCError(.resourceExhausted, "the response has \(size) bytes, the limit is \(limit)")
    }
    let bytes = frame.isSealed ? frame.bytes : MessageFrame.sealed(frame.bytes)
    if !hasResponded { sendHeaders() }
    method?.replies.note(size)
    if reserved > 0 { releaseReservation() }
    write(bytes)
  }

  func deliver(_ message: ReceivedMessage) {
    let flow = makeFlow()
    if flow.reading.isWaiting {
      flow.reading.resume(.message(message))
    } else {
      flow.inbox.append(message)
    }
  }

  func endRequests() {
    if let flow, flow.inbox.isEmpty { flow.reading.resume(.end) }
  }

  /// Ends both directions: waiting reads and writes end with `error`.
  func end(_ error: RPCError) {
    if !hasFailed { makeColdState().failure = error }
    hasFailed = true
    if let flow {
      flow.inbox = []
      flow.reading.resume(.failed(error))
    }
    coldState?.writing.resume(error)
  }

  private func take() -> Inbound? {
    if let message = flow?.inbox.popFirst() {
      credit(message.windowSize)
      return .message(message)
    }
    if let failure { return .failed(failure) }
    if phase == .closed { return .failed(RPCError(.cancelled, "the call has ended")) }
    return isRemotelyDone ? .end : nil
  }

  /// - Parameter ticket: nil for a wait on the loop, which has begun.
  private func wait(
    _ continuation: UnsafeContinuation<Inbound, Never>, _ ticket: WaitTicket? = nil
  ) {
    if let inbound = take() { return continuation.resume(returning: inbound) }
    let flow = makeFlow()
    if flow.reading.isWaiting {
      return continuation.resume(returning: .failed(ServerStream.twoReaders))
    }
    guard let ticket else { return flow.reading.wait(continuation, flow.reading.current) }
    if flow.reading.wait(continuation, ticket) {
      continuation.resume(returning: .failed(ServerStream.cancelledWait))
    }
  }

  private func waitToWrite(
    _ frame: OutgoingFrame, _ continuation: UnsafeContinuation<RPCError?, Never>,
    _ ticket: WaitTicket
  ) {
    do throws(RPCError) { try writeMessage(frame) } catch {
      return continuation.resume(returning: error)
    }
    waitForRoom(continuation, ticket)
  }

  private func waitForRoom(
    _ continuation: UnsafeContinuation<RPCError?, Never>, _ ticket: WaitTicket? = nil
  ) {
    if let failure { return continuation.resume(returning: failure) }
    guard isAboveMark, isOpen else { return continuation.resume(returning: nil) }
    let coldState = makeColdState()
    if coldState.writing.isWaiting {
      return continuation.resume(returning: ServerStream.twoWriters)
    }
    guard let ticket else { return coldState.writing.wait(continuation, coldState.writing.current) }
    if coldState.writing.wait(continuation, ticket) {
      continuation.resume(returning: ServerStream.cancelledWait)
    }
  }

  private func unwrap(_ inbound: Inbound) throws(RPCError) -> [UInt8]? {
    switch inbound {
    case .message(let message): return try opened(message)
    case .end: return nil
    case .failed(let error): throw error
    }
  }

  // MARK: Window credit
  //
  // Bytes are added to the client's window as the handler takes messages (RFC 9113 §6.9). Those of
  // an unfinished message are added at once while nothing complete is waiting; otherwise a message
  // larger than the window could never arrive.

  func creditReceived() {
    if flow?.inbox.isEmpty ?? true { creditAll() }
  }

  func creditAll() {
    consumeAll()
  }

  private func credit(_ bytes: Int) {
    if flow?.inbox.isEmpty ?? true { return creditAll() }
    consume(bytes)
  }
}

/// The request of a unary call, for interceptors.
final class OneMessage: MessageSource {
  private let message: Locked<[UInt8]?>
  init(_ payload: [UInt8]) { message = Locked(payload) }

  func next() async throws(RPCError) -> [UInt8]? {
    message.withLock { message in
      defer { message = nil }
      return message
    }
  }
}
