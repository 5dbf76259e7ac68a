// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import BenchStubs
import FoundationEssentials
import SwiftProtobuf
import TrunkProtobuf
import Trunkcall

struct Greeter: Helloworld_Greeter.Service {
  func sayHello(
    _ request: Helloworld_HelloRequest, _ call: ServerCall
  ) async throws -> Helloworld_HelloReply {
    .with { $0.message = "Hello, \(request.name)" }
  }
}

struct Bench: Bench_Bench.Service {
  func echo(_ request: Bench_Payload, _ call: ServerCall) async throws -> Bench_Payload { request }

  func down(
    _ request: Bench_DownRequest, _ replies: MessageWriter<Bench_Payload>, _ call: ServerCall
  ) async throws {
    let size = Int(min(max(0, request.size), 16 << 20))
    let message = Bench_Payload.with { $0.body = .init(repeating: UInt8(ascii: "x"), count: size) }
    for _ in 0..<max(0, request.count) { try await replies.write(message) }
  }

  func pingPong(
    _ requests: RequestStream<Bench_Payload>, _ replies: MessageWriter<Bench_Payload>,
    _ call: ServerCall
  ) async throws {
    for try await request in requests { try await replies.write(request) }
  }
}

/// Methods that nobody calls, to see what a long table costs.
struct MoreMethods: RPCService {
  let count: Int

  func register(in table: inout MethodTable) {
    for number in 0..<count {
      let method = MethodDescriptor<Helloworld_HelloRequest, Helloworld_HelloReply>(
        service: "bench.More\(number / 20)", method: "Method\(number)", request: .protobuf,
        reply: .protobuf)
      table.unary(method) { request, _ in .with { $0.message = request.name } }
    }
  }
}
