// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// An interceptor for the calls of some services or methods only (``Interceptor/on(services:)``,
/// ``Interceptor/on(methods:)``).
public struct InterceptorScope<Base: Interceptor>: Interceptor {
  /// The interceptor without the scope.
  public let base: Base
  /// `/package.Service/` each.
  private let prefixes: [[UInt8]]
  private let methods: Set<MethodName>

  /// - Parameters:
  ///   - services: `package.Service`; all of their methods, also those that the server does not
  ///     have.
  ///   - methods: `/package.Service/Method`.
  public init(_ base: Base, services: [String] = [], methods: [MethodName] = []) {
    self.base = base
    prefixes = services.map { Array("/\($0.first == "/" ? $0.dropFirst() : $0[...])/".utf8) }
    self.methods = Set(methods)
  }

  /// Whether `method` is in the scope and the interceptor itself applies to it.
  public func applies(to method: MethodName) -> Bool {
    (methods.contains(method) || prefixes.contains { method.bytes.starts(with: $0) })
      && base.applies(to: method)
  }
}

extension InterceptorScope: ScopedInterceptor {
  var innermost: any Interceptor { (base as? any ScopedInterceptor)?.innermost ?? base }
}

/// An interceptor that wraps another one.
protocol ScopedInterceptor {
  var innermost: any Interceptor { get }
}

extension InterceptorScope: ClientInterceptor where Base: ClientInterceptor {
  /// Calls the wrapped interceptor.
  public nonisolated(nonsending) func intercept(
    _ call: CallRequest, _ next: ClientInterceptor.Next
  ) async throws(RPCError) -> any ClientStream {
    try await base.intercept(call, next)
  }
}

extension InterceptorScope: ServerInterceptor where Base: ServerInterceptor {
  /// Calls the wrapped interceptor.
  public nonisolated(nonsending) func intercept(
    _ call: ServerCall, _ requests: any MessageSource, _ responses: any MessageSink,
    _ next: ServerInterceptor.Next
  ) async throws {
    try await base.intercept(call, requests, responses, next)
  }
}
