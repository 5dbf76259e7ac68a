// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
/// Something that a server serves; generated `Service` protocols conform to it.
public protocol RPCService: Sendable {
  /// Registers the handlers of all its methods.
  func register(in table: inout MethodTable)
}

/// The methods of a server's services, with the handler of each. A method registered twice has the
/// later handler.
public struct MethodTable: Sendable {
  /// A handler in bytes: payloads in, frames (five bytes of room, then the payload) out.
  @usableFromInline enum Handler: Sendable {
    case unary(UnaryHandler)
    case streaming(@Sendable (any MessageSource, any MessageSink, ServerCall) async throws -> Void)
  }
  /// By method. Each value makes a handler: every loop has one of its own, see
  /// ``LoopMethod/handler``.
  private(set) var handlers: [MethodName: @Sendable () -> Handler] = [:]
  /// By service, `package.Service`.
  private(set) var descriptors: [String: ProtoDescriptors] = [:]

  /// Empty; a server makes one and passes it to each ``RPCService/register(in:)``.
  public init() {}

  @usableFromInline mutating func add(
    _ name: MethodName, _ handler: @escaping @Sendable () -> Handler
  ) {
    handlers[name] = handler
  }

  /// Registers the descriptors of a service, for server reflection; generated stubs do.
  /// - Parameter service: `package.Service`.
  public mutating func describe(_ service: String, _ descriptors: ProtoDescriptors) {
    self.descriptors[service] = descriptors
  }

  /// Registers a handler for one request and one response. An ``RPCError`` that it throws is the
  /// call's status; any other error is UNKNOWN (statuscodes.md).
  @inlinable public mutating func unary<Request, Response>(
    _ method: MethodDescriptor<Request, Response>,
    _ handler: @escaping @Sendable (Request, ServerCall) async throws -> Response
  ) {
    let request = method.request
    let response = method.response
    add(method.path) {
      .unary(
        UnaryHandler(
          body: { payload, call in
            try response.frame(try await handler(try request.message(payload), call))
          },
          serve: { exchange, call in
            do {
              let request = try request.message(try exchange.takeRequest())
              try exchange.respond(try response.frame(try await handler(request, call)))
            } catch {
              exchange.handlerThrew(error)
            }
          }))
    }
  }

  /// Registers a handler for one request and a stream of responses; errors as for a unary one.
  @inlinable public mutating func serverStreaming<Request, Response>(
    _ method: MethodDescriptor<Request, Response>,
    _ handler:
      @escaping @Sendable (Request, MessageWriter<Response>, ServerCall) async throws -> Void
  ) {
    let request = method.request
    let response = method.response
    add(method.path) {
      .streaming { source, sink, call in
        let message = try request.message(try await source.onlyRequest())
        try await handler(message, MessageWriter(sink, response), call)
      }
    }
  }

  /// Registers a handler for a stream of requests and one response; errors as for a unary one.
  @inlinable public mutating func clientStreaming<Request, Response>(
    _ method: MethodDescriptor<Request, Response>,
    _ handler: @escaping @Sendable (RequestStream<Request>, ServerCall) async throws -> Response
  ) {
    let request = method.request
    let response = method.response
    add(method.path) {
      .streaming { source, sink, call in
        let answer = try await handler(RequestStream(source, request), call)
        try await sink.send(try response.frame(answer))
      }
    }
  }

  /// Registers a handler for two streams; errors as for a unary one.
  @inlinable public mutating func bidirectional<Request, Response>(
    _ method: MethodDescriptor<Request, Response>,
    _ handler:
      @escaping @Sendable (RequestStream<Request>, MessageWriter<Response>, ServerCall) async throws
      ->
      Void
  ) {
    let request = method.request
    let response = method.response
    add(method.path) {
      .streaming { source, sink, call in
        try await handler(RequestStream(source, request), MessageWriter(sink, response), call)
      }
    }
  }
}

extension MethodTable {
  /// The handler of a method that is not served: interceptors run around it, and it throws `status`.
  static func unknown(_ status: RPCError) -> Handler { .streaming { _, _, _ in throw status } }
}

extension MessageSource {
  /// The one request of a method that takes one (statuscodes.md: else UNIMPLEMENTED).
  @usableFromInline func onlyRequest() async throws(RPCError) -> [UInt8] {
    guard let payload = try await next() else {
      throw RPCError(.unimplemented, "the client sent no message where one is due")
    }
    if try await next() != nil {
      throw RPCError(.unimplemented, "the client sent more than the one message that is due")
    }
    return payload
  }
}
