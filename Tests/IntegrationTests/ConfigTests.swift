// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import GreeterStubs
import ProcessSupport
import SwiftProtobuf
import Testing
import TrunkConsul
import TrunkDiscovery
import TrunkSockets
import Trunkcall

/// A greeter that can be told to fail every first attempt.
private final class Failing: Helloworld_Greeter.Service {
  private let fails = Locked(false)
  func fail() { fails.withLock { $0 = true } }

  func sayHello(
    _ request: Helloworld_HelloRequest, _ call: ServerCall
  ) async throws -> Helloworld_HelloReply {
    if fails.withLock({ $0 }), call.previousAttempts == 0 {
      throw RPCError(.unavailable, "the first attempt")
    }
    return .with { $0.message = "Hello \(request.name)" }
  }
}

@Suite("A service config in Consul's KV store", .timeLimit(.minutes(2)))
struct ConfigTests {
  private let key = ["v1", "kv", "trunkcall", "hello"]

  private func send(
    _ method: HTTPRequest.Method, _ path: [String], _ body: String, to agent: String
  )
    async throws
  {
    var request = HTTPRequest(method)
    request.path = path
    request.body = Array(body.utf8)
    _ = try await AgentClient(ConsulAgent(agent)).send(request, timeout: .seconds(5))
  }

  /// The library never deletes a key.
  private func deleteKey(at agent: String) async throws {
    let port = try #require(UInt16(agent.split(separator: ":").last ?? ""))
    let stream = try await ByteStream.connect(
      to: .host("127.0.0.1", port), on: EventLoopGroup.shared.next(), timeout: .seconds(5))
    defer { stream.close() }
    let head = "DELETE /\(key.joined(separator: "/")) HTTP/1.1\r\nHost: consul\r\n\r\n"
    try await stream.write(Array(head.utf8), timeout: .seconds(5))
    let answer = String(decoding: try await stream.read(timeout: .seconds(5)), as: UTF8.self)
    try #require(answer.hasPrefix("HTTP/1.1 200"), "\(answer)")
  }

  @Test("balancer and retry policy of a running channel follow the key, and no call fails")
  func follows() async throws {
    let fleet = try await Fleet.start()
    let agent = fleet.agent.address
    let greeters = [Failing(), Failing()]
    let servers = greeters.map { GRPCServer(on: .tcp("127.0.0.1", 0), services: [$0]) }
    let runs = servers.map { server in Task { try await server.run() } }
    var peers: Set<String> = []
    for server in servers {
      for case .host(_, let port) in try await server.listeningAddresses() {
        peers.insert("127.0.0.1:\(port)")
        try await send(
          .put, ["v1", "agent", "service", "register"],
          #"{"ID": "h-\#(port)", "Name": "kvhello", "Address": "127.0.0.1", "Port": \#(port)}"#,
          to: agent)
      }
    }
    let channel = try GRPCChannel(
      to: "consul://\(agent)/kvhello?config=kv:trunkcall/hello", resolvers: [.consul()])
    try await channel.ready(within: .seconds(5))
    let traffic = Traffic(channel, every: .milliseconds(10))
    func called(since start: ContinuousClock.Instant) -> Set<String> {
      Set(traffic.all.filter { $0.start > start }.map(\.peer))
    }
    func explains(_ text: String) async throws -> Bool {
      try await fleet.eventually(within: .seconds(5)) {
        await channel.explain().description.contains(text)
      }
    }
    #expect(try await explains("no config at kv:trunkcall/hello"))
    #expect(try await fleet.eventually(within: .seconds(5)) { traffic.all.count > 20 })
    #expect(Set(traffic.all.map(\.peer)).count == 1, "pick_first")

    var since = ContinuousClock.now
    try await send(.put, key, #"{"loadBalancingConfig": [{"round_robin": {}}]}"#, to: agent)
    #expect(
      try await fleet.eventually(within: .seconds(5)) {
        called(since: since).isSuperset(of: peers)
      },
      "round_robin")
    let former = traffic.all.first?.peer
    if let first = traffic.all.first(where: { $0.start > since && $0.peer != former }) {
      print("the first call by the new policy: \(first.start - since) after the key was written")
    }

    // What cannot be read changes nothing, and says why.
    try await send(.put, key, #"{"loadBalancingConfig": [{"round_robin"#, to: agent)
    #expect(try await explains("refused: service config: kv:trunkcall/hello"))
    #expect(await channel.explain().policy?.name == "round_robin")

    try await send(
      .put, key,
      #"""
      {"loadBalancingConfig": [{"round_robin": {}}], "methodConfig": [{"name": [{}],
        "retryPolicy": {"maxAttempts": 3, "initialBackoff": "0.001s", "maxBackoff": "0.01s",
          "backoffMultiplier": 1, "retryableStatusCodes": ["UNAVAILABLE"]}}]}
      """#, to: agent)
    #expect(try await explains("retryPolicy"))
    for greeter in greeters { greeter.fail() }
    since = .now
    #expect(
      try await fleet.eventually(within: .seconds(5)) { traffic.calls(after: since) >= 50 })
    await traffic.stop()
    #expect(traffic.failures.isEmpty, "\(traffic.failures.first?.error?.description ?? "")")
    print("\(traffic.all.count) calls, \(traffic.failures.count) failed")

    try await deleteKey(at: agent)
    #expect(try await explains("no config at kv:trunkcall/hello"))
    #expect(await channel.explain().policy?.name == "pick_first")
    await channel.close()
    for run in runs { run.cancel() }
    for run in runs { _ = try? await run.value }
    try await fleet.agent.kill()
  }
}
