// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import TrunkSockets

/// A streaming call within the process: two pipes, and the handler's task between them.
///
/// ```
///   client ── requests ──► handler's task ── responses ► client
///      └── cancel, deadline, release: both pipes fail, the task is cancelled
/// ```
/// The client holds this; the handler's task holds the parts, so that its release is noticed.
final class InProcessStream: ClientStream {
  /// What client and handler share.
  final class Parts: MessageSource, MessageSink, DeadlineOwner {
    let call: InProcessCall
    let limits: InProcessChannel.Limits
    let requests = MessagePipe()
    let replies = MessagePipe()
    private let deadlines: DeadlineQueue
    private let entry = DeadlineQueue.Entry()
    private struct Run: Sendable {
      var handler: Task<Void, Never>?
      var isOver = false
    }
    private let run = Locked(Run())

    init(_ call: InProcessCall, _ limits: InProcessChannel.Limits, _ deadlines: DeadlineQueue) {
      self.call = call
      self.limits = limits
      self.deadlines = deadlines
    }

    func start(_ body: @escaping @Sendable (Parts) async throws -> Void) {
      let deadline = call.deadline
      if let deadline { deadlines.add(entry, of: self, at: deadline) }
      let handler = Task {
        do {
          try await InheritedDeadline.$current.withValue(deadline) {
            try await body(self)
          }
          end(nil)
        } catch {
          end(call.error(error))
        }
      }
      let isOver = run.withLock { run in
        if !run.isOver { run.handler = handler }
        return run.isOver
      }
      if isOver { handler.cancel() }
    }

    // The handler's side
    func next() async throws(RPCError) -> [UInt8]? { try await requests.next() }
    func send(_ frame: [UInt8]) async throws(RPCError) {
      let payload = try limits.response(frame)
      call.sendHeaders()
      try await replies.send(payload)
    }

    /// Ends the call, once; a handler that still runs is cancelled.
    func end(_ error: RPCError?) {
      let error = error?.inProcess
      // Before the pipes: a reader of their end may ask for the trailers.
      call.ended(error)
      if let error { replies.fail(error) } else { replies.finish() }
      if let error { requests.fail(error) } else { requests.close() }
      if call.deadline != nil { deadlines.remove(entry) }
      let handler = run.withLock { run in
        defer { run = Run(handler: nil, isOver: true) }
        return run.handler
      }
      handler?.cancel()
    }

    func deadlinePassed() { end(TimedCall.expired) }
  }

  private let parts: Parts

  init(_ parts: Parts, _ run: @escaping @Sendable (Parts) async throws -> Void) {
    self.parts = parts
    parts.start(run)
  }

  deinit { parts.end(RPCError(.cancelled, "the call was released")) }

  func next() async throws(RPCError) -> [UInt8]? {
    do throws(RPCError) {
      return try await parts.replies.next()
    } catch {
      if Task.isCancelled { cancel() }
      throw error
    }
  }

  func send(_ frame: [UInt8]) async throws(RPCError) {
    let payload = try parts.limits.request(frame)
    do throws(RPCError) {
      try await parts.requests.send(payload)
    } catch {
      if Task.isCancelled { cancel() }
      throw error
    }
  }

  func finish() async throws(RPCError) { parts.requests.finish() }

  func initialMetadata() async throws(RPCError) -> Metadata {
    let parts = parts
    let headers = await withTaskCancellationHandler {
      await parts.call.receivedHeaders()
    } onCancel: {
      parts.end(TimedCall.cancelled)
    }
    return try headers.get()
  }
  func trailingMetadata() async -> Metadata { parts.call.receivedTrailers }
  func peer() async -> String? { InProcessChannel.peer }
  func cancel() { parts.end(TimedCall.cancelled) }
}
