// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import FoundationEssentials
import Testing
import TrunkDiscovery
import TrunkTesting

@testable import TrunkConsul

/// What a watch of the process keeps beyond Consul's answer, by each of its holds.
@Suite("Explanations of what a watch keeps", .timeLimit(.minutes(2)))
struct KeptExplanationTests {
  private func resolver(_ change: (inout ConsulOptions) -> Void = { _ in }) -> ConsulResolver {
    var options = ConsulOptions(agent: ConsulAgent("127.0.0.1:1"))
    options.linger = .zero
    change(&options)
    return ConsulResolver(options, watches: SharedWatches())
  }

  private func uses(_ explanation: ConsulExplanation) -> [String] {
    explanation.instances.map {
      ([$0.id, $0.use.rawValue] + $0.holds.map(\.rawValue)).joined(separator: " ")
    }
  }

  @Test("all critical; the agent away; the agent back without its state (a real agent)")
  func realAgent() async throws {
    let agent = try await RealAgent.start()
    defer { agent.kill() }
    let resolver = resolver()
    let target = "consul://127.0.0.1:\(agent.port)/kept"
    for port in UInt16(1)...4 { try await agent.put("kept", port: port) }
    let watching = try Watching(resolver, target)
    _ = await watching.report { $0.ports.count == 4 }

    for port in UInt16(1)...4 { try await agent.turn("kept", port: port, to: "fail") }
    _ = await watching.report { $0.note?.contains("all turned critical") == true }
    var explanation = try await resolver.explain(target)
    #expect(uses(explanation) == (1...4).map { "kept-\($0) kept allCriticalHold" })
    #expect(explanation.usable == 4)
    let reason = explanation.instances[0].reasons.first
    #expect(reason?.hasPrefix("check \"service:kept-1\" is critical") == true)
    // And the panic guard's where the watch saw most of them turn in one answer.
    #expect(explanation.watches.first?.holds.contains(.allCriticalHold) == true)
    #expect((explanation.watches.first?.holdsEndIn ?? .zero) > .seconds(1))
    for port in UInt16(1)...4 { try await agent.turn("kept", port: port, to: "pass") }
    _ = await watching.report { $0.note?.hasSuffix("4 instances, 4 passing") == true }

    agent.kill()
    _ = await watching.report { !$0.isAnswer }
    explanation = try await resolver.explain(target)
    #expect(explanation.problem?.hasSuffix("connection refused") == true)
    #expect(
      explanation.instances.filter { $0.use == .kept }.map(\.id) == (1...4).map { "kept-\($0)" })
    #expect(explanation.instances.first?.reasons == ["Consul cannot be asked"])
    #expect(explanation.instances.first?.holds == [.lastGood])

    try await agent.launch()
    _ = await watching.report { $0.note?.contains("no instances since the agent was lost") == true }
    explanation = try await resolver.explain(target)
    #expect(explanation.problem == nil)
    #expect(
      explanation.instances.filter { $0.use == .kept }.map(\.id) == (1...4).map { "kept-\($0)" })
    #expect(explanation.instances.first?.reasons == ["it is not registered"])
    #expect(explanation.instances.first?.holds == [.emptyHold])
    _ = await watching.stop()
  }

  @Test("a node that goes with most instances: a last resort, named with its hold (a real agent)")
  func panic() async throws {
    let agent = try await RealAgent.start()
    defer { agent.kill() }
    let client = try AgentClient(agent.agent)
    func put(_ path: String, _ body: String) async throws {
      var request = HTTPRequest(.put, "v1", "catalog", path)
      request.body = Array(body.utf8)
      _ = try await client.send(request, timeout: .seconds(5))
    }
    try await agent.put("gone", port: 1)
    for port in 2...4 {
      try await put(
        "register",
        #"{"Node": "ext", "Address": "127.0.0.1", "Service": "#
          + #"{"ID": "gone-\#(port)", "Service": "gone", "Port": \#(port)}}"#)
    }
    let resolver = resolver()
    let target = "consul://127.0.0.1:\(agent.port)/gone"
    let watching = try Watching(resolver, target)
    _ = await watching.report { $0.ports.count == 4 }
    try await put("deregister", #"{"Node": "ext"}"#)
    _ = await watching.report { $0.note?.contains("a last resort") == true }
    let explanation = try await resolver.explain(target)
    #expect(
      uses(explanation)
        == ["gone-1 used"] + (2...4).map { "gone-\($0) lastResort panicHold" })
    #expect(explanation.instances.last?.reasons == ["it is not registered"])
    #expect(explanation.instances.last?.node == "ext")
    _ = await watching.stop()
  }

  @Test("a server without a leader keeps what vanishes, named with its hold") func leaderless()
    async throws
  {
    let agent = try await ScriptedConsulAgent.start { request in
      let first = request.number == 0
      guard request["index"] == nil || request["index"] == "5" else { return .hang }
      return .answer(
        200, headers: ["X-Consul-Index: \(first ? 5 : 6)", "X-Consul-KnownLeader: \(first)"],
        body: first ? instances(1, 2) : instances(1))
    }
    defer { agent.stop() }
    let resolver = resolver()
    let target = "consul://\(agent.address)/hello"
    let watching = try Watching(resolver, target)
    _ = await watching.report { $0.note?.contains("know no leader") == true }
    let explanation = try await resolver.explain(target)
    #expect(uses(explanation) == ["s1 used", "s2 kept leaderlessHold"])
    #expect(explanation.watches.first?.knowsLeader == false)
    _ = await watching.stop()
  }

  @Test("a set from disk is kept while Consul cannot be asked, named with its hold")
  func failStatic() async throws {
    let folder =
      FileManager.default.temporaryDirectory.path + "/explain-\(UInt64.random(in: 0 ... .max))"
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let agent = try await ScriptedConsulAgent.start {
      $0["index"] == nil ? .json(instances(1), index: 5) : .hang
    }
    let target = "consul://\(agent.address)/hello"
    let first = try Watching(
      resolver { $0.failStatic = ConsulFailStatic(directory: folder) }, target)
    _ = await first.report { $0.ports == [1] }
    // Not `x.json.Ab12Cd`, which becomes it.
    let written = try await eventually(within: .seconds(10)) {
      (try? FileManager.default.contentsOfDirectory(atPath: folder))?
        .contains { $0.hasSuffix(".json") } == true
    }
    #expect(written)
    _ = await first.stop()
    agent.stop()
    let second = resolver { $0.failStatic = ConsulFailStatic(directory: folder) }
    let watching = try Watching(second, target)
    _ = await watching.report { $0.ports == [1] }
    let explanation = try await second.explain(target)
    #expect(uses(explanation) == ["s1 kept failStatic"])
    #expect(explanation.usable == 1)
    _ = await watching.stop()
  }
}
