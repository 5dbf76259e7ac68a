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

private struct Greeting: Helloworld_Greeter.Service {
  func sayHello(
    _ request: Helloworld_HelloRequest, _ call: ServerCall
  ) async throws -> Helloworld_HelloReply {
    .with { $0.message = "Hello \(request.name)" }
  }
}

/// Servers of one process, registered with a version each at an agent of their own.
private final class Versions: Sendable {
  let fleet: Fleet
  private let servers = Locked<[String: (server: GRPCServer, run: Task<Void, any Error>)]>([:])
  private let versions = Locked<[String: String]>([:])
  var agent: String { fleet.agent.address }

  private let token: String?

  /// - Parameters:
  ///   - configuration: of the agent, in HCL.
  ///   - token: for what is put there.
  init(_ configuration: String = "", token: String? = nil) async throws {
    fleet = try await Fleet.of(ConsulProcess.start(configuration))
    self.token = token
  }

  func put(_ path: String..., body: String) async throws {
    var request = HTTPRequest(.put)
    request.path = path
    request.body = Array(body.utf8)
    let to = ConsulAgent(agent, token: token.map { .value($0) })
    _ = try await AgentClient(to).send(request, timeout: .seconds(5))
  }
  func configure(_ entry: String) async throws { try await put("v1", "config", body: entry) }

