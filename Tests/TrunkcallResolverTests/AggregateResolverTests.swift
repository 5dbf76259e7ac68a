// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Testing
import TrunkDiscovery
import TrunkTesting

@testable import Trunkcall

@Suite("AggregateResolver", .timeLimit(.minutes(1)))
struct AggregateResolverTests {
  private let registry = ManualResolver(scheme: "registry")
  private let spare = ManualResolver(scheme: "spare")

  private func resolver() throws -> AggregateResolver {
    try .first(of: ["registry:///a", "spare:///b"], resolvers: [registry, spare])
  }

  private func endpoint(_ port: UInt16) -> Endpoint { Endpoint(Address("127.0.0.1", port)) }

  @Test("calls go to the first source's servers, to the next one's while it has none, and back")
  func calls() async throws {
    try await Named.withServers(2) { ports in
      registry.report([endpoint(ports[0])])
      spare.report([endpoint(ports[1])])
      try await withChannel(to: "first:///orders.example", resolvers: [try resolver()]) { channel in
        func reaches(_ number: UInt8) async throws {
          while try await channel.unary(Named.method, []) != [number] { await Task.yield() }
        }
        try await reaches(1)
        registry.report([])
        try await reaches(2)
        registry.report([endpoint(ports[0])])
        try await reaches(1)
        registry.fail("away")
        try await reaches(2)
      }
      // Cancelled with the channel.
      while registry.activeRuns + spare.activeRuns > 0 { await Task.yield() }
    }
  }

  @Test("a request for a fresher result reaches every source")
  func refresh() async throws {
    registry.report([])
    spare.report([])
    let line = Line()
    let aggregate = try resolver()
    let running = Task { try await aggregate.resolve(Target.parse("first:///x"), line.session) }
    var reports = line.reports.makeAsyncIterator()
    _ = await reports.next()
    for count in 1...3 {
      line.refresh.yield()
      try await registry.waitForRefreshRequests(count)
      try await spare.waitForRefreshRequests(count)
    }
    running.cancel()
    await #expect(throws: CancellationError.self) { try await running.value }
    #expect(registry.activeRuns + spare.activeRuns == 0)
  }

  @Test("a source that failed is tried again after the back-off, or when that is requested")
  func retried() async throws {
    registry.fail("away")
    spare.report([endpoint(1)])
    let line = Line()
    let aggregate = try resolver()
    let running = Task { try await aggregate.resolve(Target.parse("first:///x"), line.session) }
    defer { running.cancel() }
    var reports = line.reports.makeAsyncIterator()
    #expect(
      await reports.next()?.note == "spare:///b: 1 endpoint; instead of registry:///a: away")
    // The interval of a manual resolver is 0.
    registry.report([endpoint(2)])
    line.refresh.yield()
    while let report = await reports.next(), report.endpoints != [endpoint(2)] {}
    #expect(registry.runs >= 2)
  }

  @Test("when every source fails the channel learns why")
  func allFail() async throws {
    registry.fail("away")
    spare.fail("no DNS")
    let channel = try GRPCChannel(to: "first:///orders", resolvers: [try resolver()])
    let error = await #expect(throws: RPCError.self) {
      try await channel.unary(Named.method, [])
    }
    #expect(error?.code == .unavailable)
    #expect(error?.description.contains("registry:///a: away; spare:///b: no DNS") == true)
    await channel.close()
  }

  @Test("priorities hands each source's endpoints to the child of its name")
  func priorities() async throws {
    registry.report([endpoint(1)])
    spare.report([endpoint(2)])
    let aggregate = try AggregateResolver.priorities(
      [("main", "registry:///a"), ("rest", "spare:///b")], resolvers: [registry, spare])
    let resolution = try await Line().first("priorities:///x", by: aggregate)
    #expect(resolution.endpoints.map(\.childPath) == [["main"], ["rest"]])
  }

  @Test("no source, or one that no resolver takes, is refused when it is made")
  func refusals() {
    #expect(throws: TargetError.self) { try AggregateResolver.first(of: []) }
    #expect(throws: TargetError.self) { try AggregateResolver.first(of: ["nothing://x/y"]) }
    #expect(throws: TargetError.self) { try AggregateResolver.first(of: ["dns:///a:"]) }
  }
}
