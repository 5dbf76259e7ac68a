// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import DequeModule
internal import Synchronization
internal import TrunkHTTP2
internal import TrunkSockets

/// What a read of a stream comes to.
enum Inbound: Sendable {
  case message(ReceivedMessage)
  case end
  case failed(RPCError)
}

/// One continuation that waits on the loop, with a ticket for its cancellation: the cancellation of
/// a wait may reach the loop before the wait itself.
struct Waiter<Value: Sendable> {
  private var continuation: UnsafeContinuation<Value, Never>?
  private var ticket: UInt64 = 0
  private var cancelled: UInt64 = 0

  var isWaiting: Bool { continuation != nil }

  /// - Returns: whether the wait was cancelled before it began; the continuation is not kept then.
  mutating func wait(_ continuation: UnsafeContinuation<Value, Never>, ticket: UInt64) -> Bool {
    if cancelled == ticket { return true }
    self.continuation = continuation
    self.ticket = ticket
    return false
  }

  mutating func resume(_ value: Value) {
    guard let waiting = continuation else { return }
    continuation = nil
    waiting.resume(returning: value)
  }

  mutating func cancel(ticket: UInt64, _ value: Value) {
    cancelled = ticket
    if self.ticket == ticket { resume(value) }
  }
}

/// What a stream of messages needs and a unary call does not.
final class MessageFlow {
  @exclusivity(unchecked) var inbox = Deque<ReceivedMessage>()
  @exclusivity(unchecked) var reading = Waiter<Inbound>()
  @exclusivity(unchecked) var writing = Waiter<RPCError?>()

  /// Nobody waits, and nothing does.
  var isIdle: Bool { inbox.isEmpty && !reading.isWaiting && !writing.isWaiting }
}

/// Numbers waits, process-wide.
enum WaitTicket {
  private static let last = Atomic<UInt64>(0)
  static func next() -> UInt64 { last.wrappingAdd(1, ordering: .relaxed).newValue }
}

extension ServerStream: MessageSource, MessageSink {
  private static let cancelledWait = RPCError(.cancelled, "the task that waited was cancelled")

  func next() async throws(RPCError) -> [UInt8]? {
    // Buffered messages are taken without suspending.
    if loop.isCurrent, let inbound = take() { return try unwrap(inbound) }
    return try unwrap(await waitForMessage())
  }

  private func waitForMessage() async -> Inbound {
    let ticket = WaitTicket.next()
    return await withTaskCancellationHandler {
      await withUnsafeContinuation { continuation in
        loop.run { self.wait(continuation, ticket) }
      }
    } onCancel: {
      loop.later {
        self.makeFlow().reading.cancel(ticket: ticket, .failed(ServerStream.cancelledWait))
      }
    }
  }

  func send(_ frame: [UInt8]) async throws(RPCError) {
    let frame = try compressed(frame)
    if loop.isCurrent {
      try writeMessage(frame)
      if !isAboveMark { return }
      if let error = await waitToWrite(nil) { throw error }
    } else if let error = await waitToWrite(frame) {
      throw error
    }
  }

  /// - Parameter frame: what is still to be written.
  @inline(never)
  private func waitToWrite(_ frame: OutgoingFrame?) async -> RPCError? {
    let ticket = WaitTicket.next()
    return await withTaskCancellationHandler {
      await withUnsafeContinuation { continuation in
        loop.run { self.waitToWrite(frame, continuation, ticket) }
      }
    } onCancel: {
      loop.later { self.makeFlow().writing.cancel(ticket: ticket, ServerStream.cancelledWait) }
    }
  }

  // MARK: On the loop

  /// A unary call whose interceptors read or write, or wait, comes to one as well.
  func makeFlow() -> MessageFlow {
    if let flow { return flow }
    let flow = MessageFlow()
    self.flow = flow
    return flow
  }

  private var failure: RPCError? { hasFailed ? aside?.failure : nil }

  /// Puts a message on its way, behind the headers.
  func writeMessage(_ frame: OutgoingFrame) throws(RPCError) {
    if hasFailed, let failure { throw failure }
    guard phase == .running else { throw RPCError(.cancelled, "the call has ended") }
    let size = frame.bytes.count - MessageFrame.prefixLength
    let limit = connection.server.options.maxSendMessageSize
    guard size >= 0, size <= limit, size <= Int(UInt32.max) else {
      throw RPCError(.resourceExhausted, "the reply has \(size) bytes, the limit is \(limit)")
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

  /// Nothing more comes or goes: waiting reads and writes end with `error`.
  func end(_ error: RPCError) {
    if !hasFailed { makeAside().failure = error }
    hasFailed = true
    guard let flow else { return }
    flow.inbox = []
    flow.reading.resume(.failed(error))
    flow.writing.resume(error)
  }

  private func take() -> Inbound? {
    if let message = flow?.inbox.popFirst() {
      credit(message.windowSize)
      return .message(message)
    }
    if let failure { return .failed(failure) }
    if phase == .closed { return .failed(RPCError(.cancelled, "the call has ended")) }
    return requestsEnded ? .end : nil
  }

  private func wait(_ continuation: UnsafeContinuation<Inbound, Never>, _ ticket: UInt64) {
    if let inbound = take() { return continuation.resume(returning: inbound) }
    let flow = makeFlow()
    if flow.reading.isWaiting {
      return continuation.resume(
        returning: .failed(RPCError(.failedPrecondition, "two tasks read one stream at once")))
    }
    if flow.reading.wait(continuation, ticket: ticket) {
      continuation.resume(returning: .failed(ServerStream.cancelledWait))
    }
  }

  private func waitToWrite(
    _ frame: OutgoingFrame?, _ continuation: UnsafeContinuation<RPCError?, Never>, _ ticket: UInt64
  ) {
    if let frame {
      do throws(RPCError) { try writeMessage(frame) } catch {
        return continuation.resume(returning: error)
      }
    }
    if let failure { return continuation.resume(returning: failure) }
    guard isAboveMark, isOpen else { return continuation.resume(returning: nil) }
    let flow = makeFlow()
    if flow.writing.isWaiting {
      return continuation.resume(
        returning: RPCError(.failedPrecondition, "two tasks write one stream at once"))
    }
    if flow.writing.wait(continuation, ticket: ticket) {
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
  // Bytes go back to the client's window as the handler takes messages. Those of a message still
  // being assembled go back at once while nothing complete is waiting, or a message larger than the
  // window could never arrive.

  func creditReceived() {
    if flow?.inbox.isEmpty ?? true { creditAll() }
  }

  func creditAll() {
    consume(outstanding)
    outstanding = 0
  }

  private func credit(_ bytes: Int) {
    if flow?.inbox.isEmpty ?? true { return creditAll() }
    let returned = min(bytes, outstanding)
    outstanding -= returned
    consume(returned)
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
