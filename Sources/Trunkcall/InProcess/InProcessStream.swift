// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import TrunkSockets

/// A streaming call within the process: two pipes, and the handler's task between them.
///
/// ```
///   client ── requests ──► handler's task ── replies ──► client
///      └── cancel, deadline, letting go: both pipes fail, the task is cancelled
/// ```
/// The client holds this; the handler's task holds the parts, so that letting go of it is noticed.
final class InProcessStream: ClientStream {
  /// What client and handler share.
  final class Parts: MessageSource, MessageSink {
    let call: InProcessCall
    let limits: InProcessChannel.Limits
    let requests = MessagePipe()
    let replies = MessagePipe()

    init(_ call: InProcessCall, _ limits: InProcessChannel.Limits) {
      self.call = call
      self.limits = limits
    }

    // The handler's side
    func next() async throws(RPCError) -> [UInt8]? { try await requests.next() }
    func send(_ frame: [UInt8]) async throws(RPCError) {
      let payload = try limits.reply(frame)
      call.sendHeaders()
      try await replies.send(payload)
    }

    /// The call's one end.
    func end(_ error: RPCError?) {
      if let error { replies.fail(error) } else { replies.finish() }
      requests.fail(error ?? RPCError(.cancelled, "the call has ended"))
      call.sendHeaders()
    }
  }

  private let parts: Parts
  private let handler: Task<Void, Never>
  private let timer: Task<Void, Never>?

  init(
    _ parts: Parts, deadline: UInt64?,
    _ run: @escaping @Sendable (Parts) async throws -> Void
  ) {
    self.parts = parts
    let handler = Task {
      do {
        try await InheritedDeadline.$current.withValue(deadline ?? InheritedDeadline.current) {
          try await run(parts)
        }
        parts.end(nil)
      } catch {
        parts.end(parts.call.error(error))
      }
    }
    self.handler = handler
    timer = deadline.map { deadline in
      Task {
        let now = Clock.now()
        try? await Task.sleep(
          for: .nanoseconds(deadline > now ? Int64(clamping: deadline - now) : 0))
        guard !Task.isCancelled else { return }
        parts.end(RPCError(.deadlineExceeded, "the deadline has passed"))
        handler.cancel()
      }
    }
  }

  deinit { stop(RPCError(.cancelled, "the call was let go of")) }

  func next() async throws(RPCError) -> [UInt8]? {
    do throws(RPCError) {
      let payload = try await parts.replies.next()
      if payload == nil { timer?.cancel() }
      return payload
    } catch {
      if Task.isCancelled { cancel() }
      throw error
    }
  }

  func send(_ frame: [UInt8]) async throws(RPCError) {
    try await parts.requests.send(try parts.limits.request(frame))
  }

  func finish() async throws(RPCError) { parts.requests.finish() }

  func initialMetadata() async throws(RPCError) -> Metadata {
    await parts.call.waitForHeaders()
    return parts.call.initialMetadata
  }
  func trailingMetadata() async -> Metadata { parts.call.trailingMetadata }
  func peer() async -> String? { InProcessChannel.peer }
  func cancel() { stop(RPCError(.cancelled, "the call was cancelled")) }

  private func stop(_ error: RPCError) {
    parts.end(error)
    handler.cancel()
    timer?.cancel()
  }
}
