// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import InteropStubs
internal import SwiftProtobuf
internal import Trunkcall

extension Caller {
  private static let requestSizes = [27_182, 8, 1_828, 45_904]
  private static let responseSizes = [31_415, 9, 2_653, 58_979]

  func clientStreaming() async throws {
    let call = try await service.streamingInputCall()
    for size in Caller.requestSizes {
      try await call.requests.write(.with { $0.payload = Caller.payload(size) })
    }
    try sum(try await call.response(), 74_922)
  }

  func clientCompressedStreaming(probes: Bool) async throws {
    func request(_ size: Int, expect: Bool) -> Grpc_Testing_StreamingInputCallRequest {
      .with {
        $0.payload = Caller.payload(size)
        $0.expectCompressed = Caller.flag(expect)
      }
    }
    if probes {
      // A server that checks the flag must refuse it.
      try await expect(.invalidArgument, of: "the probe, uncompressed where it should not be,") {
        let probe = try await service.streamingInputCall(options: compressed(false))
        try await probe.requests.write(request(27_182, expect: true))
        _ = try await probe.response()
      }
    }
    let call = try await service.streamingInputCall(options: compressed(true))
    try await call.requests.write(request(27_182, expect: true))
    try await call.requests.write(request(45_904, expect: false), compressed: false)
    try sum(try await call.response(), 73_086)
  }

  private func sum(_ response: Grpc_Testing_StreamingInputCallResponse, _ size: Int32) throws {
    try InteropSupport.check(
      response.aggregatedPayloadSize == size,
      "aggregated_payload_size is \(response.aggregatedPayloadSize) instead of \(size)")
  }

  func serverStreaming() async throws {
    let replies = try await service.streamingOutputCall(
      .with {
        $0.responseParameters = Caller.responseSizes.map { size in .with { $0.size = Int32(size) } }
      })
    for (index, size) in Caller.responseSizes.enumerated() {
      try await Caller.take(replies, size, index + 1)
    }
    try await Caller.end(replies)
  }

  func serverCompressedStreaming() async throws {
    let expected: [(size: Int, compressed: Bool)] = [(31_415, true), (92_653, false)]
    let replies = try await service.streamingOutputCall(
      .with {
        $0.responseParameters = expected.map { reply in
          .with {
            $0.size = Int32(reply.size)
            $0.compressed = Caller.flag(reply.compressed)
          }
        }
      })
    for (index, reply) in expected.enumerated() {
      try await Caller.take(replies, reply.size, index + 1)
      try InteropSupport.check(
        replies.lastMessageWasCompressed == reply.compressed,
        "the compressed flag of reply \(index + 1) is \(!reply.compressed)")
    }
    try await Caller.end(replies)
  }

  func pingPong() async throws {
    let call = try await service.fullDuplexCall()
    for (index, sizes) in zip(Caller.requestSizes, Caller.responseSizes).enumerated() {
      try await call.requests.write(Caller.output(sizes.1, payload: sizes.0))
      try await Caller.take(call.responses, sizes.1, index + 1)
    }
    try await call.requests.finish()
    try await Caller.end(call.responses)
  }

  /// Opens calls, which stay open, until one comes to the server by another connection.
  func connectionScaling() async throws {
    typealias Call = BidirectionalCall<
      Grpc_Testing_StreamingOutputCallRequest, Grpc_Testing_StreamingOutputCallResponse
    >
    var calls: [Call] = []
    var addresses: [String] = []
    while Set(addresses).count < 2 {
      try InteropSupport.check(calls.count <= 100, "101 calls are open on one connection")
      let call = try await service.fullDuplexCall()
      calls.append(call)
      try await call.requests.write(
        .with {
          $0.responseParameters = [
            .with {
              $0.size = 1
              $0.fillPeerSocketAddress.value = true
            }
          ]
        })
      let address = try await call.responses.next()?.peerSocketAddress ?? ""
      try InteropSupport.check(!address.isEmpty, "a response without the client's address")
      addresses.append(address)
    }
    for call in calls {
      try await call.requests.finish()
      try await Caller.end(call.responses)
    }
  }

  func emptyStream() async throws {
    let call = try await service.fullDuplexCall()
    try await call.requests.finish()
    try await Caller.end(call.responses)
  }

  func cancelAfterBegin() async throws {
    try await expect(.cancelled, of: "StreamingInputCall") {
      let call = try await service.streamingInputCall()
      call.cancel()
      _ = try await call.response()
    }
  }

  func cancelAfterFirstResponse() async throws {
    try await expect(.cancelled, of: "FullDuplexCall") {
      let call = try await service.fullDuplexCall()
      try await call.requests.write(Caller.output(31_415, payload: 27_182))
      try await Caller.take(call.responses, 31_415, 1)
      call.cancel()
      try await Caller.end(call.responses)
    }
  }

  func timeoutOnSleepingServer() async throws {
    var options = options
    options.timeout = .milliseconds(1)
    try await expect(.deadlineExceeded, of: "FullDuplexCall with 1 ms") {
      let call = try await service.fullDuplexCall(options: options)
      try await call.requests.write(.with { $0.payload = Caller.payload(27_182) })
      try await Caller.end(call.responses)
    }
  }
}