  /// - Returns: its address, as calls have it as their peer.
  @discardableResult
  func serve(_ service: String, version: String, status: String = "passing") async throws -> String
  {
    let server = GRPCServer(on: .tcp("127.0.0.1", 0), services: [Greeting()])
    let run = Task { try await server.run() }
    guard case .host(_, let port) = try await server.listeningAddresses().first else {
      throw RPCError(.unavailable, "no port")
    }
    let peer = "127.0.0.1:\(port)"
    servers.withLock { $0[peer] = (server, run) }
    versions.withLock { $0[peer] = version }
    try await put(
      "v1", "agent", "service", "register",
      body: #"""
        {"ID": "\#(service)-\#(port)", "Name": "\#(service)", "Address": "127.0.0.1",
         "Port": \#(port), "Meta": {"version": "\#(version)"},
         "Check": {"TTL": "10m", "Status": "\#(status)"}}
        """#)
    return peer
  }
  func turn(_ service: String, _ peer: String, to status: String) async throws {
    let port = peer.split(separator: ":").last ?? ""
    try await put("v1", "agent", "check", status, "service:\(service)-\(port)", body: "")
  }
  func version(_ peer: String) -> String { versions.withLock { $0[peer] ?? peer } }

  func channel(_ service: String, _ parameters: String = "chain") throws -> GRPCChannel {
    try GRPCChannel(
      to: "consul://\(agent)/\(service)?\(parameters)", resolvers: [.consul()],
      balancer: "round_robin")
  }

  /// How many of so many calls each version answered.
  func calls(_ count: Int, on channel: GRPCChannel) async throws -> [String: Int] {
    var counts: [String: Int] = [:]
    for _ in 0..<count {
      let reply = try await channel.unaryResponse(
        Helloworld_Greeter.Methods.sayHello, .with { $0.name = "chain" },
        CallOptions(timeout: .seconds(5)))
      counts[version(reply.peer), default: 0] += 1
    }
    return counts
  }

  func explains(_ text: String, _ channel: GRPCChannel) async throws -> Bool {
    try await fleet.eventually(within: .seconds(10)) {
      await channel.explain().resolver.contains(text)
    }
  }

  func stop() async throws {
    let all = servers.withLock { Array($0.values) }
    for one in all { one.run.cancel() }
    for one in all { _ = try? await one.run.value }
    try await fleet.agent.kill()
  }
}

@Suite("A discovery chain of a real agent", .timeLimit(.minutes(2))) struct ChainTests {
  private let subsets = #"""
    {"Kind": "service-resolver", "Name": "canary", "Subsets": {
      "v1": {"Filter": "Service.Meta.version == v1"},
      "v2": {"Filter": "Service.Meta.version == v2"}}}
    """#
  private func split(_ first: Int, _ second: Int) -> String {
    #"""
    {"Kind": "service-splitter", "Name": "canary", "Splits": [
      {"Weight": \#(first), "ServiceSubset": "v1"}, {"Weight": \#(second), "ServiceSubset": "v2"}]}
    """#
  }

  @Test("a canary of 10 % gets a tenth of the calls; 50/50 and 0/100 hold for calls under way")
  func canary() async throws {
    let versions = try await Versions()
    for version in ["v1", "v1", "v2", "v2"] {
      try await versions.serve("canary", version: version)
    }
    let channel = try versions.channel("canary")
    try await channel.ready(within: .seconds(5))
    let traffic = Traffic(channel, every: .milliseconds(5))

    // From the chain of a service without config entries to a canary.
    #expect(try await versions.explains("discovery chain canary;", channel))
    try await versions.configure(
      #"{"Kind": "service-defaults", "Name": "canary", "Protocol": "grpc"}"#)
    try await versions.configure(subsets)
    try await versions.configure(split(90, 10))
    #expect(try await versions.explains("90% v1.canary, 10% v2.canary", channel))
    // Bounds of six standard deviations.
    let tenth = try await versions.calls(2_000, on: channel)["v2"] ?? 0
    #expect((120...280).contains(tenth), "\(tenth) of 2,000 calls")

    let before = await channel.explain().endpoints.filter { $0.connections > 0 }
    #expect(before.count >= 4)
    try await versions.configure(split(50, 50))
    #expect(try await versions.explains("50% v1.canary, 50% v2.canary", channel))
    let half = try await versions.calls(2_000, on: channel)["v2"] ?? 0
    #expect((865...1_135).contains(half), "\(half) of 2,000 calls")

    let changed = ContinuousClock.now
    try await versions.configure(split(0, 100))
    #expect(try await versions.explains("discovery chain v2.canary;", channel))
    let seen = ContinuousClock.now - changed
    #expect(try await versions.calls(500, on: channel) == ["v2": 500])
    let after = await channel.explain().endpoints.filter { $0.connections > 0 }
    // Those of v1 last as well: an operator may go back.
    #expect(Set(after.map(\.id)).isSuperset(of: before.map(\.id)), "no connection was closed")

    #expect(try await versions.fleet.eventually(within: .seconds(5)) { traffic.all.count > 100 })
    await traffic.stop()
    #expect(traffic.failures.isEmpty, "\(traffic.failures.first?.error?.description ?? "")")
    print(
      "v2 of 2,000 calls: \(tenth) at 10 %, \(half) at 50 %; "
        + "\(traffic.all.count) calls meanwhile, \(traffic.failures.count) failed; "
        + "0/100 in force \(seen) after it was written")
    await channel.close()
    try await versions.stop()
  }

  @Test(
    "a subset has the instances of its filter; its failover is used while it has none, and left")
  func failover() async throws {
    let versions = try await Versions()
    let first = try await versions.serve("shop", version: "v1")
    try await versions.serve("shop", version: "v2")
    try await versions.serve("backup", version: "spare")
    try await versions.configure(
      #"""
      {"Kind": "service-resolver", "Name": "shop", "DefaultSubset": "v1",
       "Subsets": {"v1": {"Filter": "Service.Meta.version == v1", "OnlyPassing": true}},
       "Failover": {"*": {"Service": "backup"}}}
      """#)
    let channel = try versions.channel("shop")
    try await channel.ready(within: .seconds(5))
    #expect(try await versions.explains("discovery chain v1.shop (then backup)", channel))
    #expect(try await versions.calls(50, on: channel) == ["v1": 50])

    let traffic = Traffic(channel, every: .milliseconds(5))
    try await versions.turn("shop", first, to: "warn")
    #expect(
      try await versions.fleet.eventually(within: .seconds(5)) {
        try await versions.calls(1, on: channel) == ["spare": 1]
      })
    try await versions.turn("shop", first, to: "pass")
    #expect(
      try await versions.fleet.eventually(within: .seconds(5)) {
        try await versions.calls(1, on: channel) == ["v1": 1]
      })
    await traffic.stop()
    #expect(traffic.failures.isEmpty, "\(traffic.failures.first?.error?.description ?? "")")

    // A redirect is the other service's chain.
    try await versions.configure(
      #"""
      {"Kind": "service-resolver", "Name": "old", "Redirect": {"Service": "backup"}}
      """#)
    let moved = try versions.channel("old")
    #expect(try await versions.calls(20, on: moved) == ["spare": 20])
    await moved.close()
    await channel.close()
    try await versions.stop()
  }

  @Test("an agent without Connect, and a token without rights: calls fail with what is missing")
  func refused() async throws {
    let without = try await Versions("connect { enabled = false }")
    try await without.serve("web", version: "v1")
    var channel = try without.channel("web")
    var error = await #expect(throws: RPCError.self) { try await without.calls(1, on: channel) }
    #expect(error?.description.contains("connect { enabled = true }") == true, "\(error!)")
    await channel.close()
    try await without.stop()

    let secret = "5f0f4c54-0f4e-4f3e-9d42-6a3f1c9f0c01"
    let denying = try await Versions(
      "acl { enabled = true default_policy = \"deny\" tokens { master = \"\(secret)\" } }",
      token: secret)
    // The token is there when the servers have a leader.
    #expect(
      try await denying.fleet.eventually(within: .seconds(10)) {
        (try? await denying.serve("web", version: "v1")) != nil
      })
    channel = try denying.channel("web")
    error = await #expect(throws: RPCError.self) { try await denying.calls(1, on: channel) }
    #expect(
      error?.description.contains("403 Permission denied (a discovery chain needs service:read)")
        == true, "\(error!)")
    await channel.close()
    let granted = try denying.channel("web", "chain&token=\(secret)")
    #expect(try await denying.calls(1, on: granted) == ["v1": 1])
    await granted.close()
    try await denying.stop()
  }

  @Test("a router of one's own is refused by name; a chain that turns so stays as it was")
  func router() async throws {
    let versions = try await Versions()
    try await versions.serve("web", version: "v1")
    let channel = try versions.channel("web")
    #expect(try await versions.calls(5, on: channel) == ["v1": 5])
    try await versions.configure(
      #"{"Kind": "proxy-defaults", "Name": "global", "Config": {"protocol": "grpc"}}"#)
    try await versions.configure(
      #"""
      {"Kind": "service-router", "Name": "web", "Routes": [
        {"Match": {"HTTP": {"PathPrefix": "/admin"}}, "Destination": {"Service": "admin"}}]}
      """#)
    #expect(
      try await versions.explains("a route for PathPrefix /admin", channel))
    #expect(try await versions.explains("; the last one is kept", channel))
    #expect(try await versions.calls(5, on: channel) == ["v1": 5])
    let late = try versions.channel("web", "chain&wait=30s")
    let error = await #expect(throws: RPCError.self) { try await versions.calls(1, on: late) }
    #expect(error?.description.contains("a route for PathPrefix /admin") == true, "\(error!)")
    await late.close()
    await channel.close()
    try await versions.stop()
  }
}
