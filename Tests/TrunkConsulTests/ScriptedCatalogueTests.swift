// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Testing
import TrunkDiscovery
import TrunkSockets

@testable import TrunkConsul
@testable import TrunkTesting

@Suite("A scripted agent with a catalogue", .timeLimit(.minutes(1)))
struct ScriptedCatalogueTests {
  private typealias Instance = ScriptedConsulCatalogue.Instance

  /// A catalogue with one instance, and a resolver that watches it by a clock that stands still.
  private final class Scene {
    let catalogue = ScriptedConsulCatalogue()
    let clock = ManualClock()
    let agent: ScriptedConsulAgent
    let watching: Watching
    private let seen = Locked(0)

    init(_ target: String = "orders", change: (inout ConsulOptions) -> Void = { _ in }) async throws
    {
      catalogue.set([Instance("a", "127.0.0.1", 1)], of: "orders")
      agent = try await ScriptedConsulAgent.start(catalogue)
      var options = ConsulOptions(agent: ConsulAgent(agent.address))
      options.clock = clock
      change(&options)
      watching = try Watching(
        ConsulResolver(options, watches: SharedWatches()), "consul:///\(target)")
    }

    /// Moves the clock on, second by second, until a report is there that is behind those looked at before;
    /// nil after `limit` of its time.
    func report(
      within limit: Duration = .seconds(120), _ wanted: (Resolution) -> Bool
    ) async -> (report: Resolution?, after: Duration) {
      let start = clock.now
      while start.duration(to: clock.now) < limit {
        for _ in 0..<10 {
          let reports = watching.all
          while seen.withLock({ $0 }) < reports.count {
            let next = seen.withLock { seen in
              defer { seen += 1 }
              return seen
            }
            if wanted(reports[next]) { return (reports[next], start.duration(to: clock.now)) }
          }
          try? await Task.sleep(for: .milliseconds(4))
        }
        clock.advance(by: .seconds(1))
      }
      return (nil, limit)
    }
  }

  @Test("changes reach a blocking query; tags, states and maintenance filter") func changes()
    async throws
  {
    let scene = try await Scene("orders?tag=v2")
    defer { scene.agent.stop() }
    #expect(await scene.report { _ in true }.report?.endpoints.isEmpty == true)
    var two = Instance("b", "127.0.0.1", 2, tags: ["v2"])
    two.weights.passing = 7
    var three = Instance("c", "127.0.0.1", 3, tags: ["v2", "x"])
    three.isInMaintenance = true
    let four = Instance("d", "127.0.0.1", 4, status: .critical, tags: ["v2"])
    scene.catalogue.set([two, three, four], of: "orders")
    let found = await scene.report { !$0.endpoints.isEmpty }.report
    #expect(found?.ports == [2])
    #expect(found?.endpoints.first?.weight == 7)
  }

  @Test("without a leader the set is kept, and the agent is asked again after a back-off")
  func backOff() async throws {
    let scene = try await Scene()
    defer { scene.agent.stop() }
    #expect(await scene.report { $0.ports == [1] }.report != nil)
    scene.catalogue.answer(.noLeader, next: 4)
    let kept = await scene.report { $0.note?.contains("No cluster leader") == true }.report
    #expect(kept?.ports == [1] && kept?.isAnswer == false)
    scene.catalogue.set([Instance("b", "127.0.0.1", 2)], of: "orders")
    let (report, time) = await scene.report { $0.ports == [2] }
    #expect(report?.isAnswer == true)
    // Four failures: 0.25 s, 0.5 s, 1 s and 2 s on average, and the rest of the last second.
    #expect(time >= .seconds(2) && time <= .seconds(10), "\(time)")
  }

  @Test("an index that goes back, zero, and wake-ups without a change") func indexes() async throws
  {
    let scene = try await Scene()
    defer { scene.agent.stop() }
    #expect(await scene.report { $0.ports == [1] }.report != nil)
    scene.catalogue.wake()
    scene.catalogue.index = 3
    scene.catalogue.wake()
    #expect(try await eventually { scene.agent.requests.contains { $0["index"] == "3" } })
    // Query 3 had no index again.
    #expect(scene.agent.requests.filter { $0["index"] == nil }.count == 2)
    scene.catalogue.index = 0
    scene.catalogue.wake()
    scene.catalogue.set([Instance("b", "127.0.0.1", 2)], of: "orders")
    #expect(await scene.report { $0.ports == [2] }.report != nil)
    #expect(!scene.agent.requests.contains { $0["index"] == "0" })
  }

