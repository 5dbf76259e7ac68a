// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import DequeModule
internal import TrunkSockets

/// One direction of a call within the process: payloads in order, a writer that waits while too
/// many bytes are unread, one end.
///
/// ```
///   open ── finish() ──► ended          what was written before is still read
///     └──── fail(_:) ──► failed         what was not read is dropped
/// ```
/// Continuations are resumed after the lock is released, see ``StreamWaiter/take()``.
final class MessagePipe: Sendable {
  private enum End: Sendable {
    case open
    case ended
    case failed(RPCError)
  }
  private struct State: ~Copyable, Sendable {
    var queue = Deque<[UInt8]>()
    var bytes = 0
    var end = End.open
    var reading = StreamWaiter<Inbound>()
    var writing = StreamWaiter<RPCError?>()
  }
  private let state = Locked(State())
  private typealias Reader = UnsafeContinuation<Inbound, Never>
  private typealias Writer = UnsafeContinuation<RPCError?, Never>

  /// Unread bytes above which a writer waits, as for a stream of a connection.
  private static let mark = 64 << 10
  private static let cancelledWait = RPCError(.cancelled, "the task that waited was cancelled")
  private static let twoReaders = RPCError(
    .failedPrecondition, "two tasks read one stream at once")
  private static let twoWriters = RPCError(
    .failedPrecondition, "two tasks write one stream at once")

  // MARK: Writing

  /// Returns once no more than ``mark`` bytes are unread.
  func send(_ payload: [UInt8]) async throws(RPCError) {
    let (reader, isFull) = try state.withLock { state throws(RPCError) -> (Reader?, Bool) in
      switch state.end {
      case .failed(let error): throw error
      // As on a connection: written messages are dropped after the end.
      case .ended: return (nil, false)
      case .open: break
      }
      let reader = state.reading.take()
      if reader == nil {
        state.queue.append(payload)
        state.bytes += payload.count
      }
      return (reader, state.bytes > MessagePipe.mark)
    }
    reader?.resume(returning: .message(payload))
    if isFull { try await waitForRoom() }
  }

  func finish() {
    let reader = state.withLock { state -> Reader? in
      guard case .open = state.end else { return nil }
      state.end = .ended
      return state.queue.isEmpty ? state.reading.take() : nil
    }
    reader?.resume(returning: .end)
  }

  /// The reader has ended without an error: unread payloads are dropped, writers return.
  func close() {
    let (reader, writer) = state.withLock { state -> (Reader?, Writer?) in
      if case .failed = state.end { return (nil, nil) }
      state.end = .ended
      state.queue = []
      state.bytes = 0
      return (state.reading.take(), state.writing.take())
    }
    reader?.resume(returning: .end)
    writer?.resume(returning: nil)
  }

  /// Only the first call has an effect.
  func fail(_ error: RPCError) {
    let (reader, writer) = state.withLock { state -> (Reader?, Writer?) in
      if case .failed = state.end { return (nil, nil) }
      if case .ended = state.end, state.queue.isEmpty { return (nil, nil) }
      state.end = .failed(error)
      state.queue = []
      state.bytes = 0
      return (state.reading.take(), state.writing.take())
    }
    reader?.resume(returning: .failed(error))
    writer?.resume(returning: error)
  }

  private func waitForRoom() async throws(RPCError) {
    let ticket = WaitTicket()
    let error = await withTaskCancellationHandler {
      await withUnsafeContinuation { (continuation: Writer) in
        let (waits, error) = state.withLock { state -> (Bool, RPCError?) in
          if case .failed(let error) = state.end { return (false, error) }
          if state.bytes <= MessagePipe.mark { return (false, nil) }
          if state.writing.isWaiting { return (false, MessagePipe.twoWriters) }
          let isCancelled = state.writing.wait(continuation, ticket)
          return (!isCancelled, isCancelled ? MessagePipe.cancelledWait : nil)
        }
        if !waits { continuation.resume(returning: error) }
      }
    } onCancel: {
      ticket.cancel()
      let writer = state.withLock { $0.writing.take(ticket.number) }
      writer?.resume(returning: MessagePipe.cancelledWait)
    }
    if let error { throw error }
  }

  // MARK: Reading

  /// The next payload; nil after the last one.
  func next() async throws(RPCError) -> [UInt8]? {
    let inbound: Inbound
    if let ready = take() { inbound = ready } else { inbound = await wait() }
    switch inbound {
    case .message(let message): return message.payload
    case .end: return nil
    case .failed(let error): throw error
    }
  }

  /// What can be read now; nil for nothing.
  private func take() -> Inbound? {
    let (inbound, writer) = state.withLock { MessagePipe.take(&$0) }
    writer?.resume(returning: nil)
    return inbound
  }

  /// - Returns: what can be read now, and a writer that has room again.
  private static func take(_ state: inout State) -> (Inbound?, Writer?) {
    if let payload = state.queue.popFirst() {
      state.bytes -= payload.count
      return (.message(payload), state.bytes <= mark / 2 ? state.writing.take() : nil)
    }
    switch state.end {
    case .open: return (nil, nil)
    case .ended: return (.end, nil)
    case .failed(let error): return (.failed(error), nil)
    }
  }

  private func wait() async -> Inbound {
    let ticket = WaitTicket()
    return await withTaskCancellationHandler {
      await withUnsafeContinuation { (continuation: Reader) in
        let (inbound, writer) = state.withLock { state -> (Inbound?, Writer?) in
          let (ready, writer) = MessagePipe.take(&state)
          if ready != nil { return (ready, writer) }
          if state.reading.isWaiting { return (.failed(MessagePipe.twoReaders), nil) }
          let isCancelled = state.reading.wait(continuation, ticket)
          return (isCancelled ? .failed(MessagePipe.cancelledWait) : nil, nil)
        }
        writer?.resume(returning: nil)
        if let inbound { continuation.resume(returning: inbound) }
      }
    } onCancel: {
      ticket.cancel()
      let reader = state.withLock { $0.reading.take(ticket.number) }
      reader?.resume(returning: .failed(MessagePipe.cancelledWait))
    }
  }
}

extension Inbound {
  fileprivate static func message(_ payload: [UInt8]) -> Inbound {
    .message(ReceivedMessage(payload, .identity))
  }
}
