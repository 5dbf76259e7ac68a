// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import FoundationEssentials
internal import InteropStubs
internal import SwiftProtobuf
internal import Trunkcall

/// The stubs of one channel, and the messages that many cases send and check.
struct Caller: Sendable {
  let channel: any CallInvoker
  let options: CallOptions
  let service: Grpc_Testing_TestService.Client

  init(_ channel: any CallInvoker, _ options: CallOptions) {
    self.channel = channel
    self.options = options
    var service = Grpc_Testing_TestService.Client(channel)
    service.options = options
    self.service = service
  }

  /// The call's options, compressed or not.
  func compressed(_ isCompressed: Bool) -> CallOptions {
    var options = options
    options.compression = isCompressed ? .gzip : .identity
    return options
  }

  // MARK: Messages

  static let largeRequest = 271_828
  static let largeResponse = 314_159

  static func payload(_ size: Int) -> Grpc_Testing_Payload {
    .with { $0.body = .init(count: size) }
  }

  static func largeUnary() -> Grpc_Testing_SimpleRequest {
    .with {
      $0.responseSize = Int32(largeResponse)
      $0.payload = payload(largeRequest)
    }
  }

  static func output(_ size: Int, payload: Int? = nil) -> Grpc_Testing_StreamingOutputCallRequest {
    .with {
      $0.responseParameters = [.with { $0.size = Int32(size) }]
      if let payload { $0.payload = Caller.payload(payload) }
    }
  }

  static func flag(_ value: Bool) -> Grpc_Testing_BoolValue { .with { $0.value = value } }

  // MARK: Checks

  static func check(_ payload: Grpc_Testing_Payload, _ size: Int, _ what: String) throws {
    try InteropSupport.check(
      payload.body.count == size, "\(what) has \(payload.body.count) bytes instead of \(size)")
    try InteropSupport.check(
      payload.body == Data(count: size), "\(what) is not made of zeros")
  }

  /// The next response of a stream, which must come and have this size.
  static func take(
    _ replies: ResponseStream<Grpc_Testing_StreamingOutputCallResponse>, _ size: Int,
    _ number: Int
  ) async throws {
    guard let reply = try await replies.next() else {
      throw InteropFailure("the stream ended before reply \(number)")
    }
    try check(reply.payload, size, "reply \(number)")
  }

  static func end(
    _ replies: ResponseStream<Grpc_Testing_StreamingOutputCallResponse>
  ) async throws {
    let extra = try await replies.next()
    try InteropSupport.check(extra == nil, "the stream has one reply too many")
  }
}