  @Test(
    "what goes wrong keeps the last set and is named",
    arguments: [
      (ScriptedConsulAgent.Reaction.forbidden, "403 Permission denied"),
      (.tooMany, "429 Your IP is issuing too many"),
      (.truncated(#"[{"Node": {}}]"#, index: 11), "in the middle of an answer"),
      (.json("[{", index: 11), "is not a list of instances"),
      (.huge(bytes: 17_000_000, index: 11), "is larger than"),
      (.close, "closed without an answer"),
      (.hiddenByACLs(index: 11, saysSo: true), "ACL"),
      (.leaderless("[]", index: 11), "leader"),
    ])
  func faults(reaction: ScriptedConsulAgent.Reaction, words: String) async throws {
    let scene = try await Scene { $0.emptyHold = .seconds(30) }
    defer { scene.agent.stop() }
    #expect(await scene.report { $0.ports == [1] }.report != nil)
    scene.catalogue.answer(reaction, next: 2)
    let (report, _) = await scene.report { $0.note?.contains(words) == true }
    #expect(report != nil, "\(words)")
    scene.catalogue.set([Instance("b", "127.0.0.1", 2)], of: "orders")
    #expect(await scene.report { $0.ports == [2] }.report != nil)
  }

  @Test("a slow answer is one answer") func slow() async throws {
    let scene = try await Scene()
    defer { scene.agent.stop() }
    #expect(await scene.report { $0.ports == [1] }.report != nil)
    scene.catalogue.answer(.slow(instances(5), index: 40, chunks: 6, pause: .milliseconds(20)))
    #expect(await scene.report { $0.ports == [5] }.report != nil)
  }

  @Test("a clock that stands still ends a wait only when it is moved") func waits() async throws {
    let clock = ManualClock()
    let sleep = Task { try await clock.sleep(for: .seconds(60)) }
    #expect(await clock.waitForSleepers())
    #expect(clock.next == .seconds(60))
    clock.advance(by: .seconds(59))
    #expect(clock.sleepers == 1 && clock.next == .seconds(1))
    clock.advance(by: .seconds(1))
    try await sleep.value
    let cancelled = Task { try await clock.sleep(for: .seconds(60)) }
    #expect(await clock.waitForSleepers())
    cancelled.cancel()
    await #expect(throws: CancellationError.self) { try await cancelled.value }
    #expect(clock.sleepers == 0 && clock.next == nil)
    try await clock.sleep(until: clock.now, tolerance: nil)
  }

  @Test("numbers that make no sense do nothing") func nonsense() async throws {
    let catalogue = ScriptedConsulCatalogue()
    catalogue.answer(.close, next: -1)
    catalogue.answer(.close, next: 0)
    catalogue.index = .max
    catalogue.set([], of: "x")
    let clock = ManualClock()
    clock.advance(by: .seconds(-5))
    #expect(clock.now.elapsed >= .zero)
    clock.advance(by: .seconds(Int64.max))
    clock.advance(by: .seconds(Int64.max))
    clock.advance(by: .seconds(Int64.max))
  }

  @Test("sleeps that are cancelled and ended in the same moment all end, and none stays")
  func storm()
    async throws
  {
    let clock = ManualClock()
    let catalogue = ScriptedConsulCatalogue(clock: clock)
    await withTaskGroup(of: Void.self) { group in
      for number in 0..<400 {
        group.addTask { @concurrent in
          let sleep = Task { try await clock.sleep(for: .milliseconds(number % 20)) }
          let wait = Task {
            await catalogue.react(
              to: .init(
                method: "GET", path: "/v1/health/service/x",
                query: [.init(name: "index", value: "10"), .init(name: "wait", value: "9ms")],
                headers: [:], body: [], number: 0, connection: 0))
          }
          if number % 2 == 0 {
            sleep.cancel()
            wait.cancel()
          }
          _ = await (sleep.result, wait.value)
        }
      }
      group.addTask { @concurrent in
        for _ in 0..<200 {
          clock.advance(by: .milliseconds(1))
          catalogue.wake()
          await Task.yield()
        }
        while clock.sleepers > 0 {
          clock.advance(by: .milliseconds(20))
          await Task.yield()
        }
      }
    }
    #expect(clock.sleepers == 0)
  }
}
