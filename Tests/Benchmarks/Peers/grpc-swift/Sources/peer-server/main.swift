// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
//
// peer-server PORT
import Foundation
import GRPCCore
import GRPCNIOTransportHTTP2
import GRPCProtobuf
import Messages

struct Greeter: RegistrableRPCService {
  func registerMethods<Transport: ServerTransport>(with router: inout RPCRouter<Transport>) {
    router.registerHandler(
      forMethod: MethodDescriptor(fullyQualifiedService: "helloworld.Greeter", method: "SayHello"),
      deserializer: ProtobufDeserializer<Helloworld_HelloRequest>(),
      serializer: ProtobufSerializer<Helloworld_HelloReply>()
    ) { request, _ in
      let request = try await ServerRequest(stream: request)
      let reply = Helloworld_HelloReply.with { $0.message = "Hello, \(request.message.name)" }
      return StreamingServerResponse(single: ServerResponse(message: reply))
    }
  }
}

struct Bench: RegistrableRPCService {
  func registerMethods<Transport: ServerTransport>(with router: inout RPCRouter<Transport>) {
    router.registerHandler(
      forMethod: MethodDescriptor(fullyQualifiedService: "bench.Bench", method: "Echo"),
      deserializer: ProtobufDeserializer<Bench_Payload>(),
      serializer: ProtobufSerializer<Bench_Payload>()
    ) { request, _ in
      let request = try await ServerRequest(stream: request)
      return StreamingServerResponse(single: ServerResponse(message: request.message))
    }
    router.registerHandler(
      forMethod: MethodDescriptor(fullyQualifiedService: "bench.Bench", method: "Down"),
      deserializer: ProtobufDeserializer<Bench_DownRequest>(),
      serializer: ProtobufSerializer<Bench_Payload>()
    ) { request, _ in
      let request = try await ServerRequest(stream: request).message
      return StreamingServerResponse { writer in
        let message = Bench_Payload.with {
          $0.body = Data(repeating: 120, count: Int(request.size))
        }
        for _ in 0..<max(0, request.count) { try await writer.write(message) }
        return [:]
      }
    }
    router.registerHandler(
      forMethod: MethodDescriptor(fullyQualifiedService: "bench.Bench", method: "PingPong"),
      deserializer: ProtobufDeserializer<Bench_Payload>(),
      serializer: ProtobufSerializer<Bench_Payload>()
    ) { request, _ in
      StreamingServerResponse { writer in
        for try await message in request.messages { try await writer.write(message) }
        return [:]
      }
    }
  }
}

let port = CommandLine.arguments.count > 1 ? Int(CommandLine.arguments[1]) ?? 0 : 0
let server = GRPCServer(
  transport: .http2NIOPosix(
    address: .ipv4(host: "127.0.0.1", port: port), transportSecurity: .plaintext),
  services: [Greeter(), Bench()])
let serving = Task { try await server.serve() }
Task {
  guard let address = try await server.listeningAddress, let port = address.ipv4?.port else {
    exit(1)
  }
  FileHandle.standardOutput.write(Data("listening \(port)\n".utf8))
}
Thread.detachNewThread {
  while readLine() != nil {}
  exit(0)
}
try await serving.value
