// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Testing
import TrunkDiscovery
import TrunkWire

@testable import Trunkcall

@Suite("Calls by a header's hash, and by latency", .timeLimit(.minutes(1)))
struct RingHashCallTests {
  private func servers(_ count: Int) async throws -> [ScriptedServer] {
    var servers: [ScriptedServer] = []
    for number in 0..<count {
      servers.append(try await ScriptedServer(.init(), ScriptedServer.named("\(number)")))
    }
    return servers
  }
  /// Placed by names, as ports differ from run to run.
  private func resolver(_ servers: [ScriptedServer]) -> ManualResolver {
    ManualResolver(
      Resolution(
        servers.enumerated().map { number, server in
          Endpoint(
            [Address("127.0.0.1", server.port)], attributes: ["hash_key": "server \(number)"])
        }))
  }
  private func options(_ policy: String) throws -> ChannelOptions {
    var options = ChannelOptions()
    options.backoff.initial = .milliseconds(50)
    options.backoff.maximum = .milliseconds(200)
    options.connectionsPerEndpoint = .one
    options.defaultServiceConfig = try ServiceConfig(
      json: "{\"loadBalancingConfig\": [\(policy)]}")
    return options
  }
  private let byUser = #"{"ring_hash_experimental": {"requestHashHeader": "x-user"}}"#

  private func reply(_ channel: GRPCChannel, _ user: String) async -> String? {
    let options = CallOptions(metadata: ["x-user": user])
    return (try? await channel.unary(method("M"), [], options)).map { text($0) }
  }

  @Test("ring_hash: one header value, one server, connected by its first call; others take over")
  func affinity() async throws {
    let servers = try await servers(4)
    try await withChannel(
      to: "manual:///x", resolvers: [resolver(servers)], options: options(byUser)
    ) { channel in
      let name = try #require(await reply(channel, "alice"))
      for _ in 0..<20 { #expect(await reply(channel, "alice") == name) }
      let home = try #require(Int(name))
      var accepted: [Int] = []
      for server in servers { accepted.append(await server.counts.accepted) }
      #expect(
        accepted.enumerated().allSatisfy { $1 == ($0 == home ? 1 : 0) }, "\(accepted), \(home)")
      var homes: [String: String] = [:]
      for number in 0..<40 { homes["user \(number)"] = await reply(channel, "user \(number)") }
      #expect(Set(homes.values).count == 4)

      servers[home].kill()
      await eventually("another one takes over") {
        let other = await reply(channel, "alice")
        return other != nil && other != name
      }
      for (user, server) in homes where server != name {
        #expect(await reply(channel, user) == server, "only the lost server's calls move")
      }
    }
  }

  @Test("ring_hash: connect() connects one server without a call (gRFC A117)")
  func connects() async throws {
    let servers = try await servers(3)
    try await withChannel(
      to: "manual:///x", resolvers: [resolver(servers)], options: options(byUser)
    ) { channel in
      channel.connect()
      await eventually("one is connected") {
        var accepted = 0
        for server in servers { accepted += await server.counts.accepted }
        return accepted == 1 && channel.state == .ready
      }
    }
  }

  @Test("ring_hash: a call without the header brings the others' connections when it ends (A76)")
  func withoutHeader() async throws {
    let servers = try await servers(3)
    try await withChannel(
      to: "manual:///x", resolvers: [resolver(servers)], options: options(byUser)
    ) { channel in
      var seen: Set<String> = []
      await eventually("calls reach every server") {
        if let name = (try? await channel.unary(method("M"), [])).map({ text($0) }) {
          seen.insert(name)
        }
        return seen.count == 3
      }
    }
  }

  @Test("ChannelOptions.maxRingSize bounds the ring: with one entry all calls go to one server")
  func ringSize() async throws {
    let servers = try await servers(3)
    var options = try options(byUser)
    options.maxRingSize = 1
    try await withChannel(to: "manual:///x", resolvers: [resolver(servers)], options: options) {
      channel in
      var seen: Set<String?> = []
      for number in 0..<30 { seen.insert(await reply(channel, "user \(number)")) }
      #expect(seen.count == 1 && !seen.contains(nil))
    }
  }

  @Test("peak_ewma: a server that fails at once gets few of the calls") func failing() async throws
  {
    let broken = try await ScriptedServer { stream, event in
      guard case .ended = event else { return }
      stream.respond()
      stream.finish(["grpc-status": "13"])
    }
    let good = try await servers(2)
    try await withChannel(
      to: "manual:///x", resolvers: [resolver(good + [broken])],
      options: options(#"{"peak_ewma": {}}"#)
    ) { channel in
      var failed = 0
      for _ in 0..<300 where await reply(channel, "x") == nil { failed += 1 }
      // One for each of its connections; a few more while nothing is known of the others.
      #expect(failed <= 3, "\(failed)")
      for server in good { #expect(await server.counts.calls > 50) }
    }
  }
}
