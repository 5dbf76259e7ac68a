// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import Trunkcall

/// The cases of interop-test-descriptions.md that this library's client runs, by their official
/// names. Not included: cases that need Google's cloud, or a caching proxy.
public enum InteropCase: String, CaseIterable, Sendable {
  /// An empty request and response.
  case emptyUnary = "empty_unary"
  /// A request and a response of several hundred KiB.
  case largeUnary = "large_unary"
  /// A unary call with a compressed request.
  case clientCompressedUnary = "client_compressed_unary"
  /// As ``clientCompressedUnary`` without its probe, for servers that do not check the compressed
  /// flag.
  case clientCompressedUnaryNoProbe = "client_compressed_unary_noprobe"
  /// A unary call with a compressed response.
  case serverCompressedUnary = "server_compressed_unary"
  /// Four requests, their sizes added up.
  case clientStreaming = "client_streaming"
  /// Requests of which one is compressed.
  case clientCompressedStreaming = "client_compressed_streaming"
  /// As ``clientCompressedStreaming`` without its probe.
  case clientCompressedStreamingNoProbe = "client_compressed_streaming_noprobe"
  /// Four responses of given sizes.
  case serverStreaming = "server_streaming"
  /// Responses of which one is compressed.
  case serverCompressedStreaming = "server_compressed_streaming"
  /// Requests and responses in turn.
  case pingPong = "ping_pong"
  /// A bidirectional call without messages.
  case emptyStream = "empty_stream"
  /// Metadata echoed in headers and trailers.
  case customMetadata = "custom_metadata"
  /// A status that the request asks for.
  case statusCodeAndMessage = "status_code_and_message"
  /// A status message with white space and Unicode.
  case specialStatusMessage = "special_status_message"
  /// A method that the service does not have.
  case unimplementedMethod = "unimplemented_method"
  /// A service that the server does not have.
  case unimplementedService = "unimplemented_service"
  /// A call cancelled before its first message.
  case cancelAfterBegin = "cancel_after_begin"
  /// A call cancelled after its first response.
  case cancelAfterFirstResponse = "cancel_after_first_response"
  /// A call with a deadline of 1 ms.
  case timeoutOnSleepingServer = "timeout_on_sleeping_server"
  /// Many calls, all to one server.
  case pickFirstUnary = "pick_first_unary"
  /// Many calls over one channel; ``SoakOptions``.
  case rpcSoak = "rpc_soak"
  /// Many calls, each over a channel of its own; ``SoakOptions``.
  case channelSoak = "channel_soak"
  /// A hundred large unary calls at the same time.
  case concurrentLargeUnary = "concurrent_large_unary"
  /// A load report with a call, which reaches the load-balancing policy.
  case orcaPerRPC = "orca_per_rpc"
  /// Load reports on a stream of their own.
  case orcaOutOfBand = "orca_oob"
  /// Calls that go over a second connection when the first has no stream left (gRFC A105). For servers
  /// that allow at most 100 streams a connection.
  case connectionScaling = "max_concurrent_streams_connection_scaling"
}

/// A deviation from the case's description.
public struct InteropFailure: Error, Sendable, CustomStringConvertible {
  /// One line: what differs.
  public let description: String
  init(_ description: String) { self.description = description }
}

func check(_ holds: Bool, _ otherwise: @autoclosure () -> String) throws {
  if !holds { throw InteropFailure(otherwise()) }
}

/// Runs `body`, which must fail with `code`, and `message` if one is given.
func expect(
  _ code: RPCError.Code, message: String? = nil, of what: String, _ body: () async throws -> Void
) async throws {
  do {
    try await body()
  } catch let error as RPCError {
    try check(error.code == code, "\(what) ended with \(error) instead of \(code)")
    if let message {
      try check(
        error.message == message,
        "\(what) ended with the message \"\(error.message)\" instead of \"\(message)\"")
    }
    return
  }
  throw InteropFailure("\(what) ended with OK instead of \(code)")
}
