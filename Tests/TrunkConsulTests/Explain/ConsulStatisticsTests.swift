// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Testing
import TrunkTesting

@testable import TrunkConsul

@Suite("Statistics of watches", .timeLimit(.minutes(1)))
struct ConsulStatisticsTests {
  @Test("channels, answers, updates, index, age and long polls are counted; no token is shown")
  func counts() async throws {
    let agent = try await ScriptedConsulAgent.start { request in
      switch (request.path, request["index"]) {
      case ("/v1/kv/key", nil): .json(#"[{"Value": "e30="}]"#, index: 3)
      case (_, nil): .json(instances(1), index: 5)
      case (_, "5"): .json(instances(1, 2), index: 6)
      case (_, "6"): .json(instances(1, 2), index: 7)  // nothing new
      default: .hang
      }
    }
    defer { agent.stop() }
    var options = ConsulOptions(agent: ConsulAgent("127.0.0.1:1"))
    options.linger = .seconds(60)
    let resolver = ConsulResolver(options, watches: SharedWatches())
    #expect(resolver.statistics.watches.isEmpty && resolver.statistics.agents.isEmpty)
    let target = "consul://\(agent.address)/hello?token=secret&config=kv:key"
    let one = try Watching(resolver, target)
    let two = try Watching(resolver, target)
    _ = await one.report { $0.ports == [1, 2] }
    _ = await two.report { $0.ports == [1, 2] }
    let polling = try await eventually(within: .seconds(10)) {
      resolver.statistics.watches.last?.request.contains("index=7") == true
        && resolver.statistics.agents.first?.polls == 2
    }
    #expect(polling)
    let statistics = resolver.statistics
    #expect(statistics.watches.map(\.kind) == [.config, .instances])
    #expect(statistics.watches.map(\.name) == ["key", "hello"])
    let watch = try #require(statistics.watches.last)
    #expect(watch.request == "/v1/health/service/hello?passing&index=7&wait=1000ms")
    #expect(watch.subscribers == 2)
    #expect(watch.queries == 4 && watch.answers == 3 && watch.updates == 2 && watch.failures == 0)
    #expect(watch.index == 7 && watch.instances == 2 && watch.note == "2 instances, 2 passing")
    #expect(watch.answerAge.map { $0 < .seconds(30) } == true)
    #expect(statistics.agents.map(\.address) == [agent.address])
    #expect(statistics.agents.first?.limit == 100)
    #expect(!statistics.json.contains("secret"))

    _ = await one.stop()
    _ = await two.stop()
    let lingers = try await eventually(within: .seconds(10)) {
      resolver.statistics.watches.allSatisfy { $0.subscribers == 0 }
    }
    #expect(lingers && resolver.statistics.watches.count == 2)
    let explanation = try await resolver.explain(target)
    #expect(explanation.watches.map(\.kind) == [.instances, .config])
    #expect(explanation.processWatches == 2)
    #expect(explanation.description.contains("no channel, it lingers, 3 answers"))
    agent.stop()
    let failing = try await eventually(within: .seconds(10)) {
      resolver.statistics.watches.last?.problem != nil
    }
    #expect(failing)
    #expect((resolver.statistics.watches.last?.failures ?? 0) > 0)
  }
}
