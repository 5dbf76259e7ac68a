// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import Logging

/// Something that a server serves; generated `Service` protocols conform to it.
public protocol RPCService: Sendable {
  /// Registers the handlers of all its methods.
  func register(in table: inout MethodTable)
}

/// Where services put their handlers. A method registered twice keeps the later handler.
public struct MethodTable: Sendable {
  /// A handler in bytes: payloads in, frames (five bytes of room, then the payload) out.
  @usableFromInline enum Handler: Sendable {
    case unary(@Sendable (_ payload: [UInt8], ServerCall) async throws -> [UInt8])
    case streaming(@Sendable (any MessageSource, any MessageSink, ServerCall) async throws -> Void)
  }
  /// Makes one for each loop, see ``LoopMethod/handler``.
  private(set) var handlers: [MethodName: @Sendable () -> Handler] = [:]

  /// Empty; a server makes one and passes it to each ``RPCService/register(in:)``.
  public init() {}

  @usableFromInline mutating func add(
    _ name: MethodName, _ handler: @escaping @Sendable () -> Handler
  ) {
    handlers[name] = handler
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
      .unary { payload, call in
        try response.frame(try await handler(try request.message(payload), call))
      }
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
  /// In the place of a handler that is not there, for interceptors to stand around.
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

/// The methods of one server, found by the bytes of `:path` (one look, no String). Only registered
/// names are in the table, so a peer cannot make it collide.
final class MethodIndex: Sendable {
  let methods: [ServedMethod]
  private let slots: [Int32]
  private let mask: UInt64

  init(_ methods: [ServedMethod]) {
    self.methods = methods
    var size = 16
    while size < methods.count * 4 { size *= 2 }
    mask = UInt64(size - 1)
    var slots = [Int32](repeating: -1, count: size)
    for (index, method) in methods.enumerated() {
      var slot = method.name.bytes.withUnsafeBytes { $0.quickHash } & mask
      while slots[Int(slot)] >= 0 { slot = (slot + 1) & mask }
      slots[Int(slot)] = Int32(index)
    }
    self.slots = slots
  }

  /// What services serve, in the order of their names.
  convenience init(
    _ services: [any RPCService], _ interceptors: [any ServerInterceptor],
    dispatch: (MethodName) -> HandlerDispatch
  ) {
    var table = MethodTable()
    for service in services { service.register(in: &table) }
    let sorted = table.handlers.sorted { $0.key.text < $1.key.text }
    self.init(
      sorted.enumerated().map { index, entry in
        ServedMethod(
          entry.key, entry.value, index: index, dispatch: dispatch(entry.key),
          interceptors: interceptors.applying(to: entry.key))
      })
  }

  /// - Returns: its position in ``methods``; -1 for none.
  func find(_ path: UnsafeRawBufferPointer) -> Int {
    var slot = path.quickHash & mask
    while true {
      let index = Int(slots[Int(slot)])
      if index < 0 { return -1 }
      if methods[index].name.bytes.withUnsafeBytes({ $0.equals(path) }) { return index }
      slot = (slot + 1) & mask
    }
  }

  /// Their services, sorted.
  var services: [String] { Set(methods.map(\.name.service)).sorted() }

  /// The status of calls of a method that is not there.
  func unknownMethod(_ path: String) -> RPCError {
    RPCError(
      .unimplemented,
      hasService(of: path) ? "unknown method \(path)" : "unknown service of \(path)")
  }

  /// The service exists, if not the method.
  /// An interceptor whose scope names nothing that is served lets every call pass: that is said
  /// aloud.
  func warnOfIdle(_ interceptors: [any ServerInterceptor], _ logger: Logger) {
    guard !methods.isEmpty else { return }
    for interceptor in interceptors
    where !methods.contains(where: { interceptor.applies(to: $0.name) }) {
      logger.error(
        "an interceptor applies to none of the methods: are they named as they are served?",
        metadata: [
          "interceptor": "\(type(of: interceptor))",
          "services": "\(services.joined(separator: ", "))",
        ])
    }
  }

  private func hasService(of path: String) -> Bool {
    guard let slash = path.dropFirst().firstIndex(of: "/") else { return false }
    let prefix = path[...slash]
    return methods.contains { $0.name.text.hasPrefix(prefix) }
  }
}
