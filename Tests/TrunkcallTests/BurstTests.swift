// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Testing
import TrunkDiscovery
import TrunkWire

@testable import Trunkcall

@Suite("Bursts of calls", .timeLimit(.minutes(1))) struct BurstTests {
  @Test(
    "calls count for their server from the pick on: a burst is spread by policies that look at them",
    arguments: [
      #"{"least_request_experimental": {"choiceCount": 10}}"#, #"{"fewest_in_flight": {}}"#,
    ])
  func spread(_ policy: String) async throws {
    let held = [HeldCalls(), HeldCalls()]
    var servers: [ScriptedServer] = []
    for one in held { servers.append(try await ScriptedServer(port: 0, .init(), one.script())) }
    var options = ChannelOptions()
    options.defaultServiceConfig = try ServiceConfig(
      json: #"{"loadBalancingConfig": [\#(policy)]}"#)
    var balancers = BalancerRegistry()
    balancers.register(FewestInFlight.self)
    let resolver = ManualResolver(endpoints(servers))
    try await withChannel(
      to: "manual:///x", resolvers: [resolver], balancers: balancers, options: options
    ) { channel in
      try await channel.ready(within: .seconds(20))
      let bothReady = try await holds {
        await channel.explain().endpoints.allSatisfy { $0.state == .ready }
      }
      #expect(bothReady)
      let calls = (0..<60).map { index in
        Task {
          try await channel.unary(
            method("M"), [UInt8(index)], CallOptions(timeout: .seconds(30)))
        }
      }
      #expect(try await holds { held[0].arrived.count + held[1].arrived.count == 60 })
      // Two threads may pick at the same time.
      #expect((25...35).contains(held[0].arrived.count), "\(held[0].arrived.count) of 60")
      for one in held { one.releaseAll() }
      for call in calls { _ = try await call.value }
    }
  }
}

private struct FewestInFlight: PickPolicy {
  static let name = "fewest_in_flight"
  let ready: [ReadySubchannel]
  init(_ ready: [ReadySubchannel]) { self.ready = ready }
  mutating func pick(_ call: borrowing PickContext) -> ReadySubchannel {
    ready.min { $0.callsInFlight < $1.callsInFlight } ?? ready[0]
  }
}
