// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Testing
import TrunkDiscovery
import TrunkSockets
import TrunkWire

@testable import Trunkcall

@Suite("Calls with outlier detection (gRFC A50)", .timeLimit(.minutes(1)))
struct OutlierDetectionCallTests {
  @Test(
    "of four servers the one that fails every call is ejected, keeps its connection, comes back")
  func ejected() async throws {
    let isBad = Locked(true)
    let named = ScriptedServer.named("bad")
    let bad = try await ScriptedServer { stream, event in
      guard isBad.withLock({ $0 }) else { return named(stream, event) }
      guard case .ended = event else { return }
      stream.answer([
        ":status": "200", "content-type": "application/grpc", "grpc-status": "13",
        "grpc-message": "broken",
      ])
    }
    var servers = [bad]
    for name in ["a", "b", "c"] {
      servers.append(try await ScriptedServer(.init(), ScriptedServer.named(name)))
    }
    let group = try EventLoopGroup(loops: 1)
    defer { group.shutdown() }
    var options = ChannelOptions()
    options.group = group
    options.defaultServiceConfig = try ServiceConfig(
      json: """
        {"loadBalancingConfig": [{"outlier_detection_experimental": {
          "interval": "0.2s", "baseEjectionTime": "2s", "maxEjectionPercent": 50,
          "failurePercentageEjection": {"threshold": 40, "minimumHosts": 3, "requestVolume": 5},
          "childPolicy": [{"round_robin": {}}]}}]}
        """)
    try await withChannel(
      to: "manual:///x", resolvers: [ManualResolver(endpoints(servers))], options: options
    ) { channel in
      /// The servers that answered so many calls; "failed" for a failure.
      func share(_ calls: Int) async -> Set<String> {
        var share: Set<String> = []
        for _ in 0..<calls {
          let reply = try? await channel.unary(method("M"), [])
          share.insert(reply.map { text($0) } ?? "failed")
        }
        return share
      }
      await eventually("all are called, one fails") {
        await share(20) == ["a", "b", "c", "failed"]
      }
      let before = await bad.counts
      await eventually("the others get its calls") { await share(40) == ["a", "b", "c"] }
      let during = await bad.counts
      #expect(during.open == before.open && during.open > 0)

      isBad.withLock { $0 = false }
      await eventually("it is back") { await share(40) == ["a", "b", "c", "bad"] }
      let after = await bad.counts
      #expect(after.accepted == before.accepted, "no connection was made anew")
    }
  }

  @Test("attempts of hedged calls that were cancelled because another one answered do not count")
  func hedged() async throws {
    var servers: [ScriptedServer] = []
    let turn = Locked(0)
    for _ in 0..<5 {
      // Of two attempts at the same time one is answered later: that one is cancelled.
      servers.append(
        try await ScriptedServer { stream, event in
          guard case .ended = event else { return }
          let isLate = turn.withLock { turn in
            turn += 1
            return turn % 2 == 0
          }
          func answer(_ stream: ScriptedStream) {
            stream.respond()
            stream.send([1])
            stream.finish(["grpc-status": "0"])
          }
          if isLate {
            stream.after(.milliseconds(200), on: stream.loop) { answer($0) }
          } else {
            answer(stream)
          }
        })
    }
    var options = ChannelOptions()
    options.loops = 1
    options.defaultServiceConfig = try ServiceConfig(
      json: """
        {"methodConfig": [{"name": [{}], "hedgingPolicy": {"maxAttempts": 2, "hedgingDelay": "0s"}}],
         "loadBalancingConfig": [{"outlier_detection_experimental": {
          "interval": "0.05s", "baseEjectionTime": "60s", "maxEjectionPercent": 100,
          "failurePercentageEjection": {"threshold": 20, "minimumHosts": 2, "requestVolume": 4},
          "childPolicy": [{"round_robin": {}}]}}]}
        """)
    try await withChannel(
      to: "manual:///x", resolvers: [ManualResolver(endpoints(servers))], options: options
    ) { channel in
      for _ in 0..<300 { _ = try await channel.unary(method("M"), []) }
      let note = await channel.explain().policy?.notes
      #expect(note == ["0 of 5 endpoints are ejected"])
    }
  }
}
