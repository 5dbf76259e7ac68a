// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Testing
import TrunkDiscovery
import TrunkTesting

@testable import TrunkConsul

@Suite("An explanation of Consul's answers", .timeLimit(.minutes(1)))
struct ConsulExplanationTests {
  private func explain(
    _ rest: String, _ script: @escaping ScriptedConsulAgent.Script
  ) async throws -> (ConsulExplanation, ScriptedConsulAgent) {
    let agent = try await ScriptedConsulAgent.start(script)
    let resolver = ConsulResolver(ConsulOptions(agent: ConsulAgent("127.0.0.1:1")))
    return (try await resolver.explain("consul://\(agent.address)/\(rest)"), agent)
  }

  @Test("the requests, their answers' headers, and each instance with the reason")
  func text() async throws {
    let headers = [
      "X-Consul-Index: 57", "X-Consul-KnownLeader: true", "X-Consul-LastContact: 3", "Age: 12",
      "X-Cache: HIT", "X-Consul-Query-Backend: streaming",
      "X-Consul-Effective-Consistency: leader",
    ]
    let (explanation, agent) = try await explain("hello?tag=V1&token=secret") { request in
      switch request.path {
      case "/v1/agent/self": return .json(#"{"Config": {"Version": "1.17.0"}}"#, index: nil)
      default:
        let body =
          request["passing"] == nil
          ? instances(1).dropLast() + ","
            + instances(2, status: "critical").dropFirst().replacing(
              #""Status""#, with: #""Output":"a\nb","Status""#)
          : instances(1)[...]
        return .answer(200, headers: headers, body: String(body))
      }
    }
    defer { agent.stop() }
    #expect(!explanation.description.contains("secret"))
    #expect(!explanation.json.contains("secret"))
    #expect(explanation.requests.map(\.purpose) == [.query, .all, .agent])
    #expect(explanation.requests[0].path == "/v1/health/service/hello?passing&tag=V1")
    #expect(explanation.requests[1].path == "/v1/health/service/hello")
    let query = explanation.requests[0]
    #expect(query.status == 200 && query.index == 57 && query.knowsLeader == true)
    #expect(query.lastContact == .milliseconds(3) && query.age == .seconds(12))
    #expect(query.cache == "HIT" && query.backend == "streaming" && query.consistency == "leader")
    let text = explanation.description.split(separator: "\n").map(String.init)
    #expect(text[0].hasSuffix("has 1 usable instance of 2"))
    #expect(text[1] == "agent       \(agent.address), Consul 1.17.0, a token is sent")
    #expect(
      text[3]
        == "            200: 1 instance; index 57, leader known, last contact 3 ms ago, cache HIT, age 12 s, "
        + "by streaming, consistency leader")
    #expect(text.contains("in          127.0.0.1:1 s1 on n in dc1: passing, weight 1"))
    #expect(
      text.contains {
        $0.hasPrefix(
          "out         127.0.0.1:2 s2 on n in dc1: check \"c\" is critical: a b; the tag")
      })
  }

  @Test("an agent that refuses is explained in its own words, with the rule that is missing")
  func forbidden() async throws {
    let (explanation, agent) = try await explain("hello") { _ in
      .answer(403, body: "Permission denied: token lacks service:read")
    }
    defer { agent.stop() }
    #expect(explanation.requests[0].status == 403)
    #expect(explanation.requests[0].outcome == "403 Permission denied: token lacks service:read")
    #expect(explanation.advice.contains { $0.contains("service_prefix \"hello\"") })
    #expect(explanation.agentVersion == nil)
    #expect(explanation.usable == 0)
  }

  @Test("an agent that is not there is one error, and is not asked again") func away() async throws
  {
    let port = try await closedPort()
    let explanation = try await ConsulResolver(ConsulOptions(agent: ConsulAgent()))
      .explain("consul://127.0.0.1:\(port)/hello?config=kv:a&dc=dc1,dc2")
    #expect(explanation.problem == "consul 127.0.0.1:\(port): connection refused")
    #expect(explanation.requests.map(\.outcome) == ["connection refused"])
    #expect(explanation.config?.state == .unknown)
    #expect(explanation.config?.reason == "connection refused")
    #expect(explanation.advice.contains { $0.contains("is an agent running at 127.0.0.1") })
    #expect(explanation.description.contains("\nproblem     consul 127.0.0.1:\(port): connection"))
  }

