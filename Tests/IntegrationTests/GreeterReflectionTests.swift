// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import ProcessSupport
import SwiftProtobuf
import Testing
import TrunkServices
import Trunkcall

@Suite("greeter-server --reflection", .timeLimit(.minutes(1)))
struct GreeterReflectionTests {
  private func services(_ arguments: String...) async throws -> [String] {
    let process = try ChildProcess(
      ChildProcess.built("greeter-server"),
      ["--host", "127.0.0.1", "--port", "0", "--no-register"] + arguments)
    let line = try #require(
      try await process.line(containing: "listening on 127", within: .seconds(20)),
      "\(process.text)")
    return try await withChannel(to: "ipv4:\(line.dropFirst("listening on ".count))") { channel in
      let reflection = Grpc_Reflection_V1_ServerReflection.Client(channel)
      let stream = try await reflection.serverReflectionInfo()
      try await stream.requests.write(.with { $0.listServices = "" })
      try await stream.requests.finish()
      var names: [String] = []
      for try await reply in stream.responses {
        names += reply.listServicesResponse.service.map(\.name)
      }
      return names
    }
  }

  @Test("serves reflection when asked to, else not")
  func flag() async throws {
    #expect(
      try await services("--reflection") == [
        "grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection", "helloworld.Greeter",
      ])
    let error = await #expect(throws: RPCError.self) { try await services() }
    #expect(error?.code == .unimplemented)
  }
}
