// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import ScriptedDNS
import Testing
import TrunkDiscovery
import TrunkTesting

@testable import Trunkcall

@Suite("SharedResolver", .timeLimit(.minutes(1)))
struct SharedResolverTests {
  private func endpoint(_ port: UInt16) -> Endpoint { Endpoint(Address("127.0.0.1", port)) }

  private func start(
    _ resolver: SharedResolver, _ target: String = "manual:///x"
  ) throws -> (Line, Task<Void, any Error>) {
    let line = Line()
    let parsed = try Target.parse(target)
    return (line, Task { try await resolver.resolve(parsed, line.session) })
  }

  @Test(
    "channels to one target share a run; each gets every report, and the last one when it joins")
  func shared() async throws {
    try await Named.withServers(2) { ports in
      let manual = ManualResolver([endpoint(ports[0])])
      let resolver = SharedResolver(manual, linger: .zero)
      let channels = try (0..<20).map { _ in
        try GRPCChannel(to: "manual:///orders", resolvers: [resolver])
      }
      for channel in channels { #expect(try await channel.unary(Named.method, []) == [1]) }
      #expect(manual.runs == 1 && resolver.activeRuns == 1)
      manual.report([endpoint(ports[1])])
      for channel in channels {
        while try await channel.unary(Named.method, []) != [2] { await Task.yield() }
      }
      #expect(manual.runs == 1)
      for channel in channels { await channel.close() }
      while resolver.activeRuns + manual.activeRuns > 0 { await Task.yield() }
    }
  }

  @Test("many channels over dns look a name up once")
  func questions() async throws {
    let server = try DNSServer { _, type in
      .init(records: type == 1 ? [.init(1, [10, 0, 0, 1])] : [])
    }
    defer { server.stop() }
    let resolver = SharedResolver(DNSResolver())
    let target = "dns://127.0.0.1:\(server.port)/svc.example:7"
    for _ in 0..<10 {
      let resolution = try await Line().first(target, by: resolver)
      #expect(resolution.endpoints == [Endpoint(Address("10.0.0.1", 7))])
    }
    #expect(server.questions.sorted() == ["svc.example 1", "svc.example 28"])
    _ = try await Line().first(target + "7", by: resolver)
    #expect(server.questions.count == 4 && resolver.activeRuns == 2)
  }

  @Test("requests of all channels are one look-up while the minimum interval lasts")
  func merged() async throws {
    let manual = ManualResolver([endpoint(1)])
    let slow = Slow(manual)
    let resolver = SharedResolver(slow, minimumInterval: .seconds(3_600))
    let runs = try (0..<5).map { _ in try start(resolver) }
    defer { for (_, run) in runs { run.cancel() } }
    for (line, _) in runs {
      var reports = line.reports.makeAsyncIterator()
      _ = await reports.next()
      for _ in 0..<10 { line.refresh.yield() }
    }
    for (line, _) in runs {
      var ages = line.ages.makeAsyncIterator()
      // The eleventh wait: ten requests were taken.
      for _ in 0..<11 { _ = await ages.next() }
    }
    #expect(manual.refreshRequests == 0 && manual.runs == 1)
  }

  /// As another resolver, without a least interval of its own.
  private struct Slow: Resolver {
    let inner: ManualResolver
    var scheme: String { inner.scheme }
    init(_ inner: ManualResolver) { self.inner = inner }
    func resolve(_ target: Target, _ session: ResolverSession) async throws {
      try await inner.resolve(target, session)
    }
  }

  @Test("a failure reaches every channel, a later one as well, and is retried once for all")
  func failure() async throws {
    let manual = ManualResolver([endpoint(1)])
    let resolver = SharedResolver(manual)
    let (line, run) = try start(resolver)
    var reports = line.reports.makeAsyncIterator()
    _ = await reports.next()
    manual.fail("away")
    var failures = line.failures.makeAsyncIterator()
    #expect(await failures.next() == "away")
    let (late, lateRun) = try start(resolver)
    defer {
      run.cancel()
      lateRun.cancel()
    }
    var lateReports = late.reports.makeAsyncIterator()
    #expect(await lateReports.next()?.endpoints == [endpoint(1)])
    var lateFailures = late.failures.makeAsyncIterator()
    #expect(await lateFailures.next() == "away")
    manual.report([endpoint(2)])
    line.refresh.yield()
    while let report = await reports.next(), report.endpoints != [endpoint(2)] {}
    while let report = await lateReports.next(), report.endpoints != [endpoint(2)] {}
    #expect(manual.activeRuns == 1)
  }

  @Test("a run lingers without channels, and is taken over by the next one")
  func linger() async throws {
    let manual = ManualResolver([endpoint(1)])
    let resolver = SharedResolver(manual, linger: .seconds(3_600))
    for _ in 0..<5 { _ = try await Line().first("manual:///x", by: resolver) }
    #expect(manual.runs == 1 && resolver.activeRuns == 1 && manual.activeRuns == 1)
    let brief = SharedResolver(manual, linger: .milliseconds(1))
    _ = try await Line().first("manual:///x", by: brief)
    while brief.activeRuns > 0 { await Task.yield() }
  }

  @Test("beyond the limit idle runs end; without idle ones a channel has a run of its own")
  func limit() async throws {
    let manual = ManualResolver([endpoint(1)])
    let resolver = SharedResolver(manual, linger: .seconds(3_600), maximumTargets: 2)
    for name in ["a", "b", "c"] { _ = try await Line().first("manual:///\(name)", by: resolver) }
    #expect(resolver.activeRuns == 2 && manual.runs == 3)
    var held: [Task<Void, any Error>] = []
    for name in ["d", "e", "f", "f"] {
      let (line, run) = try start(resolver, "manual:///\(name)")
      var reports = line.reports.makeAsyncIterator()
      #expect(await reports.next()?.endpoints == [endpoint(1)])
      held.append(run)
    }
    #expect(resolver.activeRuns == 4)
    for run in held { run.cancel() }
    for run in held { _ = await run.result }
    while resolver.activeRuns > 2 { await Task.yield() }
    while manual.activeRuns > 2 { await Task.yield() }
  }

  @Test("releasing the resolver ends its runs")
  func released() async throws {
    let manual = ManualResolver([endpoint(1)])
    do {
      let resolver = SharedResolver(manual, linger: .seconds(3_600))
      _ = try await Line().first("manual:///x", by: resolver)
    }
    while manual.activeRuns > 0 { await Task.yield() }
  }
}
