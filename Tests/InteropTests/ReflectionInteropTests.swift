// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import EchoService
import FoundationEssentials
import Glibc
import GreeterStubs
import InteropStubs
import InteropSupport
import ProcessSupport
import SwiftProtobuf
import Testing
import TrunkServices
import Trunkcall

import enum OddStubs.AnyService
import enum OddStubs.Class
import enum OddStubs.Client2
import enum OddStubs.DoubleService
import enum OddStubs.SwiftProtobufService
import enum OddStubs.TypeService

private struct Greeter: Helloworld_Greeter.Service {
  func sayHello(
    _ request: Helloworld_HelloRequest, _ call: ServerCall
  ) async throws -> Helloworld_HelloReply { .with { $0.message = "Hello \(request.name)" } }
}
private struct Odd: TypeService.Service {}
private struct Empty: Client2.Service {}
private struct OddAny: AnyService.Service {}
private struct OddClass: Class.Service {}
private struct OddDouble: DoubleService.Service {}
private struct OddSwiftProtobuf: SwiftProtobufService.Service {}
private struct Unimplemented: Grpc_Testing_UnimplementedService.Service {}
private struct Reconnect: Grpc_Testing_ReconnectService.Service {}
private struct Statistics: Grpc_Testing_LoadBalancerStatsService.Service {}
private struct Health: Grpc_Testing_XdsUpdateHealthService.Service {}
private struct Configure: Grpc_Testing_XdsUpdateClientConfigureService.Service {}

@Suite("Foreign clients read reflection", .timeLimit(.minutes(3)))
struct ReflectionInteropTests {
  /// Every service with public stubs, and the .proto files that define them.
  private let services: [any RPCService] = [
    Greeter(), EchoService(), InteropTestService(), Unimplemented(), Reconnect(), Statistics(),
    Health(), Configure(), Odd(), Empty(), OddAny(), OddClass(), OddDouble(), OddSwiftProtobuf(),
    HealthService(), LoadReportService(LoadRecorder()), ReflectionService(),
  ]
  private let protos = [
    "helloworld.proto", "trunkcall/echo.proto", "trunkcall/odd.proto", "grpc/testing/test.proto",
    "grpc/health/v1/health.proto", "xds/service/orca/v3/orca.proto",
    "grpc/reflection/v1/reflection.proto", "grpc/reflection/v1alpha/reflection.proto",
  ]
  private let root = "/" + #filePath.split(separator: "/").dropLast(3).joined(separator: "/")

  private func withServer(_ body: (String) async throws -> Void) async throws {
    let server = GRPCServer(on: .tcp("127.0.0.1", 0), services: services)
    let running = Task { try await server.run() }
    defer { running.cancel() }
    try await body(try #require(try await server.listeningAddresses().first).description)
    server.shutDown()
    try await running.value
  }

  /// The descriptors as protoc itself writes them.
  private func descriptorSet(_ file: String) async throws {
    var path = [CChar](repeating: 0, count: 4096)
    let count = max(0, readlink("/proc/self/exe", &path, path.count))
    let build = String(decoding: path[..<count].map(UInt8.init(bitPattern:)), as: UTF8.self)
      .split(separator: "/").dropLast(3).joined(separator: "/")
    let protoc = try ChildProcess(
      "/usr/bin/env",
      [
        "protoc", "-I", root + "/Protos", "-I",
        "/\(build)/checkouts/swift-protobuf/Protos/Sources/SwiftProtobuf", "--include_imports",
        "--descriptor_set_out=\(file)",
      ] + protos)
    try #require(try await protoc.exit(within: .seconds(30)) == 0, "\(protoc.text)")
  }

  private struct Result: Decodable {
    var `case`: String
    var ok: Bool
    var why: String
  }

  /// Calls Greeter by 16 callers until `body` is done. None may fail.
  private func underLoad(_ address: String, _ body: () async throws -> Void) async throws {
    try await withChannel(to: "ipv4:\(address)") { channel in
      let load = Task {
        try await withThrowingTaskGroup(of: Int.self) { group in
          for _ in 0..<16 {
            group.addTask {
              let greeter = Helloworld_Greeter.Client(channel)
              var count = 0
              while !Task.isCancelled {
                let options = CallOptions(timeout: .seconds(20))
                do {
                  let reply = try await greeter.sayHello(.with { $0.name = "x" }, options: options)
                  guard reply.message == "Hello x" else { throw RPCError(.dataLoss, reply.message) }
                  count += 1
                } catch  where Task.isCancelled { break }
              }
              return count
            }
          }
          return try await group.reduce(0, +)
        }
      }
      defer { load.cancel() }
      try await body()
      load.cancel()
      #expect(try await load.value > 0)
    }
  }

  @Test("grpcio lists and describes every service, with protoc's descriptors, and calls by them")
  func grpcio() async throws {
    let set = "/tmp/trunkcall-set-\(getpid())-\(UUID().uuidString)"
    defer { unlink(set) }
    try await descriptorSet(set)
    try await withServer { address in
      let client = try Grpcio.start("describe", address, set, script: "reflection.py")
      try await underLoad(address) {
        let status = try await client.exit(within: .seconds(120))
        #expect(status == 0, "\(client.text)")
      }
      var seen: Set<String> = []
      for line in client.lines where line.hasPrefix("{") {
        let result = try JSONDecoder().decode(Result.self, from: Data(line.utf8))
        seen.insert(result.case)
        #expect(result.ok, "\(result.case): \(result.why)")
      }
      let cases: Set = [
        "listed", "described", "same_bytes", "unknown", "extensions", "one_stream", "call",
      ]
      #expect(seen == cases, "\(client.text)")
    }
  }

  /// - Returns: what `buf curl` prints.
  private func buf(_ arguments: String...) async throws -> String {
    let cached = root + "/.cache/buf/buf"
    let program = access(cached, X_OK) == 0 ? [cached] : ["buf"]
    let client = try ChildProcess(
      "/usr/bin/env",
      program + ["curl", "--protocol", "grpc", "--http2-prior-knowledge"] + arguments)
    #expect(
      try await client.exit(within: .seconds(60)) == 0, "run Scripts/setup test? \(client.text)")
    return client.text
  }

  @Test("buf curl lists, describes and calls without a .proto", arguments: ["v1", "v1alpha"])
  func bufCurl(version: String) async throws {
    let names = ServedServices(of: services).names
    try await withServer { address in
      let reflect = "--reflect-protocol=grpc-\(version)"
      let listed = try await buf(reflect, "--list-services", "http://\(address)")
      #expect(listed.split(separator: "\n").map(String.init).sorted() == names)
      let methods = try await buf(reflect, "--list-methods", "http://\(address)")
      for method in [
        "helloworld.Greeter/SayHello", "grpc.health.v1.Health/Watch", "Type/get_all_things",
        "grpc.testing.TestService/StreamingInputCall", "trunkcall.test.Echo/Chat",
        "grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        "xds.service.orca.v3.OpenRcaService/StreamCoreMetrics",
      ] {
        #expect(methods.split(separator: "\n").contains { $0 == method }, "\(method): \(methods)")
      }
      let greeting = try await buf(
        reflect, "-d", #"{"name": "buf"}"#, "http://\(address)/helloworld.Greeter/SayHello")
      #expect(greeting.contains("Hello buf"))
      let health = try await buf(
        reflect, "-d", #"{"service": "Type"}"#, "http://\(address)/grpc.health.v1.Health/Check")
      #expect(health.contains("SERVING"))
    }
  }
}
