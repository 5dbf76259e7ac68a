// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import FoundationEssentials
import InteropStubs
import InteropSupport
import SwiftProtobuf
import Testing
import Trunkcall

@Suite("The interop server does what the description asks beyond the cases")
struct InteropServiceTests {
  private typealias Methods = Grpc_Testing_TestService.Methods

  private func withService(
    _ body: (Grpc_Testing_TestService.Client) async throws -> Void
  ) async throws {
    let server = GRPCServer(on: .tcp("127.0.0.1", 0), services: [InteropTestService()])
    async let running: Void = server.run()
    let address = try #require(try await server.listeningAddresses().first)
    try await withChannel(to: "ipv4:\(address)") { channel in
      var client = Grpc_Testing_TestService.Client(channel)
      client.options.timeout = .seconds(30)
      try await body(client)
    }
    server.shutDown()
    try await running
  }

  private func code(_ body: () async throws(RPCError) -> Void) async -> RPCError.Code? {
    do throws(RPCError) { try await body() } catch { return error.code }
    return nil
  }

  @Test("sizes and types that it does not serve are refused")
  func refusals() async throws {
    try await withService { service in
      for (size, type, expected) in [
        (-1, .compressable, .invalidArgument), (1, .UNRECOGNIZED(7), .invalidArgument),
        (InteropTestService.maxPayload + 1, .compressable, .resourceExhausted),
      ] as [(Int, Grpc_Testing_PayloadType, RPCError.Code)] {
        let found = await code { () async throws(RPCError) in
          _ = try await service.unaryCall(
            .with {
              $0.responseSize = Int32(size)
              $0.responseType = type
            })
        }
        #expect(found == expected, "\(size), \(type)")
      }
    }
  }

  @Test("a compressed message where an uncompressed one is to come is INVALID_ARGUMENT")
  func unexpectedlyCompressed() async throws {
    try await withService { service in
      let found = await code { () async throws(RPCError) in
        var options = CallOptions(timeout: .seconds(30))
        options.compression = .gzip
        _ = try await service.unaryCall(
          .with {
            $0.payload.body = Data(count: 100)
            $0.expectCompressed = .with { $0.value = false }
          }, options: options)
      }
      #expect(found == .invalidArgument)
    }
  }

  @Test("HalfDuplexCall answers after the last request; CacheableUnaryCall may be cached")
  func rest() async throws {
    try await withService { service in
      let call = try await service.halfDuplexCall()
      for size: Int32 in [3, 5] {
        try await call.requests.write(.with { $0.responseParameters = [.with { $0.size = size }] })
      }
      try await call.requests.finish()
      var sizes: [Int] = []
      while let reply = try await call.responses.next() { sizes.append(reply.payload.body.count) }
      #expect(sizes == [3, 5])
      let response = try await service.invoker.unaryResponse(
        Methods.cacheableUnaryCall, Grpc_Testing_SimpleRequest(), service.options)
      #expect(response.initialMetadata["cache-control"]?.contains("max-age=60") == true)
      #expect(!response.message.payload.body.isEmpty)
    }
  }

  @Test("interval_us delays each reply")
  func interval() async throws {
    try await withService { service in
      let start = ContinuousClock.now
      let replies = try await service.streamingOutputCall(
        .with {
          $0.responseParameters = [
            .with { $0.intervalUs = 50_000 }, .with { $0.intervalUs = 50_000 },
          ]
        })
      while try await replies.next() != nil {}
      #expect(ContinuousClock.now - start >= .milliseconds(100))
    }
  }
}

@Suite("--additional_metadata")
struct AdditionalMetadataTests {
  @Test("pairs, several of one name, and what is escaped")
  func read() {
    #expect(Metadata(additional: "") == Metadata())
    #expect(Metadata(additional: "a:1;b:2;a:3") == ["a": "1", "b": "2", "a": "3"])
    #expect(Metadata(additional: "a:x:y") == ["a": "x:y"])
    #expect(Metadata(additional: #"a:x\;y\\"#) == ["a": #"x;y\"#])
    #expect(Metadata(additional: "a:") == ["a": ""])
  }

  @Test("what is no pair is refused", arguments: ["a", ":1", "a:1;", "a:1;b", #"a:1\"#, ";"])
  func refused(_ text: String) {
    #expect(Metadata(additional: text) == nil)
  }
}
