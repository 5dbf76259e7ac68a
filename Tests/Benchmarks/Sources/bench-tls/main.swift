// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
//
// What driver/tls.py calls: both sides of a connection, encrypted or not.
//   bench-tls server CERTIFICATES|-               prints `listening PORT`; ends at the end of stdin
//   bench-tls unary  CERTIFICATES|- PORT CALLS    100 callers
//   bench-tls down   CERTIFICATES|- PORT MESSAGES of 64 KiB
// CERTIFICATES is a folder that Scripts/certs made; - is plaintext.
import BenchStubs
import BenchSupport
import FoundationEssentials
import Glibc
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
    let message = Bench_Payload.with {
      $0.body = .init(repeating: UInt8(ascii: "x"), count: Int(request.size))
    }
    for _ in 0..<max(0, request.count) { try await replies.write(message) }
  }
  func pingPong(
    _ requests: RequestStream<Bench_Payload>, _ replies: MessageWriter<Bench_Payload>,
    _ call: ServerCall
  ) async throws {
    for try await request in requests { try await replies.write(request) }
  }
}

func serve(_ folder: String) async throws {
  var options = ServerOptions()
  options.loops = 1
  let security: ServerSecurity =
    folder == "-"
    ? .plaintext
    : .tls(
      ServerTLS(
        .files(certificates: "\(folder)/server.pem", privateKey: "\(folder)/server.key")))
  let server = GRPCServer(
    on: .tcp("127.0.0.1", 0), services: [Greeter(), Bench()], security: security, options: options)
  Task.detached {
    guard case .host(_, let port) = try? await server.listeningAddresses().first else {
      stop("no address")
    }
    say("listening \(port)")
  }
  try await server.run()
}

func call(_ mode: String, _ folder: String, _ port: UInt16, _ count: Int) async throws {
  var options = ChannelOptions()
  options.loops = 1
  let security: ChannelSecurity =
    folder == "-"
    ? .plaintext : .tls(ClientTLS(trust: .file("\(folder)/ca.pem"), serverName: "localhost"))
  let channel = try GRPCChannel(
    to: "passthrough:///127.0.0.1:\(port)", security: security, options: options)
  try await channel.ready(within: .seconds(20))
  func unary(_ count: Int) async throws {
    try await withThrowingTaskGroup(of: Void.self) { group in
      for _ in 0..<100 {
        group.addTask {
          let greeter = Helloworld_Greeter.Client(channel)
          let request = Helloworld_HelloRequest.with { $0.name = "world" }
          for _ in 0..<max(1, count / 100) {
            guard try await greeter.sayHello(request).message == "Hello, world" else {
              stop("wrong reply")
            }
          }
        }
      }
      try await group.waitForAll()
    }
  }
  func down(_ count: Int) async throws {
    let replies = try await Bench_Bench.Client(channel).down(
      .with {
        $0.count = Int32(clamping: count)
        $0.size = 65_536
      })
    var received = 0
    for try await reply in replies where reply.body.count == 65_536 { received += 1 }
    guard received == count else { stop("\(received) messages of \(count)") }
  }
  let run = mode == "unary" ? unary : down
  try await run(max(100, count / 10))
  let wall = now()
  let cpu = cpuTime()
  try await run(count)
  let seconds = Double(now() - wall) / 1e9
  say(
    "{\"per_s\": \(decimal(Double(count) / seconds)), \"cpu_us\": "
      + "\(decimal(Double(cpuTime() - cpu) / 1_000 / Double(count)))}")
  await channel.close()
}

let words = Array(CommandLine.arguments.dropFirst())
Task.detached {
  do {
    if words.count == 2, words[0] == "server" {
      try await serve(words[1])
    } else if words.count == 4, let port = UInt16(words[2]), let count = Int(words[3]) {
      try await call(words[0], words[1], port, count)
      exit(0)
    } else {
      stop("usage: bench-tls server|unary|down CERTIFICATES|- [PORT COUNT]")
    }
  } catch { stop("\(error)") }
}
if words.first == "server" {
  var byte: UInt8 = 0
  while read(0, &byte, 1) > 0 {}
  exit(0)
}
sleep(600)
stop("not done after ten minutes")
