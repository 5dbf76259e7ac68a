// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Glibc
import ProcessSupport
import Testing
import TrunkDiscovery
import TrunkWire
import Trunkcall

/// Servers come, go, die and freeze under 20 calls a second over round_robin.
@Suite("A fleet behind a real agent", .serialized)
struct FailureTests {
  private func settled(_ fleet: Fleet, _ servers: [Server]) async throws -> (GRPCChannel, Traffic) {
    #expect(
      try await fleet.eventually(within: .seconds(10)) {
        try await fleet.passing().isSuperset(of: servers.map(\.port))
      })
    let channel = try fleet.channel()
    try await channel.ready(within: .seconds(5))
    let traffic = Traffic(channel)
    #expect(
      try await fleet.eventually(within: .seconds(5)) {
        Set(traffic.all.map(\.peer)).isSuperset(of: servers.map(\.address))
      }, "both servers are called")
    #expect(traffic.failures.isEmpty)
    return (channel, traffic)
  }

  private func end(_ channel: GRPCChannel, _ traffic: Traffic, _ fleet: Fleet) async throws {
    await traffic.stop()
    await channel.close()
    try await fleet.agent.kill()
  }

  @Test("kill -9: at most two failed calls, none after the first second")
  func killed() async throws {
    let fleet = try await Fleet.start()
    let a = try await fleet.server()
    let b = try await fleet.server()
    let (channel, traffic) = try await settled(fleet, [a, b])
    a.process.signal(SIGKILL)
    let killed = ContinuousClock.now
    // Until the agent has noticed, and for a second of calls behind the first one.
    #expect(
      try await fleet.eventually(within: .seconds(10)) {
        try await !fleet.passing().contains(a.port)
      })
    let noticed = max(ContinuousClock.now, killed + .seconds(1))
    #expect(
      try await fleet.eventually(within: .seconds(10)) { traffic.calls(after: noticed) >= 20 })
    let failures = traffic.failures
    print("kill -9: \(failures.count) failed of \(traffic.all.count)")
    #expect(failures.count <= 2, "\(failures.map { $0.error.map(String.init(describing:)) ?? "" })")
    #expect(failures.allSatisfy { $0.start < killed + .seconds(1) })
    try await end(channel, traffic, fleet)
  }

  @Test("SIGSTOP: no failed call after five seconds")
  func frozen() async throws {
    let fleet = try await Fleet.start()
    let a = try await fleet.server()
    let b = try await fleet.server()
    let (channel, traffic) = try await settled(fleet, [a, b])
    a.process.signal(SIGSTOP)
    let stopped = ContinuousClock.now
    // Until a second of calls behind the five has ended.
    #expect(
      try await fleet.eventually(within: .seconds(15)) {
        traffic.calls(after: stopped + .seconds(5)) >= 20
      })
    let failures = traffic.failures
    let last = failures.map { $0.end - stopped }.max() ?? .zero
    print("SIGSTOP: \(failures.count) failed of \(traffic.all.count), the last \(last) after it")
    #expect(failures.allSatisfy { $0.start < stopped + .seconds(5) })
    #expect(traffic.all.contains { $0.error == nil && $0.start > stopped + .seconds(5) })
    a.process.signal(SIGCONT)
    try await end(channel, traffic, fleet)
  }

  @Test("SIGTERM: no failed call, and gone from Consul before its port closes")
  func stopped() async throws {
    let fleet = try await Fleet.start()
    let a = try await fleet.server()
    let b = try await fleet.server()
    let (channel, traffic) = try await settled(fleet, [a, b])
    a.process.signal(SIGTERM)
    #expect(
      try await fleet.eventually(within: .seconds(5)) {
        try await !fleet.passing().contains(a.port)
      })
    #expect(try await a.process.exit(within: .milliseconds(1)) == nil, "it still serves by then")
    #expect(try await a.process.exit(within: .seconds(10)) == 0)
    let ended = ContinuousClock.now
    #expect(try await fleet.eventually(within: .seconds(5)) { traffic.calls(after: ended) >= 10 })
    print("SIGTERM: \(traffic.failures.count) failed of \(traffic.all.count)")
    #expect(
      traffic.failures.isEmpty,
      "\(traffic.failures.first?.error.map(String.init(describing:)) ?? "")")
    try await end(channel, traffic, fleet)
  }

  @Test("a new server has its first call within a second of turning passing")
  func started() async throws {
    let fleet = try await Fleet.start()
    let a = try await fleet.server()
    let (channel, traffic) = try await settled(fleet, [a])
    let b = try await fleet.server()
    #expect(
      try await fleet.eventually(within: .seconds(10)) {
        try await fleet.passing().contains(b.port)
      })
    let passing = ContinuousClock.now
    #expect(
      try await fleet.eventually(within: .seconds(5)) {
        traffic.all.contains { $0.peer == b.address }
      })
    let first = try #require(traffic.all.first { $0.peer == b.address })
    print("first call \(first.start - passing) after passing was seen")
    #expect(first.start < passing + .seconds(1))
    #expect(traffic.failures.isEmpty)
    try await end(channel, traffic, fleet)
  }

  @Test("an agent that restarts empty: no failed call, both registered within 15 s")
  func forgetful() async throws {
    let fleet = try await Fleet.start()
    let a = try await fleet.server()
    let b = try await fleet.server()
    let (channel, traffic) = try await settled(fleet, [a, b])
    try await fleet.agent.kill()
    // Away for a while: longer than the first pauses between attempts to reach it.
    let away = ContinuousClock.now
    #expect(try await fleet.eventually(within: .seconds(5)) { traffic.calls(after: away) >= 15 })
    try fleet.agent.launch()
    let restarted = ContinuousClock.now
    #expect(
      try await fleet.eventually(within: .seconds(15)) {
        try await fleet.passing().isSuperset(of: [a.port, b.port])
      })
    let registered = ContinuousClock.now
    print("registered again \(registered - restarted) after the restart")
    // Long enough for the channel to hear of the new set, and a while beyond.
    #expect(
      try await fleet.eventually(within: .seconds(10)) { traffic.calls(after: registered) >= 30 })
    print("agent restart: \(traffic.failures.count) failed of \(traffic.all.count)")
    #expect(
      traffic.failures.isEmpty,
      "\(traffic.failures.first?.error.map(String.init(describing:)) ?? "")")
    try await end(channel, traffic, fleet)
  }
}
