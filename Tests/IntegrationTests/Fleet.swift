// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Glibc
import GreeterStubs
import ProcessSupport
import SwiftProtobuf
import Testing
import TrunkConsul
import TrunkDiscovery
import TrunkSockets
import TrunkWire
import Trunkcall

/// A real agent and greeter servers, each a process of its own.
struct Fleet {
  let agent: ConsulProcess

  static func start() async throws -> Fleet { try await of(ConsulProcess.start()) }

  static func of(_ agent: ConsulProcess) async throws -> Fleet {
    let fleet = Fleet(agent: agent)
    #expect(
      try await fleet.eventually(within: .seconds(20)) {
        try await fleet.get("v1", "status", "leader").count > 4
      })
    return fleet
  }

  func server(_ arguments: String..., interval: String = "1s") async throws -> Server {
    let process = try ChildProcess(
      ChildProcess.built("greeter-server"),
      ["--host", "127.0.0.1", "--port", "0", "--check-interval", interval] + arguments,
      environment: ["CONSUL_HTTP_ADDR": agent.address])
    let line = try #require(
      try await process.line(containing: "listening on 127", within: .seconds(20)),
      "\(process.text)")
    return Server(process: process, address: String(line.dropFirst("listening on ".count)))
  }

  func channel(_ query: String = "") throws -> GRPCChannel {
    try GRPCChannel(
      to: "consul://\(agent.address)/helloworld\(query)", resolvers: [.consul()],
      balancer: "round_robin")
  }

  /// Ports of the passing instances, as the agent has them.
  func passing() async throws -> Set<String> {
    var request = HTTPRequest(.get)
    request.path = ["v1", "health", "service", "helloworld"]
    request.addQuery("passing", "1")
    let body = try await send(request)
    return Set(
      body.split(separator: "\"helloworld-127.0.0.1-").dropFirst().compactMap {
        $0.split(separator: "\"").first.map(String.init)
      })
  }

  func get(_ path: String...) async throws -> String {
    var request = HTTPRequest(.get)
    request.path = path
    return try await send(request)
  }

  private func send(_ request: HTTPRequest) async throws -> String {
    let client = try AgentClient(ConsulAgent(agent.address))
    guard let answer = try? await client.send(request, timeout: .seconds(2)) else { return "" }
    return String(decoding: answer.body, as: UTF8.self)
  }

  func eventually(within: Duration, _ condition: () async throws -> Bool) async throws -> Bool {
    let end = ContinuousClock.now + within
    while ContinuousClock.now < end {
      if try await condition() { return true }
      try await Task.sleep(for: .milliseconds(10))
    }
    return false
  }
}

struct Server: Sendable {
  let process: ChildProcess
  let address: String
  var port: String { String(address.split(separator: ":").last ?? "") }
}

/// Calls at a steady rate, whatever becomes of the earlier ones, and keeps what came of each.
final class Traffic: Sendable {
  struct Outcome: Sendable {
    var start: ContinuousClock.Instant
    var end: ContinuousClock.Instant
    var peer: String
    var error: RPCError?
  }
  private let outcomes = Locked<[Outcome]>([])
  private let runner = Locked<Task<Void, Never>?>(nil)

  /// 20 calls a second with a deadline of 1 s each.
  init(_ channel: GRPCChannel, every interval: Duration = .milliseconds(50)) {
    let task = Task { [self] in
      await withTaskGroup(of: Void.self) { group in
        var next = ContinuousClock.now
        while !Task.isCancelled {
          group.addTask { await self.call(channel) }
          next += interval
          try? await Task.sleep(until: next)
        }
      }
    }
    runner.withLock { $0 = task }
  }

  private func call(_ channel: GRPCChannel) async {
    let start = ContinuousClock.now
    var outcome = Outcome(start: start, end: start, peer: "", error: nil)
    let greeting = Helloworld_HelloRequest.with { $0.name = "fleet" }
    do throws(RPCError) {
      let reply = try await channel.unaryResponse(
        Helloworld_Greeter.Methods.sayHello, greeting, CallOptions(timeout: .seconds(1)))
      outcome.peer = reply.peer
    } catch { outcome.error = error }
    outcome.end = .now
    let finished = outcome
    // What was cancelled by the end of the test is no outcome.
    if !Task.isCancelled { outcomes.withLock { $0.append(finished) } }
  }

  var all: [Outcome] { outcomes.withLock { $0 } }
  var failures: [Outcome] { all.filter { $0.error != nil } }
  /// How many calls that began after `instant` have ended, one way or the other.
  func calls(after instant: ContinuousClock.Instant) -> Int { all.count { $0.start > instant } }

  func stop() async {
    let task = runner.withLock { $0 }
    task?.cancel()
    await task?.value
  }
}
