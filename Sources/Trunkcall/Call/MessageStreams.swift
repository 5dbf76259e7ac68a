// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// A call's incoming messages, as payloads.
public protocol MessageSource: AnyObject, Sendable {
  /// The next message; nil after the last one.
  /// - Throws: the call's status, if it is not OK.
  func next() async throws(RPCError) -> [UInt8]?
  /// Whether the message that ``next()`` returned last was compressed on the wire; it is returned
  /// decompressed.
  var lastMessageWasCompressed: Bool { get }
}

extension MessageSource {
  /// False.
  public var lastMessageWasCompressed: Bool { false }
}

/// Takes a call's outgoing messages, as frames: five bytes of room, then the payload.
public protocol MessageSink: AnyObject, Sendable {
  /// Suspends while the peer's flow-control window is full.
  /// - Throws: RESOURCE_EXHAUSTED over the send limit; the call's status, if it has ended.
  func send(_ frame: [UInt8]) async throws(RPCError)
}

extension MessageSink {
  /// As ``send(_:)``; `compressed: false` sends this message uncompressed on a call that
  /// compresses.
  public func send(_ frame: [UInt8], compressed: Bool) async throws(RPCError) {
    guard !compressed, !frame.isEmpty else { return try await send(frame) }
    // A mark in the prefix's room, so that it passes through the sinks of interceptors as well.
    var frame = frame
    frame[0] = MessageFrame.uncompressedMark
    try await send(frame)
  }
}

/// The requests of a client- or bidirectional-streaming call, on the server. Ends when the client
/// has sent its last one.
public struct RequestStream<Message: Sendable>: AsyncSequence, Sendable {
  /// A request, decoded.
  public typealias Element = Message
  /// The call's status if it ended early, e.g. CANCELLED.
  public typealias Failure = RPCError
  @usableFromInline let source: any MessageSource
  @usableFromInline let codec: Codec<Message>

  /// For generated stubs.
  @inlinable public init(_ source: any MessageSource, _ codec: Codec<Message>) {
    self.source = source
    self.codec = codec
  }

  @inlinable public func makeAsyncIterator() -> AsyncIterator { AsyncIterator(source, codec) }

  /// The next request; nil after the last one.
  /// - Throws: the call's status, if it ended before the client's last request.
  @inlinable public func next() async throws(RPCError) -> Message? {
    guard let payload = try await source.next() else { return nil }
    return try codec.message(payload)
  }

  /// Whether the request that ``next()`` returned last was compressed on the wire.
  public var lastMessageWasCompressed: Bool { source.lastMessageWasCompressed }

  /// For `for try await`. Two at once on one call fail with FAILED_PRECONDITION.
  public struct AsyncIterator: AsyncIteratorProtocol {
    @usableFromInline let source: any MessageSource
    @usableFromInline let codec: Codec<Message>

    @inlinable init(_ source: any MessageSource, _ codec: Codec<Message>) {
      self.source = source
      self.codec = codec
    }
    /// As ``RequestStream/next()``.
    @inlinable public mutating func next() async throws(RPCError) -> Message? {
      guard let payload = try await source.next() else { return nil }
      return try codec.message(payload)
    }
    /// As ``RequestStream/next()``, on the caller's actor.
    @inlinable public mutating func next(
      isolation actor: isolated (any Actor)?
    ) async throws(RPCError) -> Message? {
      guard let payload = try await source.next() else { return nil }
      return try codec.message(payload)
    }
  }
}

/// Writes the messages of a stream: responses on the server, requests on the client.
public struct MessageWriter<Message: Sendable>: Sendable {
  @usableFromInline let sink: any MessageSink
  @usableFromInline let codec: Codec<Message>

  /// For generated stubs.
  @inlinable public init(_ sink: any MessageSink, _ codec: Codec<Message>) {
    self.sink = sink
    self.codec = codec
  }

  /// Suspends while the peer's flow-control window is full.
  /// - Throws: RESOURCE_EXHAUSTED over the send limit; the call's status, if it has ended.
  @inlinable public func write(_ message: Message) async throws(RPCError) {
    try await sink.send(try codec.frame(message))
  }

  /// As ``write(_:)``; `compressed: false` sends this message uncompressed on a call that
  /// compresses (compression.md: against CRIME and BEAST). On a call that does not, it changes
  /// nothing.
  @inlinable public func write(_ message: Message, compressed: Bool) async throws(RPCError) {
    try await sink.send(try codec.frame(message), compressed: compressed)
  }
}
