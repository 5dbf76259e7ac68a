// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

// What generated stubs call. Inlinable, so that it is specialised for the messages in the user's
// module; beneath it everything is bytes.
extension CallInvoker {
  /// One request, one reply.
  /// - Throws: the call's status if it is not OK.
  @inlinable public func unary<Request, Reply>(
    _ method: MethodDescriptor<Request, Reply>, _ request: Request,
    _ options: CallOptions = CallOptions()
  ) async throws(RPCError) -> Reply {
    let frame = try method.request.frame(request)
    let reply = try await unary(
      CallRequest(method.path, options, idempotency: method.idempotency), frame)
    return try method.reply.message(reply.payload)
  }

  /// As ``unary(_:_:_:)``, with metadata and peer beside the message.
  @inlinable public func unaryResponse<Request, Reply>(
    _ method: MethodDescriptor<Request, Reply>, _ request: Request,
    _ options: CallOptions = CallOptions()
  ) async throws(RPCError) -> UnaryResponse<Reply> {
    let frame = try method.request.frame(request)
    let reply = try await unary(
      CallRequest(method.path, options, idempotency: method.idempotency), frame)
    return UnaryResponse(
      message: try method.reply.message(reply.payload), initialMetadata: reply.initialMetadata,
      trailingMetadata: reply.trailingMetadata, peer: reply.peer,
      wasCompressed: reply.wasCompressed)
  }

  /// One request, many replies.
  @inlinable public func serverStreaming<Request, Reply>(
    _ method: MethodDescriptor<Request, Reply>, _ request: Request,
    _ options: CallOptions = CallOptions()
  ) async throws(RPCError) -> ResponseStream<Reply> {
    let frame = try method.request.frame(request)
    let call = try await stream(
      CallRequest(method.path, options, idempotency: method.idempotency))
    try await call.send(frame)
    try await call.finish()
    return ResponseStream(call, method.reply)
  }

  /// Many requests, one reply.
  @inlinable public func clientStreaming<Request, Reply>(
    _ method: MethodDescriptor<Request, Reply>, _ options: CallOptions = CallOptions()
  ) async throws(RPCError) -> ClientStreamingCall<Request, Reply> {
    ClientStreamingCall(
      try await stream(CallRequest(method.path, options, idempotency: method.idempotency)), method)
  }

  /// Many requests, many replies.
  @inlinable public func bidirectional<Request, Reply>(
    _ method: MethodDescriptor<Request, Reply>, _ options: CallOptions = CallOptions()
  ) async throws(RPCError) -> BidirectionalCall<Request, Reply> {
    BidirectionalCall(
      try await stream(CallRequest(method.path, options, idempotency: method.idempotency)), method)
  }
}

/// A unary call's reply with what came beside it.
public struct UnaryResponse<Reply: Sendable>: Sendable {
  public var message: Reply
  public var initialMetadata: Metadata
  public var trailingMetadata: Metadata
  /// `10.0.0.7:50051`.
  public var peer: String
  /// Whether the reply came compressed.
  public var wasCompressed: Bool

  public init(
    message: Reply, initialMetadata: Metadata, trailingMetadata: Metadata, peer: String,
    wasCompressed: Bool = false
  ) {
    self.message = message
    self.wasCompressed = wasCompressed
    self.initialMetadata = initialMetadata
    self.trailingMetadata = trailingMetadata
    self.peer = peer
  }
}

/// The replies of a call. Dropping it, or cancelling the task that iterates, cancels the call.
public struct ResponseStream<Message: Sendable>: AsyncSequence, Sendable {
  public typealias Element = Message
  public typealias Failure = RPCError
  @usableFromInline let call: any ClientStream
  @usableFromInline let codec: Codec<Message>

  @inlinable public init(_ call: any ClientStream, _ codec: Codec<Message>) {
    self.call = call
    self.codec = codec
  }

  /// Suspends until the server's response headers are there.
  public var initialMetadata: Metadata {
    get async throws(RPCError) { try await call.initialMetadata() }
  }
  /// Empty until the replies have ended.
  public var trailingMetadata: Metadata { get async { await call.trailingMetadata() } }
  public var peer: String? { get async { await call.peer() } }
  /// Whether the reply that was taken last came compressed.
  public var lastMessageWasCompressed: Bool { call.lastMessageWasCompressed }
  public func cancel() { call.cancel() }

  /// The next reply; nil after the last one.
  @inlinable public func next() async throws(RPCError) -> Message? {
    guard let payload = try await call.next() else { return nil }
    return try codec.message(payload)
  }

  @inlinable public func makeAsyncIterator() -> AsyncIterator { AsyncIterator(call, codec) }

  public struct AsyncIterator: AsyncIteratorProtocol {
    @usableFromInline let call: any ClientStream
    @usableFromInline let codec: Codec<Message>

    @inlinable init(_ call: any ClientStream, _ codec: Codec<Message>) {
      self.call = call
      self.codec = codec
    }
    @inlinable public mutating func next() async throws(RPCError) -> Message? {
      guard let payload = try await call.next() else { return nil }
      return try codec.message(payload)
    }
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
  /// - Throws: how the call ended, if it has.
  @inlinable public func write(_ message: Message) async throws(RPCError) {
    try await call.send(try codec.frame(message))
  }

  /// As ``write(_:)``; `compressed: false` sends this message uncompressed on a call that compresses
  /// (gRPC compression.md: against CRIME and BEAST). On a call that does not, it changes nothing.
  @inlinable public func write(_ message: Message, compressed: Bool) async throws(RPCError) {
    try await call.send(try codec.frame(message), compressed: compressed)
  }

  /// No more requests.
  @inlinable public func finish() async throws(RPCError) { try await call.finish() }
}

/// A client-streaming call under way.
public struct ClientStreamingCall<Request: Sendable, Reply: Sendable>: Sendable {
  public let requests: RequestWriter<Request>
  @usableFromInline let call: any ClientStream
  @usableFromInline let codec: Codec<Reply>

  @inlinable public init(_ call: any ClientStream, _ method: MethodDescriptor<Request, Reply>) {
    requests = RequestWriter(call, method.request)
    self.call = call
    codec = method.reply
  }

  /// Finishes the requests and awaits the one reply.
  /// - Throws: the call's status if it is not OK; UNIMPLEMENTED if there is not exactly one reply.
  @inlinable public func reply() async throws(RPCError) -> Reply {
    try await call.finish()
    return try codec.message(try await call.onlyMessage())
  }

  public var initialMetadata: Metadata {
    get async throws(RPCError) { try await call.initialMetadata() }
  }
  /// Empty until the reply is there.
  public var trailingMetadata: Metadata { get async { await call.trailingMetadata() } }
  public var peer: String? { get async { await call.peer() } }
  /// Whether the reply came compressed; false until it is there.
  public var lastMessageWasCompressed: Bool { call.lastMessageWasCompressed }
  public func cancel() { call.cancel() }
}

/// A bidirectional call under way. Both directions are independent of each other.
public struct BidirectionalCall<Request: Sendable, Reply: Sendable>: Sendable {
  public let requests: RequestWriter<Request>
  public let responses: ResponseStream<Reply>

  @inlinable public init(_ call: any ClientStream, _ method: MethodDescriptor<Request, Reply>) {
    requests = RequestWriter(call, method.request)
    responses = ResponseStream(call, method.reply)
  }
  public func cancel() { responses.cancel() }
}

extension ClientStream {
  /// The one message of a call that has exactly one (statuscodes.md: else UNIMPLEMENTED).
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
