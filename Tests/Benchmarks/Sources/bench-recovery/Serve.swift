// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import BenchStubs
import BenchSupport
import Glibc
import Logging
import SwiftProtobuf
import Synchronization
import TrunkConsul
import TrunkServices
import Trunkcall

/// What a back end does to its calls; set by lines on stdin.
final class Fault: Sendable {
  let milliseconds = Atomic<Int>(0)
  let failingPercent = Atomic<Int>(0)
  let calls = Atomic<Int>(0)

  func follow(_ line: String) {
    let words = line.split(separator: " ")
    let number = words.count == 2 ? Int(words[1]) ?? 0 : 0
    switch words.first {
    case "slow": milliseconds.store(number, ordering: .relaxed)
    case "fail": failingPercent.store(number, ordering: .relaxed)
    case "well":
      milliseconds.store(0, ordering: .relaxed)
      failingPercent.store(0, ordering: .relaxed)
    case "count": say("count \(calls.load(ordering: .relaxed))")
    default: stop("\(line): slow MS, fail PERCENT, well or count")
    }
  }
}

/// Answers after 2 ms and an exponentially distributed time of 3 ms on average: p50 4.1, p95 11.0, p99
/// 15.8 ms. A failing call fails at once.
struct BackEnd: Helloworld_Greeter.Service {
  let fault: Fault

  func sayHello(
    _ request: Helloworld_HelloRequest, _ call: ServerCall
  ) async throws -> Helloworld_HelloReply {
    fault.calls.wrappingAdd(1, ordering: .relaxed)
    let failing = fault.failingPercent.load(ordering: .relaxed)
    if failing > 0, Int.random(in: 0..<100) < failing {
      throw RPCError(.unavailable, "this back end fails \(failing) % of its calls")
    }
    let service = 2 - 3 * log(Double.random(in: 0.000_001...1))
    let slow = Double(fault.milliseconds.load(ordering: .relaxed))
    try await Task.sleep(for: .microseconds(Int((service + slow) * 1_000)))
    return .with { $0.message = "Hello, \(request.name)" }
  }
}

func serve(_ flags: Flags) -> Never {
  let fault = Fault()
  var options = ServerOptions()
  options.loops = 1
  let recorder = LoadRecorder()
  options.loadRecorder = recorder
  let server = GRPCServer(
    on: .tcp(flags.text("host", "127.0.0.1"), UInt16(clamping: flags.number("port", 0))),
    services: [BackEnd(fault: fault), HealthService()], options: options)
  let agent = flags.text("consul", "")
  let name = flags.text("name", "recovery")
  let logger = Logger(label: "bench-recovery")

  Task.detached {
    do {
      if agent.isEmpty {
        try await runUntilSignalled(server, logger: logger)
      } else {
        let registration = ConsulRegistration(
          name, of: server, agent: ConsulAgent(agent), check: .grpc(every: .seconds(1)),
          logger: logger)
        try await runUntilSignalled(server, registration, logger: logger)
      }
      exit(0)
    } catch { stop("\(error)") }
  }
  Task.detached {
    guard case .host(_, let port) = try? await server.listeningAddresses().first else {
      stop("no address")
    }
    say("listening \(port)")
  }
  // For weighted_round_robin: all alike.
  Task.detached {
    var before = 0
    while true {
      try await Task.sleep(for: .seconds(1))
      let calls = fault.calls.load(ordering: .relaxed)
      let rate = Double(calls - before)
      before = calls
      try recorder.update {
        $0.cpuUtilization = max(rate, 1) / 1_000
        $0.requestsPerSecond = max(rate, 1)
      }
    }
  }
  while let line = readLine() { fault.follow(line) }
  kill(getpid(), SIGTERM)
  while true { pause() }
}
