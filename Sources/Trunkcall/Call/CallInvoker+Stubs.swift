// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

// Called by generated stubs. Inlinable, so that it is specialised for the messages in the user's
// module; everything beneath it moves bytes.
extension CallInvoker {
  /// One request, one response.
  /// - Throws: ``RPCError``, the call's status if it is not OK.
  @inlinable public func unary<Request, Response>(
    _ method: MethodDescriptor<Request, Response>, _ request: Request,
    _ options: CallOptions = CallOptions()
  ) async throws(RPCError) -> Response {
    let frame = try method.request.frame(request)
    let response = try await unary(
      CallRequest(method.path, options, idempotency: method.idempotency), frame)
    return try method.response.message(response.payload)
  }

  /// As ``unary(_:_:_:)``, with metadata and peer beside the message.
  /// - Throws: ``RPCError``, the call's status if it is not OK.
  @inlinable public func unaryResponse<Request, Response>(
    _ method: MethodDescriptor<Request, Response>, _ request: Request,
    _ options: CallOptions = CallOptions()
  ) async throws(RPCError) -> UnaryResponse<Response> {
    let frame = try method.request.frame(request)
    let response = try await unary(
      CallRequest(method.path, options, idempotency: method.idempotency), frame)
    return UnaryResponse(
      message: try method.response.message(response.payload),
      initialMetadata: response.initialMetadata,
      trailingMetadata: response.trailingMetadata, peer: response.peer,
      wasCompressed: response.wasCompressed)
  }

  /// One request, many responses.
  /// - Throws: ``RPCError`` if the request cannot be sent; later ends are thrown by the stream.
  @inlinable public func serverStreaming<Request, Response>(
    _ method: MethodDescriptor<Request, Response>, _ request: Request,
    _ options: CallOptions = CallOptions()
  ) async throws(RPCError) -> ResponseStream<Response> {
    let frame = try method.request.frame(request)
    let call = try await stream(
      CallRequest(method.path, options, idempotency: method.idempotency))
    try await call.send(frame)
    try await call.finish()
    return ResponseStream(call, method.response)
  }

  /// Many requests, one response.
  /// - Throws: ``RPCError`` if the call cannot be made; later ends are thrown by the call.
  @inlinable public func clientStreaming<Request, Response>(
    _ method: MethodDescriptor<Request, Response>, _ options: CallOptions = CallOptions()
  ) async throws(RPCError) -> ClientStreamingCall<Request, Response> {
    ClientStreamingCall(
      try await stream(CallRequest(method.path, options, idempotency: method.idempotency)), method)
  }

  /// Many requests, many responses.
  /// - Throws: ``RPCError`` if the call cannot be made; later ends are thrown by the call.
  @inlinable public func bidirectional<Request, Response>(
    _ method: MethodDescriptor<Request, Response>, _ options: CallOptions = CallOptions()
  ) async throws(RPCError) -> BidirectionalCall<Request, Response> {
    BidirectionalCall(
      try await stream(CallRequest(method.path, options, idempotency: method.idempotency)), method)
  }
}

/// The one response of a unary or client-streaming call, with its metadata and peer.
public struct UnaryResponse<Message: Sendable>: Sendable {
  /// The response, decoded.
  public var message: Message
  /// The response headers' metadata (PROTOCOL-HTTP2.md, Response-Headers).
  public var initialMetadata: Metadata
  /// The trailers' metadata, without status and status message.
  public var trailingMetadata: Metadata
  /// The server's address, e.g. `10.0.0.7:50051`.
  public var peer: String
  /// Whether the response was compressed on the wire (compression.md).
  public var wasCompressed: Bool

  /// For tests of code that takes a response.
  public init(
    message: Message, initialMetadata: Metadata, trailingMetadata: Metadata, peer: String,
    wasCompressed: Bool = false
  ) {
    self.message = message
    self.wasCompressed = wasCompressed
    self.initialMetadata = initialMetadata
    self.trailingMetadata = trailingMetadata
    self.peer = peer
  }
}

/// The responses of a call. Releasing it, or cancelling the task that iterates, cancels the call.
public struct ResponseStream<Message: Sendable>: AsyncSequence, Sendable {
  /// A response, decoded.
  public typealias Element = Message
  /// The call's status if it is not OK.
  public typealias Failure = RPCError
  @usableFromInline let call: any ClientStream
  @usableFromInline let codec: Codec<Message>

  /// For generated stubs.
  @inlinable public init(_ call: any ClientStream, _ codec: Codec<Message>) {
    self.call = call
    self.codec = codec
  }

  /// Suspends until the server's response headers have come.
  /// - Throws: the call's status, if it ended without response headers.
  public var initialMetadata: Metadata {
    get async throws(RPCError) { try await call.initialMetadata() }
  }
  /// Empty until the responses have ended.
  public var trailingMetadata: Metadata { get async { await call.trailingMetadata() } }
  /// The server's address; nil while the call has no connection.
  public var peer: String? { get async { await call.peer() } }
  /// Whether the response that ``next()`` returned last was compressed on the wire.
  public var lastMessageWasCompressed: Bool { call.lastMessageWasCompressed }
  /// Ends the call with CANCELLED and resets its stream (RST_STREAM, CANCEL); no effect after its
  /// end.
  public func cancel() { call.cancel() }

