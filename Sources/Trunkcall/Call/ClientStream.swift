// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// One call of any shape on the client, in bytes: what interceptors wrap, and what an in-process
/// channel implements. Letting go of the last reference cancels a call that has not ended.
public protocol ClientStream: MessageSource, MessageSink {
  /// No more requests. Calling it again changes nothing.
  func finish() async throws(RPCError)
  /// Suspends until the server's response headers are there.
  func initialMetadata() async throws(RPCError) -> Metadata
  /// Empty until the call has ended.
  func trailingMetadata() async -> Metadata
  /// The address of the server; nil while the call has no connection.
  func peer() async -> String?
  /// Ends the call with CANCELLED and resets its stream.
  func cancel()
}

/// What a unary call came to, beside its message.
public struct CallResponse: Sendable {
  /// The response message, without prefix, decompressed.
  public var payload: [UInt8]
  /// The response headers' metadata.
  public var initialMetadata: Metadata
  /// The trailers' metadata, without status and status message.
  public var trailingMetadata: Metadata
  /// `10.0.0.7:50051`.
  public var peer: String
  /// Whether the message came compressed; `payload` is decompressed.
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

/// Makes calls: a channel, or a stand-in for one.
public protocol CallInvoker: Sendable {
  /// One request, one response. `frame`: five bytes of room, then the payload.
  func unary(_ call: CallRequest, _ frame: [UInt8]) async throws(RPCError) -> CallResponse
  /// A call of any shape.
  func stream(_ call: CallRequest) async throws(RPCError) -> any ClientStream
}
