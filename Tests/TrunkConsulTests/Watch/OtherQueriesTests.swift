// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Testing
import TrunkDiscovery
import TrunkTesting

@testable import TrunkConsul

@Suite("Queries other than of a service's health") struct OtherQueriesTests {
  private func target(_ text: String) throws -> ConsulQuery {
    try ConsulTarget(try Target.parse(text), agent: ConsulAgent()).query
  }

  @Test("peer, sg and connect are sent; a prepared query has its own path and no passing")
  func requests() throws {
    func sent(_ text: String) throws -> String {
      try target(text).request(index: nil, wait: nil).requestTarget
    }
    #expect(try sent("consul:///x?peer=p") == "/v1/health/service/x?passing&peer=p")
    #expect(try sent("consul:///x?sg=g&dc=d") == "/v1/health/service/x?passing&dc=d&sg=g")
    #expect(try sent("consul:///x?connect") == "/v1/health/connect/x?passing")
    #expect(try sent("consul:///x?connect=false") == "/v1/health/service/x?passing")
    #expect(
      try sent("consul:///x?prepared&near=_agent&stale&interval=3s")
        == "/v1/query/x/execute?near=_agent&stale")
    #expect(try target("consul:///x?prepared&interval=3s").interval == .seconds(3))
    #expect(try target("consul:///x?prepared").interval == .seconds(10))
  }

  @Test("every parameter is in the request, escaped; what is not set is not sent")
  func allParameters() throws {
    let query = try target(
      "consul:///a%2Fb?tag=v1&tags=x,y%20z&node-meta=zone:a%26b&near=_agent&dc=d&ns=n&partition=p"
        + "&filter=%22b%22%20in%20Service.Tags&stale&cached&warning=include")
    #expect(
      query.request(index: 7, wait: .seconds(60)).requestTarget
        == "/v1/health/service/a%2Fb?tag=v1&tag=x&tag=y%20z&node-meta=zone%3Aa%26b&dc=d&ns=n"
        + "&partition=p&near=_agent&filter=%22b%22%20in%20Service.Tags&stale&cached&index=7"
        + "&wait=60000ms")
    #expect(
      try target("consul:///x").request(index: nil, wait: nil).requestTarget
        == "/v1/health/service/x?passing")
    var tenant = ConsulAgent()
    tenant.namespace = "team"
    tenant.partition = "part"
    #expect(
      try ConsulTarget(try Target.parse("consul:///x"), agent: tenant).query
        .request(index: nil, wait: nil).requestTarget
        == "/v1/health/service/x?passing&ns=team&partition=part")
  }

  @Test(
    "what excludes each other is refused",
    arguments: [
      "peer=a&sg=b", "prepared&tag=a", "prepared&passing=false", "prepared&wait=5s",
      "prepared&connect", "prepared&filter=f", "prepared&warning=include", "interval=5s",
      "prepared&interval=0s", "prepared&interval=11m", "prepared=maybe",
    ])
  func refused(_ parameters: String) {
    #expect(throws: TargetError.self) { try target("consul:///x?\(parameters)") }
  }

  @Test("an agent that is too old for a parameter, and would ignore it, is not asked")
  func version() async throws {
    for (parameter, version, isOld) in [
      ("peer=p", "1.12.9", true), ("peer=p", "1.13.0", false), ("sg=g", "1.15.1", true),
      ("partition=q", "1.8.7", true), ("dc=d", "1.0.0", false),
    ] {
      let agent = try await ScriptedConsulAgent.start { request in
        if request.path == "/v1/agent/self" {
          return .answer(200, body: #"{"Config": {"Version": "\#(version)"}}"#)
        }
        return request["index"] != nil ? .hang : .json(one(1), index: 5)
      }
      defer { agent.stop() }
      let watching = try Watching(
        ConsulResolver(ConsulOptions(), watches: SharedWatches()),
        "consul://\(agent.address)/x?\(parameter)")
      let first = try #require(await watching.next())
      #expect(first.endpoints.isEmpty == isOld, "\(parameter) \(version)")
      if isOld {
        let name = parameter.prefix { $0 != "=" }
        #expect(first.note?.contains("\(name) needs Consul 1.") == true, "\(first.note ?? "")")
        #expect(first.note?.contains("; the agent is \(version.dropLast(2))") == true)
        #expect(!agent.requests.contains { $0.path.hasPrefix("/v1/health") })
      }
      _ = await watching.stop()
    }
  }

  @Test("a prepared query is executed again and again, never with an index; failover is named")
  func prepared() async throws {
    let agent = try await ScriptedConsulAgent.start { request in
      let there = request.number == 0
      return .answer(
        200,
        body: #"""
          {"Service": "web", "Nodes": \#(one(there ? 1 : 2)), "Failovers": \#(there ? 0 : 1),
           "Datacenter": "dc\#(there ? 1 : 2)"}
          """#)
    }
    defer { agent.stop() }
    let watching = try Watching(
      ConsulResolver(ConsulOptions(), watches: SharedWatches()),
      "consul://\(agent.address)/web?prepared&interval=1s")
    #expect(await watching.next()?.ports == [1])
    let second = await watching.next()
    #expect(second?.ports == [2])
    #expect(second?.note?.hasSuffix("1 instance, 1 passing, failed over to dc2") == true)
    #expect(agent.requests.allSatisfy { $0.path == "/v1/query/web/execute" && $0["index"] == nil })
    _ = await watching.stop()
  }

  @Test("the interval of what cannot block is kept, whatever changes; its index means nothing")
  func interval() {
    var random = SplitMix(state: 7)
    var query = BlockingQuery(wait: .seconds(60), explains: false, interval: .seconds(10))
    var now = ContinuousClock.now
    _ = query.begin(at: now)
    for round in 0..<500 {
      var mapping = InstanceMapping([HealthEntry](), for: ConsulQuery("x"))
      mapping.endpoints = [Endpoint(.host("h", UInt16(round + 1)))]
      let index = [nil, "0", "\(1_000 - round)", "x"][round % 4]
      let step = query.answered(.init(index: index, mapping), at: now, using: &random)
      #expect(step.publish?.endpoints.count == 1)
      guard case .sleep(let pause) = step.next else {
        Issue.record("\(step.next)")
        return
      }
      #expect(pause >= .seconds(8) && pause <= .seconds(12))
      now += pause
      #expect(
        query.timerFired(at: now).next == .query(index: nil, wait: nil, timeout: .seconds(4)))
    }
  }
}

private func one(_ port: Int) -> String {
  #"[{"Node": {"Node": "n"}, "Service": {"ID": "a", "Address": "10.0.0.1", "Port": \#(port)}}]"#
}
