// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Testing
import TrunkDiscovery
import TrunkTesting
import Trunkcall

@Suite("ManualResolver", .timeLimit(.minutes(1)))
struct ManualResolverTests {
  @Test("a channel follows its reports; requests for a fresher result are counted")
  func reports() async throws {
    try await Named.withServers(2) { ports in
      let resolver = ManualResolver([Endpoint(Address("127.0.0.1", ports[0]))])
      try await withChannel(to: "manual:///x", resolvers: [resolver]) { channel in
        #expect(try await channel.unary(Named.method, []) == [1])
        #expect(resolver.activeRuns == 1 && resolver.runs == 1)
        resolver.report([Endpoint(Address("127.0.0.1", ports[1]))])
        while try await channel.unary(Named.method, []) != [2] { await Task.yield() }
        // gRFC A61: pick_first asks again for an empty list.
        let before = resolver.refreshRequests
        resolver.report([])
        try await resolver.waitForRefreshRequests(before + 1)
        #expect(resolver.refreshRequests > before)
      }
      while resolver.activeRuns > 0 { await Task.yield() }
    }
  }

  @Test("a failure ends every run, and each later one until the next report")
  func failures() async throws {
    let resolver = ManualResolver(scheme: "lab")
    resolver.fail("away")
    for _ in 0..<2 {
      do {
        _ = try await Line().first("lab:///x", by: resolver)
        Issue.record("it reported")
      } catch { #expect("\(error)" == "away") }
    }
    #expect(resolver.runs == 2 && resolver.activeRuns == 0)
    resolver.report(Resolution([], note: "here again"))
    #expect(try await Line().first("lab:///x", by: resolver).note == "here again")
    let running = Task { try await resolver.resolve(Target.parse("lab:///x"), Line().session) }
    while resolver.activeRuns == 0 { await Task.yield() }
    resolver.fail("away again")
    do { try await running.value } catch { #expect("\(error)" == "away again") }
  }

  @Test("one that waits for requests can be cancelled, and the next one waits again")
  func cancelled() async throws {
    let resolver = ManualResolver([])
    let waiting = Task { try await resolver.waitForRefreshRequests(1) }
    waiting.cancel()
    await #expect(throws: CancellationError.self) { try await waiting.value }
    let line = Line()
    let running = Task { try await resolver.resolve(Target.parse("manual:///x"), line.session) }
    line.refresh.yield()
    try await resolver.waitForRefreshRequests(1)
    running.cancel()
    await #expect(throws: CancellationError.self) { try await running.value }
  }
}
