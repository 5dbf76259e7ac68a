// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import Synchronization

/// The requirement that interceptors of both sides share: the methods they apply to.
public protocol Interceptor: Sendable {
  /// Whether it is called for calls of `method`; the result must always be the same. Default: true.
  ///
  /// Calls that no interceptor applies to take the path without interceptors. A server asks once
  /// for each of its methods, and for every call of a method that it does not have.
  func applies(to method: MethodName) -> Bool
}

extension Interceptor {
  /// True.
  public func applies(to method: MethodName) -> Bool { true }

  /// The same interceptor for these services only: `"shop.Orders"`, or `Shop_Orders.name` of the
  /// stubs. A server logs an error for an interceptor that applies to none of its methods.
  public func on(services: String...) -> InterceptorScope<Self> {
    InterceptorScope(self, services: services)
  }

  /// The same interceptor for these methods only: `"/shop.Orders/Place"`, or
  /// `Shop_Orders.Methods.place.path` of the stubs.
  public func on(methods: MethodName...) -> InterceptorScope<Self> {
    InterceptorScope(self, methods: methods)
  }
}

/// Wraps the calls that a channel makes: it may change the request (`call.options.metadata`, the
/// timeout, even the method), answer without the network, retry, or wrap the stream to read and
/// change every message, metadata and status.
///
/// A channel without interceptors takes the path without them.
///
/// ```swift
/// struct Tenant: ClientInterceptor {
///   let name: String
///   func intercept(_ call: CallRequest, _ next: Next) async throws(RPCError) -> any ClientStream {
///     var call = call
///     call.options.metadata.add(name, for: "x-tenant")
///     return try await next(call)
///   }
/// }
/// ```
public protocol ClientInterceptor: Interceptor {
  /// Continues the call: the next interceptor, and after the last one the channel.
  typealias Next =
    nonisolated(nonsending) @Sendable (CallRequest) async throws(RPCError) ->
    any ClientStream

  /// Wraps one call.
  /// - Throws: the call's status; what `next` throws unless it is handled.
  nonisolated(nonsending) func intercept(
    _ call: CallRequest, _ next: Next
  ) async throws(RPCError) -> any ClientStream
}

/// Wraps the server's handlers: it may refuse the call, change the request's metadata
/// (``ServerCall/with(metadata:)``), or pass on its own source and sink to read and change every
/// message. An error it throws is the call's status. One that returns without calling `next` has to
/// send a response itself; if none was sent, that is logged once for each method.
///
/// It is called for methods that the server does not have as well: `next` throws UNIMPLEMENTED
/// there. If a handler ends by its cancellation after the deadline has passed, `next` throws
/// DEADLINE_EXCEEDED. It is not called for calls that end before their handlers start: malformed
/// ones, those that the server sheds, and those whose deadline has passed by then.
public protocol ServerInterceptor: Interceptor {
  /// Continues the call: the next interceptor, and after the last one the handler. Returns after
  /// the handler has returned.
  typealias Next =
    nonisolated(nonsending) @Sendable (
      ServerCall, any MessageSource, any MessageSink
    ) async throws -> Void

  /// Wraps one call; `source` gives the requests, `sink` takes the responses.
  /// - Throws: the call's status, as a handler does.
  nonisolated(nonsending) func intercept(
    _ call: ServerCall, _ requests: any MessageSource, _ responses: any MessageSink, _ next: Next
  ) async throws
}

extension [any ClientInterceptor] {
  /// Whether one of them applies.
  @inline(__always) func apply(to method: MethodName) -> Bool {
    !isEmpty && contains { $0.applies(to: method) }
  }

  /// Runs the chain from `index` on; `end` opens the real stream.
  func open(
    _ call: CallRequest, from index: Int = 0,
    _ end: @escaping ClientInterceptor.Next
  ) async throws(RPCError) -> any ClientStream {
    guard let index = self[index...].firstIndex(where: { $0.applies(to: call.method) }) else {
      return try await end(call)
    }
    return try await self[index].intercept(call) { [self] request throws(RPCError) in
      try await open(request, from: index + 1, end)
    }
  }
}

extension [any ServerInterceptor] {
  /// Those that apply.
  func applying(to method: MethodName) -> [any ServerInterceptor] {
    filter { $0.applies(to: method) }
  }

  /// Runs the chain; all of its interceptors apply.
  /// - Returns: the interceptor that returned without calling `next`; nil if the handler ran.
  func run(
    _ call: ServerCall, _ requests: any MessageSource, _ responses: any MessageSink,
    _ end: @escaping ServerInterceptor.Next
  ) async throws -> (any ServerInterceptor)? {
    let reach = InterceptorReach()
    try await run(call, requests, responses, from: 0, reach, end)
    let reached = reach.index.load(ordering: .relaxed)
    return reached < count ? self[reached] : nil
  }

  private func run(
    _ call: ServerCall, _ requests: any MessageSource, _ responses: any MessageSink,
    from index: Int, _ reach: InterceptorReach, _ end: @escaping ServerInterceptor.Next
  ) async throws {
    reach.index.max(index, ordering: .relaxed)
    guard index < count else {
      do { return try await end(call, requests, responses) } catch {
        throw call.hasExpired && error.isCancellation
          ? RPCError(.deadlineExceeded, "the deadline has passed") : error
      }
    }
    try await self[index].intercept(call, requests, responses) { [self] call, requests, responses in
      try await run(call, requests, responses, from: index + 1, reach, end)
    }
  }
}

/// How far into the chain a call got.
private final class InterceptorReach: Sendable {
  let index = Atomic<Int>(0)
}

extension Error {
  fileprivate var isCancellation: Bool {
    self is CancellationError || (self as? RPCError)?.code == .cancelled
  }
}
