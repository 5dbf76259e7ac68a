// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import InteropStubs
internal import SwiftProtobuf
internal import Trunkcall

extension Caller {
  func emptyUnary() async throws {
    let response = try await service.emptyCall(Grpc_Testing_Empty())
    try InteropSupport.check(response == Grpc_Testing_Empty(), "the response is not empty")
  }

  func largeUnary() async throws {
    let response = try await service.unaryCall(Caller.largeUnary())
    try Caller.check(response.payload, Caller.largeResponse, "the response")
  }

  func clientCompressedUnary(probes: Bool) async throws {
    var request = Caller.largeUnary()
    request.expectCompressed = Caller.flag(true)
    if probes {
      // A server that checks the flag must refuse it.
      try await expect(.invalidArgument, of: "the probe, uncompressed where it should not be,") {
        _ = try await service.unaryCall(request, options: compressed(false))
      }
    }
    let compressedReply = try await service.unaryCall(request, options: compressed(true))
    try Caller.check(
      compressedReply.payload, Caller.largeResponse, "the response to a compressed request")
    request.expectCompressed = Caller.flag(false)
    let plain = try await service.unaryCall(request, options: compressed(false))
    try Caller.check(plain.payload, Caller.largeResponse, "the response to an uncompressed request")
  }

  func serverCompressedUnary() async throws {
    for wanted in [true, false] {
      var request = Caller.largeUnary()
      request.responseCompressed = Caller.flag(wanted)
      let response = try await channel.unaryResponse(
        Grpc_Testing_TestService.Methods.unaryCall, request, options)
      try InteropSupport.check(
        response.wasCompressed == wanted,
        "asked for response_compressed \(wanted), the response's compressed flag is \(!wanted)")
      try Caller.check(response.message.payload, Caller.largeResponse, "the response")
    }
  }

  func statusCodeAndMessage() async throws {
    try await echoStatus(2, "test status message", overStream: true)
  }

  func specialStatusMessage() async throws {
    try await echoStatus(
      2, "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n", overStream: false)
  }

  private func echoStatus(_ code: Int, _ message: String, overStream: Bool) async throws {
    guard let expected = RPCError.Code(rawValue: code) else { return }
    let status = Grpc_Testing_EchoStatus.with {
      $0.code = Int32(code)
      $0.message = message
    }
    try await expect(expected, message: message, of: "UnaryCall") {
      _ = try await service.unaryCall(.with { $0.responseStatus = status })
    }
    guard overStream else { return }
    try await expect(expected, message: message, of: "FullDuplexCall") {
      let call = try await service.fullDuplexCall()
      try await call.requests.write(.with { $0.responseStatus = status })
      try await call.requests.finish()
      try await Caller.end(call.responses)
    }
  }

  func unimplementedMethod() async throws {
    try await expect(.unimplemented, of: "TestService/UnimplementedCall") {
      _ = try await service.unimplementedCall(Grpc_Testing_Empty())
    }
  }

  func unimplementedService() async throws {
    try await expect(.unimplemented, of: "UnimplementedService/UnimplementedCall") {
      _ = try await Grpc_Testing_UnimplementedService.Client(channel)
        .unimplementedCall(Grpc_Testing_Empty(), options: options)
    }
  }

  func customMetadata() async throws {
    let text = "test_initial_metadata_value"
    let bytes: [UInt8] = [0xab, 0xab, 0xab]
    var options = options
    options.metadata.add(text, for: InteropTestService.echoInitial)
    options.metadata.add(binary: bytes, for: InteropTestService.echoTrailing)
    func compare(_ initial: Metadata, _ trailing: Metadata, _ what: String) throws {
      let texts = initial[all: InteropTestService.echoInitial]
      try InteropSupport.check(texts == [text], "\(what): the initial metadata came as \(texts)")
      let binaries = trailing[binary: InteropTestService.echoTrailing]
      try InteropSupport.check(
        binaries == [bytes], "\(what): the trailing metadata came as \(binaries)")
    }
    let response = try await channel.unaryResponse(
      Grpc_Testing_TestService.Methods.unaryCall, Caller.largeUnary(), options)
    try Caller.check(response.message.payload, Caller.largeResponse, "the response")
    try compare(response.initialMetadata, response.trailingMetadata, "UnaryCall")

    let call = try await service.fullDuplexCall(options: options)
    try await call.requests.write(
      Caller.output(Caller.largeResponse, payload: Caller.largeRequest))
    try await call.requests.finish()
    try await Caller.take(call.responses, Caller.largeResponse, 1)
    try await Caller.end(call.responses)
    try compare(
      try await call.responses.initialMetadata, await call.responses.trailingMetadata,
      "FullDuplexCall")
  }

  func pickFirstUnary() async throws {
    var first: String?
    for number in 1...100 {
      let response = try await service.unaryCall(
        .with {
          $0.responseSize = 1
          $0.payload = Caller.payload(1)
          $0.fillServerID = true
        })
      try InteropSupport.check(!response.serverID.isEmpty, "call \(number) came without server_id")
      try InteropSupport.check(
        first == nil || first == response.serverID,
        "call \(number) went to \(response.serverID), the first to \(first ?? "")")
      first = response.serverID
    }
  }

  func concurrentLargeUnary() async throws {
    try await withThrowingTaskGroup(of: Void.self) { group in
      for _ in 0..<1_000 { group.addTask { try await largeUnary() } }
      try await group.waitForAll()
    }
  }
}
