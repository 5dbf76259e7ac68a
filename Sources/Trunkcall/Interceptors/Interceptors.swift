// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// Stands around every call that a channel makes: it may change the request, answer without the
/// network, retry, or wrap the stream to see and change every message, metadata and status.
///
/// Without interceptors a channel does not pay for the possibility.
public protocol ClientInterceptor: Sendable {
  func intercept(
    _ call: CallRequest, _ next: @Sendable (CallRequest) async throws(RPCError) -> any ClientStream
  ) async throws(RPCError) -> any ClientStream
}

/// Stands around every handler: it may refuse the call, change metadata, or hand on its own source
/// and sink to see and change every message. What it throws is the call's status.
public protocol ServerInterceptor: Sendable {
  func intercept(
    _ call: ServerCall, _ requests: any MessageSource, _ replies: any MessageSink,
    _ next: @Sendable (ServerCall, any MessageSource, any MessageSink) async throws -> Void
  ) async throws
}

extension [any ClientInterceptor] {
  /// Runs the chain from `index` on; `end` opens the real stream.
  func open(
    _ call: CallRequest, from index: Int = 0,
    _ end: @escaping @Sendable (CallRequest) async throws(RPCError) -> any ClientStream
  ) async throws(RPCError) -> any ClientStream {
    guard index < count else { return try await end(call) }
    return try await self[index].intercept(call) { [self] request throws(RPCError) in
      try await open(request, from: index + 1, end)
    }
  }
}

extension [any ServerInterceptor] {
  func run(
    _ call: ServerCall, _ requests: any MessageSource, _ replies: any MessageSink,
    from index: Int = 0,
    _ end: @escaping @Sendable (ServerCall, any MessageSource, any MessageSink) async throws -> Void
  ) async throws {
    guard index < count else { return try await end(call, requests, replies) }
    try await self[index].intercept(call, requests, replies) { [self] call, requests, replies in
      try await run(call, requests, replies, from: index + 1, end)
    }
  }
}
