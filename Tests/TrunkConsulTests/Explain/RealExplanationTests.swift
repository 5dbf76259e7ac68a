// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Testing
import TrunkDiscovery

@testable import TrunkConsul

@Suite("Explanations of a real agent", .serialized, .realConsul, .timeLimit(.minutes(2)))
struct RealExplanationTests {
  private func explain(_ rest: String) async throws -> ConsulExplanation {
    let agent = try RealAgent.get().agent
    return try await ConsulResolver(ConsulOptions(agent: agent))
      .explain("consul://\(agent.address)/\(rest)")
  }
  private func reasons(_ explanation: ConsulExplanation, _ id: String) -> [String]? {
    explanation.instances.first { $0.id == id }?.reasons
  }
  private func put(_ path: [String], _ query: (String, String)..., body: String = "") async throws {
    var request = HTTPRequest(.put)
    request.path = path
    for (name, value) in query { request.addQuery(name, value) }
    request.body = Array(body.utf8)
    _ = try await AgentClient(RealAgent.get().agent).send(request, timeout: .seconds(5))
  }

  @Test("every reason for which an instance is not used") func everyReason() async throws {
    let agent = try RealAgent.get()
    try await agent.put("why", port: 1, tags: ["v1"])
    try await agent.put("why", port: 2, tags: ["v1"])
    try await put(
      ["v1", "agent", "check", "fail", "service:why-2"], ("note", "disk full"))
    try await agent.put("why", port: 3, tags: ["v0"])
    try await agent.put("why", port: 4, status: "warning", tags: ["v1"])
    try await agent.put("why", port: 5, tags: ["v1"])
    try await put(
      ["v1", "agent", "service", "maintenance", "why-5"], ("enable", "true"),
      ("reason", "new disks"))
    try await put(
      ["v1", "agent", "service", "register"],
      body: #"{"ID": "why-none", "Name": "why", "Address": "127.0.0.1", "Tags": ["v1"]}"#)
    try await put(
      ["v1", "agent", "service", "register"],
      body:
        #"{"ID": "why-twin", "Name": "why", "Address": "127.0.0.1", "Port": 1, "Tags": ["v1"]}"#)
    let explanation = try await explain("why?tag=v1")
    #expect(explanation.agentVersion?.hasPrefix("1.") == true)
    #expect(explanation.usable == 1)
    #expect(explanation.instances.first?.id == "why-1")
    #expect(reasons(explanation, "why-2") == ["check \"service:why-2\" is critical: disk full"])
    #expect(reasons(explanation, "why-3") == ["the tag \"v1\" is missing, it has v0"])
    #expect(
      reasons(explanation, "why-4")?.first?.hasPrefix(
        "check \"service:why-4\" is warning (warning=include takes it)") == true)
    #expect(reasons(explanation, "why-5") == ["it is in maintenance: new disks"])
    #expect(reasons(explanation, "why-none") == ["it has no port"])
    let twin = try #require(reasons(explanation, "why-twin")?.first)
    #expect(twin.hasPrefix("it has the address of ") && twin.hasSuffix("/why-1, which is used"))
    #expect(try await explain("why?tag=v1&warning=include").usable == 2)

    let filtered = try await explain("why?filter=%22v0%22%20in%20Service.Tags")
    #expect(filtered.usable == 1)
    #expect(reasons(filtered, "why-1") == ["the filter does not match it"])
    #expect(filtered.requests.map(\.purpose) == [.query, .all, .filter, .agent])
    let meta = try await explain("why?node-meta=zone:a")
    #expect(reasons(meta, "why-1") == ["node-meta zone is not set, not \"a\""])
    let connect = try await explain("why?connect")
    #expect(reasons(connect, "why-1") == ["it takes no Connect connections itself"])
  }

  @Test("what Consul refuses is told in its words: data center, filter, prepared query")
  func refused() async throws {
    let moon = try await explain("x?dc=moon")
    #expect(moon.requests[0].outcome == "500 No path to datacenter")
    #expect(moon.advice.contains("the agent knows these data centers: dc1"))
    let filter = try await explain("x?filter=(((")
    #expect(filter.requests[0].outcome.hasPrefix("500 "))
    #expect(filter.advice.contains { $0.hasPrefix("the filter may be at fault") })
    let prepared = try await explain("none?prepared")
    #expect(prepared.requests[0].outcome.hasPrefix("404 Query not found"))
    let absent = try await explain("nobody-has-this")
    #expect(absent.usable == 0)
    #expect(absent.advice.contains { $0.hasPrefix("no instance of \"nobody-has-this\"") })
  }

  @Test("each consistency is asked for alone, the agent says which one it used; the cache says so")
  func consistency() async throws {
    let agent = try RealAgent.get()
    try await agent.put("modes", port: 1)
    for (parameters, path, mode) in [
      ("", "", "leader"), ("?stale", "&stale", "stale"),
      ("?consistent", "&consistent", "consistent"),
    ] {
      let request = try await explain("modes\(parameters)").requests[0]
      #expect(request.path == "/v1/health/service/modes?passing\(path)")
      #expect(request.consistency == mode)
      #expect(request.knowsLeader == true && request.lastContact == .zero)
    }
    let cached = try await explain("modes?cached").requests[0]
    #expect(cached.path == "/v1/health/service/modes?passing&cached")
    #expect(cached.cache == "MISS")
    #expect(try await explain("modes?cached").requests[0].cache == "HIT")
  }

  @Test("a prepared query's instances are those of its answer") func prepared() async throws {
    let agent = try RealAgent.get()
    try await agent.put("prepared-why", port: 81)
    try await agent.definePreparedQuery(
      #"{"Name": "why-query", "Service": {"Service": "prepared-why"}}"#)
    let explanation = try await explain("why-query?prepared")
    #expect(explanation.instances.map(\.id) == ["prepared-why-81"])
    #expect(explanation.usable == 1)
    #expect(explanation.requests[0].path == "/v1/query/why-query/execute")
  }

  @Test("a discovery chain's instances are listed with their targets, each once") func chain()
    async throws
  {
    for version in ["v1", "v2", "v3"] {
      let port = version.dropFirst()
      try await put(
        ["v1", "agent", "service", "register"],
        body: #"{"ID": "split-\#(version)", "Name": "split", "Address": "127.0.0.1", "#
          + #""Port": \#(port), "Meta": {"version": "\#(version)"}}"#)
    }
    for entry in [
      #"{"Kind": "service-defaults", "Name": "split", "Protocol": "grpc"}"#,
      #"{"Kind": "service-resolver", "Name": "split", "Subsets": {"#
        + #""v1": {"Filter": "Service.Meta.version == v1"}, "#
        + #""v2": {"Filter": "Service.Meta.version == v2"}}, "#
        + #""Failover": {"v2": {"ServiceSubset": "v1"}}}"#,
      #"{"Kind": "service-splitter", "Name": "split", "Splits": ["#
        + #"{"Weight": 90, "ServiceSubset": "v1"}, {"Weight": 10, "ServiceSubset": "v2"}]}"#,
    ] { try await put(["v1", "config"], body: entry) }
    let explanation = try await explain("split?chain")
    #expect(explanation.requests[0].path == "/v1/discovery-chain/split")
    #expect(explanation.requests[0].outcome == "90% v1.split, 10% v2.split (then v1.split)")
    let shown = explanation.instances.map { "\($0.id) \($0.use.rawValue) \($0.part ?? "")" }
    #expect(
      shown == [
        "split-v1 used v1.split", "split-v2 used v2.split",
        "split-v1 standby v2.split then v1.split", "split-v3 unused v1.split",
      ])
    #expect(reasons(explanation, "split-v3") == ["the filter does not match it"])
    #expect(explanation.description.contains("in          127.0.0.1:1 split-v1 on "))
    #expect(explanation.description.contains(" in dc1 for v1.split: passing, weight 1"))
  }

  @Test("what a prepared query leaves out is found in its definition") func preparedReasons()
    async throws
  {
    let agent = try RealAgent.get()
    try await agent.put("defined", port: 1, tags: ["v1"])
    try await agent.put("defined", port: 2, status: "critical", tags: ["v1"])
    try await agent.put("defined", port: 3, status: "warning", tags: ["v1", "canary"])
    try await agent.put("defined", port: 4)
    try await agent.definePreparedQuery(
      #"{"Name": "defined-query", "Service": {"Service": "defined", "Tags": ["v1", "!canary"]}}"#)
    let explanation = try await explain("defined-query?prepared")
    #expect(explanation.requests.map(\.purpose) == [.query, .definition, .all, .agent])
    #expect(
      explanation.requests[1].outcome == "service defined, passing and warning, tags v1,!canary")
    #expect(explanation.usable == 1)
    #expect(
      reasons(explanation, "defined-2")?.first?.hasPrefix("check \"service:defined-2\" is crit")
        == true)
    #expect(reasons(explanation, "defined-3") == ["it has the tag \"canary\", which is excluded"])
    #expect(reasons(explanation, "defined-4") == ["the tag \"v1\" is missing, it has no tags"])
  }

  @Test("instances that are in: a warning with its check, the weight of that state, a key's index")
  func used() async throws {
    let agent = try RealAgent.get()
    try await put(
      ["v1", "agent", "service", "register"],
      body: #"{"ID": "warned-1", "Name": "warned", "Address": "127.0.0.1", "Port": 7,"#
        + #" "Weights": {"Passing": 10, "Warning": 2}, "Check": {"TTL": "10m"}}"#
    )
    try await put(
      ["v1", "agent", "check", "warn", "service:warned-1"], ("note", "disk 90% full"))
    try await put(["v1", "kv", "explained", "config"], body: #"{"loadBalancingPolicy": 1}"#)
    let explanation = try await explain("warned?warning=include&config=kv:explained/config")
    let instance = try #require(explanation.instances.first)
    #expect(instance.use == .used && instance.weight == 2)
    #expect(
      explanation.description.contains(
        "in          127.0.0.1:7 warned-1 on "))
    #expect(
      explanation.description.contains(
        ": warning, weight 2; check \"service:warned-1\" is warning: disk 90% full\n"))
    #expect(explanation.config?.state == .invalid)
    #expect((explanation.config?.index ?? 0) > 0)
    _ = agent
  }
}
