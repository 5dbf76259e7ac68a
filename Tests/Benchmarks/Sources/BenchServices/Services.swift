// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
public import BenchStubs
internal import FoundationEssentials
internal import SwiftProtobuf
internal import TrunkProtobuf
public import Trunkcall

public struct Greeter: Helloworld_Greeter.Service {
  public init() {}

  public func sayHello(
    _ request: Helloworld_HelloRequest, _ call: ServerCall
  ) async throws -> Helloworld_HelloReply {
    .with { $0.message = "Hello, \(request.name)" }
  }
}

/// Asks another greeter, through a channel that shares the server's loops.
public struct Forwarder: Helloworld_Greeter.Service {
  let next: Helloworld_Greeter.Client

  public init(to channel: GRPCChannel) { next = Helloworld_Greeter.Client(channel) }

  public func sayHello(
    _ request: Helloworld_HelloRequest, _ call: ServerCall
  ) async throws -> Helloworld_HelloReply {
    try await next.sayHello(request)
  }
}

public struct Bench: Bench_Bench.Service {
  public init() {}

  public func echo(_ request: Bench_Payload, _ call: ServerCall) async throws -> Bench_Payload {
    request
  }

  public func down(
    _ request: Bench_DownRequest, _ replies: MessageWriter<Bench_Payload>, _ call: ServerCall
  ) async throws {
    let size = Int(min(max(0, request.size), 16 << 20))
    let message = Bench_Payload.with { $0.body = .init(repeating: UInt8(ascii: "x"), count: size) }
    for _ in 0..<max(0, request.count) { try await replies.write(message) }
  }

  public func pingPong(
    _ requests: RequestStream<Bench_Payload>, _ replies: MessageWriter<Bench_Payload>,
    _ call: ServerCall
  ) async throws {
    for try await request in requests { try await replies.write(request) }
  }
}

/// Methods that nobody calls, to see what a long table costs.
public struct MoreMethods: RPCService {
  let count: Int

  public init(count: Int) { self.count = count }

  public func register(in table: inout MethodTable) {
    for number in 0..<count {
      let method = MethodDescriptor<Helloworld_HelloRequest, Helloworld_HelloReply>(
        service: "bench.More\(number / 20)", method: "Method\(number)", request: .protobuf,
        response: .protobuf)
      table.unary(method) { request, _ in .with { $0.message = request.name } }
    }
  }
}
