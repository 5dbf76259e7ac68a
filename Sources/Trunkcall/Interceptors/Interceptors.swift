// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// Stands around every call that a channel makes: it may change the request, answer without the
/// network, retry, or wrap the stream to see and change every message, metadata and status.
///
/// Without interceptors a channel does not pay for the possibility.
public protocol ClientInterceptor: Sendable {
  /// Goes on with the call: the next interceptor, and after the last one the channel.
  typealias Next =
    nonisolated(nonsending) @Sendable (CallRequest) async throws(RPCError) ->
    any ClientStream

  nonisolated(nonsending) func intercept(
    _ call: CallRequest, _ next: Next
  ) async throws(RPCError) -> any ClientStream
}

/// Stands around every handler: it may refuse the call, change metadata, or hand on its own source
/// and sink to see and change every message. What it throws is the call's status.
public protocol ServerInterceptor: Sendable {
  /// Goes on with the call: the next interceptor, and after the last one the handler. It returns
  /// when the handler has.
  typealias Next =
    nonisolated(nonsending) @Sendable (
      ServerCall, any MessageSource, any MessageSink
    ) async throws -> Void

  nonisolated(nonsending) func intercept(
    _ call: ServerCall, _ requests: any MessageSource, _ responses: any MessageSink, _ next: Next
  ) async throws
}

extension [any ClientInterceptor] {
  /// Runs the chain from `index` on; `end` opens the real stream.
  func open(
    _ call: CallRequest, from index: Int = 0,
    _ end: @escaping ClientInterceptor.Next
  ) async throws(RPCError) -> any ClientStream {
    guard index < count else { return try await end(call) }
    return try await self[index].intercept(call) { [self] request throws(RPCError) in
      try await open(request, from: index + 1, end)
    }
  }
}

extension [any ServerInterceptor] {
  func run(
    _ call: ServerCall, _ requests: any MessageSource, _ responses: any MessageSink,
    from index: Int = 0,
    _ end: @escaping ServerInterceptor.Next
  ) async throws {
    guard index < count else { return try await end(call, requests, responses) }
    try await self[index].intercept(call, requests, responses) { [self] call, requests, responses in
      try await run(call, requests, responses, from: index + 1, end)
    }
  }
}