  /// The next response; nil after the last one.
  /// - Throws: the call's status if it is not OK.
  @inlinable public func next() async throws(RPCError) -> Message? {
    guard let payload = try await call.next() else { return nil }
    return try codec.message(payload)
  }

  @inlinable public func makeAsyncIterator() -> AsyncIterator { AsyncIterator(call, codec) }

  /// For `for try await`. Two at once on one call fail with FAILED_PRECONDITION.
  public struct AsyncIterator: AsyncIteratorProtocol {
    @usableFromInline let call: any ClientStream
    @usableFromInline let codec: Codec<Message>

    @inlinable init(_ call: any ClientStream, _ codec: Codec<Message>) {
      self.call = call
      self.codec = codec
    }
    /// As ``ResponseStream/next()``.
    @inlinable public mutating func next() async throws(RPCError) -> Message? {
      guard let payload = try await call.next() else { return nil }
      return try codec.message(payload)
    }
    /// As ``ResponseStream/next()``, on the caller's actor.
    @inlinable public mutating func next(
      isolation actor: isolated (any Actor)?
    ) async throws(RPCError) -> Message? {
      guard let payload = try await call.next() else { return nil }
      return try codec.message(payload)
    }
  }
}

/// The requests of a call: write them, then finish.
public struct RequestWriter<Message: Sendable>: Sendable {
  @usableFromInline let call: any ClientStream
  @usableFromInline let codec: Codec<Message>

  @inlinable init(_ call: any ClientStream, _ codec: Codec<Message>) {
    self.call = call
    self.codec = codec
  }

  /// Suspends while the server's flow-control window is full.
  /// - Throws: RESOURCE_EXHAUSTED over the send limit; the call's status, if it has ended.
  @inlinable public func write(_ message: Message) async throws(RPCError) {
    try await call.send(try codec.frame(message))
  }

  /// As ``write(_:)``; `compressed: false` sends this message uncompressed on a call that
  /// compresses (compression.md: against CRIME and BEAST). On a call that does not, it changes
  /// nothing.
  @inlinable public func write(_ message: Message, compressed: Bool) async throws(RPCError) {
    try await call.send(try codec.frame(message), compressed: compressed)
  }

  /// Ends the requests (END_STREAM); calling it again changes nothing.
  /// - Throws: the call's status, if it has ended with an error.
  @inlinable public func finish() async throws(RPCError) { try await call.finish() }
}

/// A client-streaming call under way.
public struct ClientStreamingCall<Request: Sendable, Response: Sendable>: Sendable {
  /// Writes the requests.
  public let requests: RequestWriter<Request>
  @usableFromInline let call: any ClientStream
  @usableFromInline let codec: Codec<Response>

  /// For generated stubs.
  @inlinable public init(_ call: any ClientStream, _ method: MethodDescriptor<Request, Response>) {
    requests = RequestWriter(call, method.request)
    self.call = call
    codec = method.response
  }

  /// Finishes the requests and awaits the one response.
  /// - Throws: the call's status if it is not OK; UNIMPLEMENTED if there is not exactly one
  ///   response.
  @inlinable public func response() async throws(RPCError) -> Response {
    try await call.finish()
    return try codec.message(try await call.onlyMessage())
  }

  /// As ``response()``, with metadata and peer beside the message.
  @inlinable public func unaryResponse() async throws(RPCError) -> UnaryResponse<Response> {
    let message = try await response()
    return UnaryResponse(
      message: message, initialMetadata: try await call.initialMetadata(),
      trailingMetadata: await call.trailingMetadata(), peer: await call.peer() ?? "",
      wasCompressed: call.lastMessageWasCompressed)
  }

  /// Suspends until the server's response headers have come; throws the status of a call without
  /// them.
  public var initialMetadata: Metadata {
    get async throws(RPCError) { try await call.initialMetadata() }
  }
  /// Empty until the call has ended.
  public var trailingMetadata: Metadata { get async { await call.trailingMetadata() } }
  /// The server's address; nil while the call has no connection.
  public var peer: String? { get async { await call.peer() } }
  /// Whether the response was compressed on the wire; false until it has come.
  public var lastMessageWasCompressed: Bool { call.lastMessageWasCompressed }
  /// Ends the call with CANCELLED and resets its stream; no effect after its end.
  public func cancel() { call.cancel() }
}

/// A bidirectional call under way. Both directions are independent of each other.
public struct BidirectionalCall<Request: Sendable, Response: Sendable>: Sendable {
  /// Writes the requests.
  public let requests: RequestWriter<Request>
  /// Reads the responses; its metadata, peer and end are the call's.
  public let responses: ResponseStream<Response>

  /// For generated stubs.
  @inlinable public init(_ call: any ClientStream, _ method: MethodDescriptor<Request, Response>) {
    requests = RequestWriter(call, method.request)
    responses = ResponseStream(call, method.response)
  }
  /// Ends the call with CANCELLED and resets its stream; no effect after its end.
  public func cancel() { responses.cancel() }
}

extension ClientStream {
  /// The one message of a call that has exactly one.
  /// - Throws: UNIMPLEMENTED for none or several (statuscodes.md); the call's status if it is not
  ///   OK.
  public func onlyMessage() async throws(RPCError) -> [UInt8] {
    guard let payload = try await next() else {
      throw RPCError(.unimplemented, "the server sent no message where one is due")
    }
    if try await next() != nil {
      cancel()
      throw RPCError(.unimplemented, "the server sent more than the one message that is due")
    }
    return payload
  }
}