  @Test("entries that cannot be read are named; the others are explained") func unreadable()
    async throws
  {
    let broken = #"[{"Node": {"Node": "n"}, "Service": {"ID": "bad", "Port": "x"}},"#
    let (explanation, agent) = try await explain("hello") { request in
      .json(broken + instances(1).dropFirst(), index: 5)
    }
    defer { agent.stop() }
    #expect(explanation.unreadable.count == 1)
    #expect(explanation.unreadable.first?.hasPrefix("\"bad\": Service.Port") == true)
    #expect(explanation.usable == 1)
  }

  @Test("no answer without a token, where ACLs deny by default, is explained so") func hidden()
    async throws
  {
    let (explanation, agent) = try await explain("hello") { request in
      request.path == "/v1/agent/self"
        ? .answer(403, body: "Permission denied") : .json("[]", index: 5)
    }
    defer { agent.stop() }
    #expect(
      explanation.advice.contains { $0.hasPrefix("the agent has ACLs and no token was sent") })
  }

  @Test("a service config's key is asked for and read") func config() async throws {
    let (explanation, agent) = try await explain("hello?config=kv:a/b") { request in
      switch request.path {
      case "/v1/kv/a/b": .json(#"[{"Value": "e30="}]"#, index: 7)
      default: .json(instances(1), index: 5)
      }
    }
    defer { agent.stop() }
    let request = try #require(explanation.requests.first { $0.purpose == .config })
    #expect(request.path == "/v1/kv/a/b")
    #expect(request.outcome == "2 bytes")
    #expect(explanation.config?.key == "a/b")
    #expect(explanation.config?.index == 7)
    #expect(explanation.config?.state == .valid)
    #expect(
      explanation.description.contains("config      kv:a/b at index 7: valid: config from kv:a/b"))
  }

  @Test(
    "a config that is invalid, missing or forbidden is said to be so",
    arguments: [
      (200, #"[{"Value": "eA=="}]"#, ConsulConfigExplanation.State.invalid, "service config: kv:a"),
      (404, "", .none, "no config at kv:a"),
      (403, "Permission denied", .unknown, "403 Permission denied"),
    ]) func configStates(
      status: Int, body: String, state: ConsulConfigExplanation.State, reason: String
    ) async throws
  {
    let (explanation, agent) = try await explain("hello?config=kv:a") { request in
      request.path == "/v1/kv/a"
        ? .json(body, index: 7, status: status) : .json(instances(1), index: 5)
    }
    defer { agent.stop() }
    #expect(explanation.config?.state == state)
    #expect(explanation.config?.reason.hasPrefix(reason) == true, "\(explanation.config!)")
  }

  @Test("each data center is asked; a second one is standby while the first has an instance")
  func datacenters() async throws {
    let script: ScriptedConsulAgent.Script = { request in
      switch (request.path, request["dc"]) {
      case ("/v1/health/service/hello", "dc1"): .json(instances(1), index: 5)
      case ("/v1/health/service/hello", "dc2"):
        .json(instances(2).replacing("dc1", with: "dc2"), index: 9)
      case ("/v1/health/service/gone", "dc2"):
        .json(instances(2).replacing("dc1", with: "dc2"), index: 9)
      default: .json("[]", index: 3)
      }
    }
    let (explanation, agent) = try await explain("hello?dc=dc1,dc2", script)
    defer { agent.stop() }
    #expect(
      explanation.requests.filter { $0.purpose == .query }.map(\.path) == [
        "/v1/health/service/hello?passing&dc=dc1", "/v1/health/service/hello?passing&dc=dc2",
      ])
    #expect(explanation.requests.filter { $0.purpose == .query }.map(\.index) == [5, 9])
    #expect(explanation.instances.map(\.use) == [.used, .standby])
    #expect(explanation.description.contains("\nstandby     127.0.0.1:2 s2 on n in dc2: passing"))
    let (second, other) = try await explain("gone?dc=dc1,dc2", script)
    defer { other.stop() }
    #expect(second.instances.map(\.use) == [.used])
    #expect(second.instances.map(\.datacenter) == ["dc2"])
  }

  @Test("a stale answer that is older than max-stale is asked for again, as a watch does")
  func maxStale() async throws {
    let (explanation, agent) = try await explain("hello?stale&max-stale=2s") { request in
      request["stale"] == nil
        ? .json(instances(1, 2), index: 6)
        : .answer(
          200, headers: ["X-Consul-Index: 5", "X-Consul-LastContact: 3000"], body: instances(1))
    }
    defer { agent.stop() }
    #expect(explanation.requests.map(\.purpose) == [.query, .leader, .all, .agent])
    #expect(explanation.requests.map(\.consistency) == ["stale", "default", "stale", nil])
    #expect(explanation.usable == 2)
  }

  @Test("an agent that would ignore a parameter is not asked with it") func tooOld() async throws {
    let (explanation, agent) = try await explain("hello?peer=other") { request in
      request.path == "/v1/agent/self"
        ? .json(#"{"Config": {"Version": "1.8.7"}}"#, index: nil) : .json(instances(1), index: 5)
    }
    defer { agent.stop() }
    #expect(explanation.requests.map(\.purpose) == [.agent])
    #expect(explanation.usable == 0)
    #expect(explanation.advice.contains { $0.hasPrefix("not asked: peer needs Consul 1.13") })
  }

  @Test("only a consul: target can be explained") func scheme() async {
    await #expect(throws: TargetError.self) {
      try await ConsulResolver(ConsulOptions(agent: ConsulAgent())).explain("dns:///hello")
    }
  }

  @Test("with several agents the next is asked, as a watch does") func alternatives() async throws {
    let one = try await ScriptedConsulAgent.start(answering: [.close])
    let two = try await ScriptedConsulAgent.start(answering: [.json(instances(2), index: 5)])
    defer {
      one.stop()
      two.stop()
    }
    let resolver = ConsulResolver(ConsulOptions(), watches: SharedWatches())
    let explanation = try await resolver.explain("consul://\(one.address),\(two.address)/x")
    #expect(explanation.problem == nil)
    #expect(explanation.agent == two.address)
    #expect(explanation.usable == 1)
    let none = try await resolver.explain("consul://\(one.address)/x")
    #expect(none.problem?.hasPrefix("consul \(one.address)") == true)
    #expect(none.requests.count == 1)
  }

  @Test("one that is cancelled is no explanation") func cancelled() async throws {
    let agent = try await ScriptedConsulAgent.start(answering: [.hang])
    defer { agent.stop() }
    let resolver = ConsulResolver(ConsulOptions(), watches: SharedWatches())
    let task = Task { try await resolver.explain("consul://\(agent.address)/x?config=kv:a") }
    #expect(try await eventually { !agent.requests.isEmpty })
    task.cancel()
    await #expect(throws: CancellationError.self) { try await task.value }
    #expect(agent.requests.count == 1)
  }

  @Test("an agent that hangs in the middle holds it up for a bounded time") func hanging()
    async throws
  {
    let agent = try await ScriptedConsulAgent.start { request in
      request.number == 0 ? .json(instances(1), index: 5) : .hang
    }
    defer { agent.stop() }
    var draft = ExplanationDraft(
      try AgentClient(ConsulAgent(agent.address)), within: .milliseconds(300))
    let start = ContinuousClock.now
    for number in 0..<20 { await draft.explain(ConsulQuery("x\(number)"), watch: nil) }
    #expect(ContinuousClock.now - start < .seconds(4))
    #expect(draft.requests.count == 2)
    #expect(draft.advice.contains { $0.hasPrefix("not everything was asked") })
  }
}
