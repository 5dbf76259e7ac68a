// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import Trunkcall

/// The cases of interop-test-descriptions.md that this library's client runs, by their
/// official names. Not here: what needs Google's cloud, a caching proxy, or load reports (ORCA).
public enum InteropCase: String, CaseIterable, Sendable {
  case emptyUnary = "empty_unary"
  case largeUnary = "large_unary"
  case clientCompressedUnary = "client_compressed_unary"
  /// For servers that cannot see the compressed flag: without the probe that asks if they do.
  case clientCompressedUnaryNoProbe = "client_compressed_unary_noprobe"
  case serverCompressedUnary = "server_compressed_unary"
  case clientStreaming = "client_streaming"
  case clientCompressedStreaming = "client_compressed_streaming"
  case clientCompressedStreamingNoProbe = "client_compressed_streaming_noprobe"
  case serverStreaming = "server_streaming"
  case serverCompressedStreaming = "server_compressed_streaming"
  case pingPong = "ping_pong"
  case emptyStream = "empty_stream"
  case customMetadata = "custom_metadata"
  case statusCodeAndMessage = "status_code_and_message"
  case specialStatusMessage = "special_status_message"
  case unimplementedMethod = "unimplemented_method"
  case unimplementedService = "unimplemented_service"
  case cancelAfterBegin = "cancel_after_begin"
  case cancelAfterFirstResponse = "cancel_after_first_response"
  case timeoutOnSleepingServer = "timeout_on_sleeping_server"
  case pickFirstUnary = "pick_first_unary"
  case rpcSoak = "rpc_soak"
  case channelSoak = "channel_soak"
  case concurrentLargeUnary = "concurrent_large_unary"
}

/// What a case found that is not as described.
public struct InteropFailure: Error, Sendable, CustomStringConvertible {
  public let description: String
  init(_ description: String) { self.description = description }
}

func check(_ holds: Bool, _ otherwise: @autoclosure () -> String) throws {
  if !holds { throw InteropFailure(otherwise()) }
}

/// Runs `body`, which is to fail with `code`, and `message` if one is given.
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
