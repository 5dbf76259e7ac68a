// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
//
// peer-client unary PORT CALLERS CALLS | echo PORT SIZE CALLS | down PORT COUNT SIZE
//             | pingpong PORT CALLS SIZE
import Foundation
import GRPCCore
import GRPCNIOTransportHTTP2
import GRPCProtobuf
import Messages

func clock(_ which: clockid_t) -> Double {
  var time = timespec()
  clock_gettime(which, &time)
  return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
}

func fail(_ why: String) -> Never {
  FileHandle.standardError.write(Data("peer-client: \(why)\n".utf8))
  exit(1)
}

struct Measured: Sendable {
  var wall = clock(CLOCK_MONOTONIC)
  var cpu = clock(CLOCK_PROCESS_CPUTIME_ID)

  func report(_ mode: String, _ units: Int, _ latencies: [Double] = [], bytes: Int = 0) {
    let wall = clock(CLOCK_MONOTONIC) - wall
    let cpu = clock(CLOCK_PROCESS_CPUTIME_ID) - cpu
    var text =
      "{\"mode\": \"\(mode)\", \"calls\": \(units), \"wall_s\": \(wall), \"per_s\": \(Double(units) / wall), \"cpu_us_per_call\": \(cpu * 1e6 / Double(units))"
    if bytes > 0 { text += ", \"mb_per_s\": \(Double(bytes) / 1e6 / wall)" }
    if !latencies.isEmpty {
      let sorted = latencies.sorted()
      let parts = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999), ("max", 1.0)].map {
        let rank = max(1, Int((Double(sorted.count) * $1).rounded(.up)))
        return "\"\($0)\": \(sorted[rank - 1] * 1e6)"
      }
      text += ", \"latency_us\": {\(parts.joined(separator: ", "))}"
    }
    print(text + "}")
  }
}

let arguments = CommandLine.arguments
guard arguments.count == 5, let port = Int(arguments[2]), let a = Int(arguments[3]),
  let b = Int(arguments[4])
else { fail("usage: peer-client MODE PORT A B") }
let mode = arguments[1]

var options = CallOptions.defaults
options.maxResponseMessageBytes = 64 << 20
let callOptions = options
let hello = MethodDescriptor(fullyQualifiedService: "helloworld.Greeter", method: "SayHello")
@Sendable func bench(_ name: String) -> MethodDescriptor {
  MethodDescriptor(fullyQualifiedService: "bench.Bench", method: name)
}

try await withGRPCClient(
  transport: .http2NIOPosix(
    target: .ipv4(address: "127.0.0.1", port: port), transportSecurity: .plaintext)
) { client in
  @Sendable func sayHello() async throws {
    try await client.unary(
      request: ClientRequest(message: Helloworld_HelloRequest.with { $0.name = "world" }),
      descriptor: hello, serializer: ProtobufSerializer<Helloworld_HelloRequest>(),
      deserializer: ProtobufDeserializer<Helloworld_HelloReply>(), options: callOptions
    ) { response in
      guard try response.message.message == "Hello, world" else { fail("wrong reply") }
    }
  }
  @Sendable func unary(_ callers: Int, _ calls: Int) async throws -> [Double] {
    try await withThrowingTaskGroup(of: [Double].self) { group in
      for _ in 0..<callers {
        group.addTask {
          var latencies: [Double] = []
          for _ in 0..<max(1, calls / callers) {
            let start = clock(CLOCK_MONOTONIC)
            try await sayHello()
            latencies.append(clock(CLOCK_MONOTONIC) - start)
          }
          return latencies
        }
      }
      var all: [Double] = []
      for try await latencies in group { all += latencies }
      return all
    }
  }

  switch mode {
  case "unary":
    _ = try await unary(a, max(a, b / 10))
    let start = Measured()
    let latencies = try await unary(a, b)
    start.report(mode, latencies.count, latencies)
  case "echo":
    let request = Bench_Payload.with {
      $0.body = Data((0..<a).map { UInt8(truncatingIfNeeded: $0 &* 31) })
    }
    @Sendable func once() async throws -> Double {
      let start = clock(CLOCK_MONOTONIC)
      try await client.unary(
        request: ClientRequest(message: request), descriptor: bench("Echo"),
        serializer: ProtobufSerializer<Bench_Payload>(),
        deserializer: ProtobufDeserializer<Bench_Payload>(), options: callOptions
      ) { response in
        guard try response.message == request else { fail("wrong reply") }
      }
      return clock(CLOCK_MONOTONIC) - start
    }
    for _ in 0..<3 { _ = try await once() }
    let start = Measured()
    var latencies: [Double] = []
    for _ in 0..<b { latencies.append(try await once()) }
    start.report(mode, b, latencies, bytes: a * b)
  case "down":
    let expected = Bench_Payload.with { $0.body = Data(repeating: 120, count: b) }
    @Sendable func once(_ count: Int) async throws {
      let request = Bench_DownRequest.with {
        $0.count = Int32(count)
        $0.size = Int32(b)
      }
      try await client.serverStreaming(
        request: ClientRequest(message: request), descriptor: bench("Down"),
        serializer: ProtobufSerializer<Bench_DownRequest>(),
        deserializer: ProtobufDeserializer<Bench_Payload>(), options: callOptions
      ) { response in
        var received = 0
        for try await message in response.messages {
          guard message == expected else { fail("wrong message") }
          received += 1
        }
        guard received == count else { fail("\(received) of \(count)") }
      }
    }
    try await once(max(1, a / 10))
    let start = Measured()
    try await once(a)
    start.report(mode, a, bytes: a * b)
  case "pingpong":
    let message = Bench_Payload.with { $0.body = Data(repeating: 122, count: b) }
    let (replies, turn) = AsyncStream.makeStream(of: Void.self)
    try await client.bidirectionalStreaming(
      request: StreamingClientRequest { writer in
        try await writer.write(message)
        for await _ in replies { try await writer.write(message) }
      },
      descriptor: bench("PingPong"), serializer: ProtobufSerializer<Bench_Payload>(),
      deserializer: ProtobufDeserializer<Bench_Payload>(), options: callOptions
    ) { response in
      var latencies: [Double] = []
      var start = Measured()
      var last = clock(CLOCK_MONOTONIC)
      var received = 0
      for try await reply in response.messages {
        guard reply == message else { fail("wrong message") }
        let time = clock(CLOCK_MONOTONIC)
        received += 1
        if received > 200 { latencies.append(time - last) } else { start = Measured() }
        last = time
        if received == a + 200 { turn.finish() } else { turn.yield() }
      }
      start.report(mode, a, latencies)
    }
  default: fail("unary, echo, down or pingpong")
  }
}
