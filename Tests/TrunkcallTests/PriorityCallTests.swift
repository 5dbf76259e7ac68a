// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Testing
import TrunkDiscovery
import TrunkWire

@testable import Trunkcall

@Suite("Calls with priorities and weights (gRFC A56)", .timeLimit(.minutes(1)))
struct PriorityCallTests {
  private func resolution(_ servers: [(String, ScriptedServer)]) -> Resolution {
    Resolution(
      servers.map { path, server in
        var endpoint = Endpoint(Address("127.0.0.1", server.port))
        endpoint.childPath = [path]
        return endpoint
      })
  }
  private func reply(_ channel: GRPCChannel) async -> String? {
    (try? await channel.unary(method("M"), [])).map { text($0) }
  }

  @Test("when the first server is gone calls go to the next, and to the first when it is back")
  func failover() async throws {
    let near = try await ScriptedServer(.init(), ScriptedServer.named("near"))
    let far = try await ScriptedServer(.init(), ScriptedServer.named("far"))
    var options = ChannelOptions()
    options.backoff.initial = .milliseconds(50)
    options.backoff.maximum = .milliseconds(200)
    options.defaultServiceConfig = try ServiceConfig(
      json: """
        {"loadBalancingConfig": [{"priority_experimental": {"children": {
          "near": {"config": [{"round_robin": {}}]}, "far": {"config": [{"round_robin": {}}]}},
          "priorities": ["near", "far"]}}]}
        """)
    let resolver = ManualResolver(resolution([("near", near), ("far", far)]))
    try await withChannel(to: "manual:///x", resolvers: [resolver], options: options) { channel in
      for _ in 0..<10 { #expect(await reply(channel) == "near") }
      #expect(await far.counts.accepted == 0)
      near.kill()
      await eventually("the next one serves") { await reply(channel) == "far" }
      let back = try await ScriptedServer(
        port: near.port, .init(), ScriptedServer.named("near"))
      await eventually("the first one serves again") { await reply(channel) == "near" }
      #expect(await far.counts.open == 1, "kept for 15 min")
      back.kill()
      await eventually("the kept one serves") { await reply(channel) == "far" }
      #expect(await far.counts.accepted == 1)
    }
  }

  @Test("calls are spread over servers by the weights of their targets") func weights() async throws
  {
    let old = try await ScriptedServer(.init(), ScriptedServer.named("old"))
    let new = try await ScriptedServer(.init(), ScriptedServer.named("new"))
    var options = ChannelOptions()
    options.defaultServiceConfig = try ServiceConfig(
      json: """
        {"loadBalancingConfig": [{"weighted_target_experimental": {"targets": {
          "old": {"weight": 9, "childPolicy": [{"round_robin": {}}]},
          "new": {"weight": 1, "childPolicy": [{"pick_first": {}}]}}}}]}
        """)
    let resolver = ManualResolver(resolution([("old", old), ("new", new)]))
    try await withChannel(to: "manual:///x", resolvers: [resolver], options: options) { channel in
      var seen: [String?: Int] = [:]
      await eventually("both serve") {
        seen[await reply(channel), default: 0] += 1
        return seen["new"] != nil && seen["old"] != nil
      }
      seen = [:]
      for _ in 0..<400 { seen[await reply(channel), default: 0] += 1 }
      // A tenth: 40, with a deviation of 6.
      #expect((10...70).contains(seen["new"] ?? 0) && seen.count == 2, "\(seen)")
    }
  }
}
