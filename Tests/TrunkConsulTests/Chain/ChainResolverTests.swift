// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Testing
import TrunkDiscovery
import TrunkTesting

@testable import TrunkConsul

/// Subsets v1 and v2 by percent.
private func canary(_ first: Int, _ second: Int) -> String {
  chainJSON(
    #""s": {"Type": "splitter", "Name": "s", "Splits": [{"Weight": \#(first), "NextNode": "a"}, "#
      + #"{"Weight": \#(second), "NextNode": "b"}]}"#,
    #""a": {"Type": "resolver", "Name": "a", "Resolver": {"Target": "v1"}}"#,
    #""b": {"Type": "resolver", "Name": "b", "Resolver": {"Target": "v2"}}"#,
    targets: #""v1": {"Service": "web", "ServiceSubset": "v1", "Subset": {"Filter": "one"}}, "#
      + #""v2": {"Service": "web", "ServiceSubset": "v2", "Subset": {"Filter": "two"}}"#)
}

@Suite("The consul resolver with a discovery chain", .timeLimit(.minutes(1)))
struct ChainResolverTests {
  private func watching(
    _ agent: ScriptedConsulAgent, _ watches: SharedWatches = SharedWatches(), _ log: Log = Log(),
    linger: Duration = .seconds(60)
  ) throws -> Watching {
    var options = ConsulOptions(agent: ConsulAgent("127.0.0.1:1"), linger: linger)
    options.logger = log.logger
    return try Watching(
      ConsulResolver(options, watches: watches), "consul://\(agent.address)/web?chain")
  }

  /// Answers of the chain by the index of their query, and instances 1 and 2 of the subsets.
  private func agent(
    _ chains: [String?: ScriptedConsulAgent.Reaction],
    instances answer: @escaping @Sendable (String?) -> ScriptedConsulAgent.Reaction = { filter in
      .json(instances(filter == "two" ? 2 : 1), index: 5)
    }
  ) async throws -> ScriptedConsulAgent {
    try await ScriptedConsulAgent.start { request in
      if request.path == "/v1/discovery-chain/web" { return chains[request["index"]] ?? .hang }
      return request["index"] == nil ? answer(request["filter"]) : .hang
    }
  }

  @Test("the chain's splits are groups; a change of weights is reported without a new query")
  func follows() async throws {
    let agent = try await agent([
      nil: .json(canary(90, 10), index: 10), "10": .json(canary(50, 50), index: 11),
    ])
    defer { agent.stop() }
    let log = Log()
    let watching = try watching(agent, SharedWatches(), log)
    let even = try #require(
      await watching.report { $0.note?.contains("50% v1.web, 50% v2.web") == true })
    #expect(even.ports == [1, 2])
    #expect(
      even.note == "consul \(agent.address): discovery chain 50% v1.web, 50% v2.web; "
        + "v1.web: 1 instance, 1 passing; v2.web: 1 instance, 1 passing")
    guard case .priorities(let outer) = even.groups, case .weighted(let splits) = outer[0].groups
    else {
      Issue.record("\(String(describing: even.groups))")
      return
    }
    #expect(splits.map(\.weight) == [500_000, 500_000])
    #expect(even.endpoints.map { $0.childPath[1] } == splits.map(\.name))
    #expect(
      agent.requests.filter { $0.path.hasPrefix("/v1/health") && $0["index"] == nil }.count == 2)
    #expect(log.lines.contains { $0.hasPrefix("notice") && $0.contains("50% v1.web, 50% v2.web") })
  }

  @Test("a target that is no longer part is released, one that is new is watched") func targets()
    async throws
  {
    let agent = try await agent([
      nil: .json(canary(100, 0), index: 10), "10": .json(canary(0, 100), index: 11),
    ])
    defer { agent.stop() }
    let watches = SharedWatches()
    let watching = try watching(agent, watches, linger: .zero)
    #expect(await watching.report { $0.ports == [2] } != nil)
    #expect(try await eventually { watches.count == 2 }, "the chain and v2")
    #expect(await watching.stop() is CancellationError)
    #expect(try await eventually { watches.count == 0 })
  }

  @Test("the old targets stay in force until the new ones have answered") func waits() async throws
  {
    let (isReported, report) = AsyncStream.makeStream(of: Void.self)
    let agent = try await ScriptedConsulAgent.start { request in
      switch (request.path, request["index"]) {
      case ("/v1/discovery-chain/web", nil): return .json(canary(100, 0), index: 10)
      case ("/v1/discovery-chain/web", "10"):
        for await _ in isReported { break }
        return .json(canary(0, 100), index: 11)
      case (_, nil) where request["filter"] == "one": return .json(instances(1), index: 5)
      case (_, nil): return .answer(403, body: "no")
      default: return .hang
      }
    }
    defer { agent.stop() }
    let watching = try watching(agent)
    #expect(await watching.next()?.ports == [1])
    report.yield()
    let later = await watching.report { report in
      #expect(report.ports == [1], "never without")
      return report.note?.contains("not yet in force: discovery chain v2.web; v2.web: 403") == true
    }
    #expect(later?.isAnswer == true)
  }

  @Test(
    "an agent without chains is an error that says what to do",
    arguments: [
      (500, "Connect must be enabled in order to use this endpoint", "connect { enabled = true }"),
      (404, "", "older than Consul 1.6"),
    ])
  func permanent(status: Int, body: String, note: String) async throws {
    let agent = try await agent([nil: .answer(status, body: body)])
    defer { agent.stop() }
    let report = try #require(await (try watching(agent)).next())
    #expect(report.endpoints == [])
    #expect(!report.isAnswer)
    #expect(report.note?.contains(note) == true, "\(report.note ?? "")")
    #expect(report.note?.hasPrefix("consul \(agent.address): the discovery chain of web: ") == true)
  }

  @Test("it is asked again after a minute, whatever calls want") func permanentBackOff() {
    var state = ValueWatchState<Int>(wait: .seconds(60))
    var random = SplitMix(state: 1)
    let now = ContinuousClock.now
    _ = state.begin(at: now)
    for _ in 1...3 {
      let step = state.failed(.permanent("p"), at: now, using: &random)
      guard case .backOff(let delay, let least) = step.next else {
        Issue.record("\(step)")
        return
      }
      #expect((.seconds(48)...(.seconds(72))).contains(delay))
      #expect(least == delay)
    }
  }

  @Test("a refused token is named with the rule that is missing") func refused() async throws {
    let agent = try await agent([nil: .answer(403, body: "Permission denied")])
    defer { agent.stop() }
    let report = await (try watching(agent)).next()
    #expect(
      report?.note == "consul \(agent.address): the discovery chain of web: 403 Permission denied "
        + "(a discovery chain needs service:read)")
  }

  @Test(
    "a chain that cannot be used any more leaves the last one in force, and says why",
    arguments: [
      (
        ScriptedConsulAgent.Reaction.json(chainJSON(#""s": {"Type": "wizard"}"#), index: 11),
        "cannot be used: node \"s\" is of the unknown kind \"wizard\"; the last one is kept"
      ),
      (.json("{", index: 11), "the answer is not a discovery chain"),
      (.json("[]", index: 11), "the answer is not a discovery chain"),
      (.json(#"{"Chain": {"Nodes": []}}"#, index: 11), "not a discovery chain: Chain.Nodes"),
      (
        .answer(500, body: "discovery chain \"web\" uses inconsistent protocols"),
        "500 discovery chain \"web\" uses inconsistent protocols"
      ),
      (
        .answer(500, body: "Connect must be enabled in order to use this endpoint"),
        "connect { enabled = true }"
      ),
      (
        // An agent that came back empty.
        .json(chainJSON(plainDefault), index: 3),
        "there are no config entries since the agent was lost; the last one is kept for 30s"
      ),
    ])
  func turnsBad(reaction: ScriptedConsulAgent.Reaction, reason: String) async throws {
    let good = canary(90, 10)
    let agent = try await ScriptedConsulAgent.start { request in
      guard request.path == "/v1/discovery-chain/web" else {
        return request["index"] == nil
          ? .json(instances(request["filter"] == "two" ? 2 : 1), index: 5) : .hang
      }
      if request.number == 0 { return .json(good, index: 10) }
      // Whatever the watch asks after its first answer.
      return request["index"] == "11" || request["index"] == "3" ? .hang : reaction
    }
    defer { agent.stop() }
    let log = Log()
    let watching = try watching(agent, SharedWatches(), log)
    let report = await watching.report { $0.note?.contains(reason) == true }
    #expect(report?.ports == [1, 2])
    #expect(report?.note?.contains("discovery chain 90% v1.web, 10% v2.web") == true)
    #expect(log.lines.filter { $0.hasPrefix("warning") }.count <= 1)
  }

  @Test("two channels share the watches of a chain and of its targets") func shared() async throws {
    let agent = try await agent([nil: .json(canary(90, 10), index: 10)])
    defer { agent.stop() }
    let watches = SharedWatches()
    let one = try watching(agent, watches)
    #expect(await one.next()?.ports == [1, 2])
    let two = try watching(agent, watches)
    #expect(await two.next()?.ports == [1, 2])
    #expect(watches.count == 3)
    #expect(agent.requests.filter { $0["index"] == nil }.count == 3)
  }

  @Test("a service config from the KV store holds beside a chain") func config() async throws {
    let chain = canary(90, 10)
    let agent = try await ScriptedConsulAgent.start { request in
      if request["index"] != nil { return .hang }
      switch request.path {
      case "/v1/kv/k": return .json(#"[{"Value": "e30="}]"#, index: 4)
      case "/v1/discovery-chain/web": return .json(chain, index: 4)
      default: return .json(instances(1), index: 4)
      }
    }
    defer { agent.stop() }
    let watching = try Watching(
      ConsulResolver(ConsulOptions(), watches: SharedWatches()),
      "consul://\(agent.address)/web?chain&config=kv:k")
    let report = await watching.next()
    #expect(report?.serviceConfig != nil)
    #expect(report?.groups != nil)
  }

  @Test("an explanation has the chain's request, each target's instances, and their watches")
  func explains() async throws {
    let agent = try await agent([nil: .json(canary(90, 10), index: 10)])
    defer { agent.stop() }
    let watches = SharedWatches()
    let watching = try watching(agent, watches)
    #expect(await watching.next() != nil)
    let resolver = ConsulResolver(ConsulOptions(), watches: watches)
    let explanation = try await resolver.explain("consul://\(agent.address)/web?chain")
    let chain = try #require(explanation.requests.first)
    #expect(chain.purpose == .chain)
    #expect(chain.path == "/v1/discovery-chain/web")
    #expect(chain.outcome == "90% v1.web, 10% v2.web")
    #expect(explanation.instances.filter { $0.use == .used }.count == 2, "\(explanation)")
    #expect(explanation.watches.map(\.kind) == [.instances, .instances, .chain])
    #expect(explanation.watches.last?.note == "90% v1.web, 10% v2.web")
    #expect(resolver.statistics.watches.map(\.kind).contains(.chain))
  }

  @Test("an explanation of an agent without chains says what to do, and asks nothing else of it")
  func explainsRefusal() async throws {
    let agent = try await agent([
      nil: .answer(500, body: "Connect must be enabled in order to use this endpoint")
    ])
    defer { agent.stop() }
    let explanation = try await ConsulResolver(ConsulOptions(), watches: SharedWatches())
      .explain("consul://\(agent.address)/web?chain")
    #expect(explanation.advice.contains { $0.contains("connect { enabled = true }") })
    #expect(!agent.requests.contains { $0.path.hasPrefix("/v1/health") })
  }

  @Test("a chain that changes without end leaves no watch behind") func changing() async throws {
    let agent = try await ScriptedConsulAgent.start { request in
      guard request.path == "/v1/discovery-chain/web" else {
        return request["index"] == nil ? .json(instances(1), index: 5) : .hang
      }
      let index = request["index"].flatMap(UInt64.init) ?? 9
      let names = (0..<4).map { "t\(index)-\($0)" } + ["kept"]
      let chain = chainJSON(
        #""s": {"Type": "splitter", "Name": "s", "Splits": ["#
          + names.map { #"{"Weight": 20, "NextNode": "\#($0)"}"# }.joined(separator: ",") + "]}",
        names.map {
          #""\#($0)": {"Type": "resolver", "Name": "x", "Resolver": {"Target": "\#($0)"}}"#
        }
        .joined(separator: ","),
        targets: names.map { #""\#($0)": {"Service": "\#($0)"}"# }.joined(separator: ","))
      if index >= 24 { return .hang }
      return .json(chain, index: index + 1)
    }
    defer { agent.stop() }
    let watches = SharedWatches()
    let watching = try watching(agent, watches, linger: .zero)
    #expect(await watching.report { $0.note?.contains("20% t23-0") == true } != nil)
    #expect(try await eventually { watches.count == 1 + 5 })
    _ = await watching.stop()
    #expect(try await eventually { watches.count == 0 })
  }
}

private let plainDefault =
  #""s": {"Type": "resolver", "Name": "r", "Resolver": {"Target": "t", "Default": true}}"#
