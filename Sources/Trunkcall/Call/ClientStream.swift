// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// One call of any shape on the client, in bytes: wrapped by interceptors, implemented by an
/// in-process channel. Releasing the last reference cancels a call that has not ended.
public protocol ClientStream: MessageSource, MessageSink {
  /// Ends the requests (END_STREAM). Calling it again changes nothing.
  /// - Throws: the call's status, if it has ended with an error.
  func finish() async throws(RPCError)
  /// Suspends until the server's response headers have come.
  /// - Throws: the call's status, if it ended without response headers.
  func initialMetadata() async throws(RPCError) -> Metadata
  /// Empty until the call has ended.
  func trailingMetadata() async -> Metadata
  /// The address of the server; nil while the call has no connection.
  func peer() async -> String?
  /// Ends the call with CANCELLED and resets its stream; no effect after its end.
  func cancel()
}

/// The result of a unary call: message, metadata and peer.
public struct CallResponse: Sendable {
  /// The response message, without prefix, decompressed.
  public var payload: [UInt8]
  /// The response headers' metadata.
  public var initialMetadata: Metadata
  /// The trailers' metadata, without status and status message.
  public var trailingMetadata: Metadata
  /// The server's address, e.g. `10.0.0.7:50051`.
  public var peer: String
  /// Whether the message was compressed on the wire; `payload` is decompressed.
  public var wasCompressed: Bool

  /// For invokers other than this library's, and interceptors.
  public init(
    payload: [UInt8], initialMetadata: Metadata = Metadata(),
    trailingMetadata: Metadata = Metadata(), peer: String = "", wasCompressed: Bool = false
  ) {
    self.payload = payload
    self.wasCompressed = wasCompressed
    self.initialMetadata = initialMetadata
    self.trailingMetadata = trailingMetadata
    self.peer = peer
  }
}

/// Makes calls: ``GRPCChannel``, ``InProcessChannel``, or a test's own.
public protocol CallInvoker: Sendable {
  /// One request, one response. `frame`: five bytes of room, then the payload.
  /// - Throws: the call's status if it is not OK.
  func unary(_ call: CallRequest, _ frame: [UInt8]) async throws(RPCError) -> CallResponse
  /// A call of any shape.
  /// - Throws: if the call cannot be made; later ends are thrown by the stream.
  func stream(_ call: CallRequest) async throws(RPCError) -> any ClientStream
}
