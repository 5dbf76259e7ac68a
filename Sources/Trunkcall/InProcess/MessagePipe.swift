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

  /// Unread bytes above which a writer waits, as for a stream of a connection.
  private static let mark = 64 << 10
  private static let cancelledWait = RPCError(.cancelled, "the task that waited was cancelled")

  // MARK: Writing

  /// Returns once no more than ``mark`` bytes are unread.
  func send(_ payload: [UInt8]) async throws(RPCError) {
    let isFull = try state.withLock { state throws(RPCError) in
      switch state.end {
      case .failed(let error): throw error
      // As on a connection: written messages are dropped after the end.
      case .ended: return false
      case .open: break
      }
      if state.reading.isWaiting {
        state.reading.resume(.message(payload))
      } else {
        state.queue.append(payload)
        state.bytes += payload.count
      }
      return state.bytes > MessagePipe.mark
    }
    if isFull { try await waitForRoom() }
  }

  func finish() {
    state.withLock { state in
      guard case .open = state.end else { return }
      state.end = .ended
      if state.queue.isEmpty { state.reading.resume(.end) }
    }
  }

  /// The reader has ended without an error: unread payloads are dropped, writers return.
  func close() {
    state.withLock { state in
      if case .failed = state.end { return }
      state.end = .ended
      state.queue = []
      state.bytes = 0
      state.reading.resume(.end)
      state.writing.resume(nil)
    }
  }

  /// Only the first call has an effect.
  func fail(_ error: RPCError) {
    state.withLock { state in
      if case .failed = state.end { return }
      if case .ended = state.end, state.queue.isEmpty { return }
      state.end = .failed(error)
      state.queue = []
      state.bytes = 0
      state.reading.resume(.failed(error))
      state.writing.resume(error)
    }
  }

  private func waitForRoom() async throws(RPCError) {
    let ticket = WaitTicket()
    let error = await withTaskCancellationHandler {
      await withUnsafeContinuation { (continuation: UnsafeContinuation<RPCError?, Never>) in
        state.withLock { state in
          if case .failed(let error) = state.end { return continuation.resume(returning: error) }
          if state.bytes <= MessagePipe.mark { return continuation.resume(returning: nil) }
          if state.writing.isWaiting {
            return continuation.resume(
              returning: RPCError(.failedPrecondition, "two tasks write one stream at once"))
          }
          if state.writing.wait(continuation, ticket) {
            continuation.resume(returning: MessagePipe.cancelledWait)
          }
        }
      }
    } onCancel: {
      ticket.cancel()
      state.withLock { $0.writing.cancel(ticket.number, MessagePipe.cancelledWait) }
    }
    if let error { throw error }
  }

  // MARK: Reading

  /// The next payload; nil after the last one.
  func next() async throws(RPCError) -> [UInt8]? {
    let ready = state.withLock { MessagePipe.take(&$0) }
    let inbound: Inbound
    if let ready { inbound = ready } else { inbound = await wait() }
    switch inbound {
    case .message(let message): return message.payload
    case .end: return nil
    case .failed(let error): throw error
    }
  }

  private static func take(_ state: inout State) -> Inbound? {
    if let payload = state.queue.popFirst() {
      state.bytes -= payload.count
      if state.bytes <= mark / 2 { state.writing.resume(nil) }
      return .message(payload)
    }
    switch state.end {
    case .open: return nil
    case .ended: return .end
    case .failed(let error): return .failed(error)
    }
  }

  private func wait() async -> Inbound {
    let ticket = WaitTicket()
    return await withTaskCancellationHandler {
      await withUnsafeContinuation { (continuation: UnsafeContinuation<Inbound, Never>) in
        state.withLock { state in
          if let ready = MessagePipe.take(&state) { return continuation.resume(returning: ready) }
          if state.reading.isWaiting {
            return continuation.resume(
              returning: .failed(
                RPCError(.failedPrecondition, "two tasks read one stream at once")))
          }
          if state.reading.wait(continuation, ticket) {
            continuation.resume(returning: .failed(MessagePipe.cancelledWait))
          }
        }
      }
    } onCancel: {
      ticket.cancel()
      state.withLock { $0.reading.cancel(ticket.number, .failed(MessagePipe.cancelledWait)) }
    }
  }
}

extension Inbound {
  fileprivate static func message(_ payload: [UInt8]) -> Inbound {
    .message(ReceivedMessage(payload, .identity))
  }
}
