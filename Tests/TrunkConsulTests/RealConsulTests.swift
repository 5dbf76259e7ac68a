// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import FoundationEssentials
import Logging
import Testing
import TrunkDiscovery

@testable import TrunkConsul

@Suite("RealConsul", .serialized, .realConsul, .timeLimit(.minutes(2))) struct RealConsulTests {
  private func watching(_ rest: String, hold: Duration = .seconds(30)) throws -> Watching {
    let agent = try RealAgent.get().agent
    let options = ConsulOptions(agent: agent, emptyHold: hold)
    return try Watching(
      ConsulResolver(options, watches: SharedWatches()), "consul://\(agent.address)/\(rest)")
  }
  private func registration(
    _ name: String, _ server: TestServer, check: ConsulCheck = .grpc(), tags: [String] = [],
    meta: [String: String] = [:], weights: ConsulWeights? = nil
  ) throws -> ConsulRegistration {
    ConsulRegistration(
      name, of: server, agent: try RealAgent.get().agent, tags: tags, meta: meta, weights: weights,
      check: check, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
  }

  @Test("instances come, turn critical, come back and go, as the agent says so")
  func lifeOfAService() async throws {
    let agent = try RealAgent.get()
    let watching = try watching("life")
    #expect(await watching.next()?.note?.hasSuffix("no instance is registered") == true)
    try await agent.put("life", port: 1)
    #expect(await watching.report(within: .seconds(10)) { $0.ports == [1] } != nil)
    try await agent.put("life", port: 2, status: "critical")
    try await agent.turn("life", port: 2, to: "pass")
    let turned = ContinuousClock.now
    let both = await watching.report(within: .seconds(10)) { $0.ports == [1, 2] }
    #expect(both != nil)
    print("seen \(ContinuousClock.now - turned) after it turned passing")
    // A blocking query, not the next poll; mostly it takes milliseconds.
    #expect(ContinuousClock.now - turned < .seconds(5))
    try await agent.turn("life", port: 1, to: "fail")
    #expect(await watching.report(within: .seconds(10)) { $0.ports == [2] } != nil)
    try await agent.remove("life", port: 2)
    let none = try #require(await watching.report(within: .seconds(10)) { $0.ports == [] })
    #expect(none.note?.hasSuffix("1 instance, 0 passing (1 critical)") == true)
    try await agent.remove("life", port: 1)
  }

  @Test(
    "twenty changes in quick succession are all seen in the end, none later than a second")
  func churn() async throws {
    let agent = try RealAgent.get()
    let watching = try watching("churn")
    _ = await watching.next()
    for port in 1...20 as ClosedRange<UInt16> { try await agent.put("churn", port: port) }
    let all = await watching.report(within: .seconds(10)) { $0.ports.count == 20 }
    #expect(all?.ports.sorted() == Array(1...20))
    for port in 1...20 as ClosedRange<UInt16> { try await agent.remove("churn", port: port) }
  }

  @Test("tags, a filter and passing=false narrow and widen") func parameters() async throws {
    let agent = try RealAgent.get()
    try await agent.put("narrow", port: 1, tags: ["a", "b"])
    try await agent.put("narrow", port: 2, tags: ["a"])
    try await agent.put("narrow", port: 3, status: "critical", tags: ["a"])
    try await agent.put("narrow", port: 4, status: "warning")
    for (rest, ports) in [
      ("narrow", [1, 2]), ("narrow?tag=a&tag=b", [1]), ("narrow?tags=a,b", [1]),
      ("narrow?passing=false", [1, 2, 3, 4]), ("narrow?warning=include", [1, 2, 4]),
      ("narrow?stale", [1, 2]), ("narrow?near=_agent&cached&dc=dc1&wait=1s", [1, 2]),
      ("narrow?filter=%22b%22%20in%20Service.Tags", [1]),
    ] as [(String, Set<UInt16>)] {
      let found = await watching(rest: rest)
      #expect(found.map { Set($0.ports) } == ports, "\(rest): \(found?.note ?? "")")
    }
    for port in 1...4 as ClosedRange<UInt16> { try await agent.remove("narrow", port: port) }
  }
  private func watching(rest: String) async -> Resolution? {
    guard let watching = try? watching(rest) else { return nil }
    return await watching.next()
  }

  @Test("a process that goes through 220 services leaves connections of the agent's 200 to others")
  func manyServices() async throws {
    let agent = try RealAgent.get()
    let watches = SharedWatches()
    for number in 1...220 {
      let watching = try Watching(
        ConsulResolver(ConsulOptions(agent: agent.agent), watches: watches),
        "consul://\(agent.agent.address)/many-\(number)")
      #expect(await watching.next()?.isAnswer == true, "service \(number)")
      // Its first long poll is on its way by then, and is abandoned or goes on without a
      // subscriber.
      if number % 20 == 0 { try await Task.sleep(for: .milliseconds(20)) }
      _ = await watching.stop()
    }
    let others = try await withThrowingTaskGroup(of: Bool.self) { group in
      for _ in 0..<40 {
        group.addTask {
          var request = HTTPRequest(.get, "v1", "health", "service", "none")
          request.addQuery("index", "100000")
          request.addQuery("wait", "500ms")
          return (try? await AgentClient(agent.agent).send(request, timeout: .seconds(5))) != nil
        }
      }
      return try await group.reduce(into: 0) { $0 += $1 ? 1 : 0 }
    }
    #expect(others == 40, "forty connections at once")
  }

  @Test("what the agent refuses is a note: an unknown datacenter, a bad filter")
  func refused() async throws {
    #expect(await watching(rest: "x?dc=moon")?.note?.contains("500 No path to datacenter") == true)
    #expect(await watching(rest: "x?filter=(((")?.note?.contains(": 500 ") == true)
  }

  @Test("the article's registration, as the agent tells it, is the committed one (A2)")
  func fixture() async throws {
    let agent = try RealAgent.get()
    let server = TestServer(.host("0.0.0.0", 50_051))
    let registration = try registration("helloworld", server, tags: ["helloworld"])
    let run = Task { try await registration.run() }
    let seen = try await eventually {
      try await agent.get("v1", "agent", "services").contains("helloworld-127.0.0.1-50051")
    }
    #expect(seen)
    #expect(try await eventually { server.serving == ["+helloworld"] })
    let captured = try JSONDecoder().decode(
      Captured.self,
      from: Data(try await agent.get("v1", "agent", "service", "helloworld-127.0.0.1-50051").utf8))
    let checks = try JSONDecoder().decode(
      [String: CapturedCheck].self, from: Data(try await agent.get("v1", "agent", "checks").utf8))
    let expected = try JSONDecoder().decode(
      Fixture.self, from: Data(HelloworldRegistration.json.utf8))
    #expect(captured == expected.service)
    #expect(checks["service:helloworld-127.0.0.1-50051"] == expected.check)
    registration.shutDown()
    try await run.value
    #expect(try await agent.get("v1", "health", "service", "helloworld") == "[]")
    #expect(server.serving == ["+helloworld", "-helloworld"])
  }

  @Test("names, tags, metadata, weights and ids arrive as they were given") func everything()
    async throws
  {
    let server = TestServer(.host("127.0.0.1", 7))
    let registration = try registration(
      "we-ird", server, check: .ttl(.seconds(30)), tags: ["a b", "ü/&"], meta: ["v": "1=2"],
      weights: ConsulWeights(passing: 7))
    let run = Task { try await registration.run() }
    let watching = try watching("we-ird?tag=%C3%BC/%26")
    let found = try #require(await watching.report { $0.ports == [7] })
    #expect(found.endpoints[0].weight == 7)
    #expect(found.endpoints[0].attributes["consul.tags"] == "a b,ü/&")
    #expect(found.endpoints[0].attributes["consul.meta.v"] == "1=2")
    #expect(found.endpoints[0].instanceID?.hasSuffix("/we-ird-127.0.0.1-7") == true)
    registration.shutDown()
    #expect(await watching.report(within: .seconds(10)) { $0.ports == [] } != nil)
    try await run.value
  }

  @Test("a prepared query is executed again and again; one that does not exist is named so")
  func prepared() async throws {
    let agent = try RealAgent.get()
    for port in [61, 62] as [UInt16] {
      try await agent.put("prepared-of", port: port, tags: port == 61 ? ["v1"] : [])
    }
    try await agent.put("prepared-of", port: 63, status: "warning", tags: ["v1"])
    try await agent.definePreparedQuery(
      #"{"Name": "old-ones", "Service": {"Service": "prepared-of", "Tags": ["v1"]}}"#)
    let watching = try watching("old-ones?prepared&interval=1s")
    let found = await watching.report { Set($0.ports) == [61, 63] }
    #expect(found != nil, "the definition takes instances with a warning")
    try await agent.remove("prepared-of", port: 61)
    #expect(await watching.report { $0.ports == [63] } != nil)
    let unknown = try self.watching("no-such-query?prepared")
    #expect(await unknown.report { $0.note?.contains("Query not found") == true } != nil)
  }

  @Test("Connect's instances are those that say so; this agent is too old for a peer")
  func connectAndPeer() async throws {
    let agent = try RealAgent.get()
    try await agent.put("plain-one", port: 71)
    var request = HTTPRequest(.put, "v1", "agent", "service", "register")
    request.body = Array(
      #"""
      {"ID": "native-72", "Name": "plain-one", "Address": "127.0.0.1", "Port": 72,
       "Connect": {"Native": true}}
      """#.utf8)
    _ = try await AgentClient(agent.agent).send(request, timeout: .seconds(5))
    #expect(await (try watching("plain-one")).report { Set($0.ports) == [71, 72] } != nil)
    #expect(await (try watching("plain-one?connect")).report { $0.ports == [72] } != nil)
    let old = await (try watching("plain-one?peer=other")).next()
    #expect(old?.note?.contains("peer needs Consul 1.13; the agent is 1.8") == true)
  }

  @Test("all critical at once: kept while they are registered; a deregistered one leaves at once")
  func allCritical() async throws {
    let agent = try RealAgent.get()
    let watching = try watching("storm")
    for port in [21, 22] as [UInt16] { try await agent.put("storm", port: port) }
    #expect(await watching.report { $0.ports == [21, 22] } != nil)
    for port in [21, 22] as [UInt16] { try await agent.turn("storm", port: port, to: "fail") }
    let kept = try #require(await watching.report { $0.note?.contains("kept for 30s") == true })
    #expect(kept.ports == [21, 22])
    try await agent.remove("storm", port: 21)
    #expect(await watching.report(within: .seconds(10)) { $0.ports == [22] } != nil)
    try await agent.turn("storm", port: 22, to: "pass")
    let back = await watching.report { $0.note?.hasSuffix("1 instance, 1 passing") == true }
    #expect(back?.ports == [22])
    try await agent.remove("storm", port: 22)
    #expect(await watching.report(within: .seconds(10)) { $0.ports == [] } != nil)
  }

  @Test("a server that crashed and is back at once is passing again within a second")
  func crashedAndBack() async throws {
    let agent = try RealAgent.get()
    // Nobody listens there: the agent's check turns critical, as after a crash.
    let server = TestServer(.host("127.0.0.1", 31))
    let old = try registration("crash", server, check: .grpc(every: .seconds(1)))
    let crashed = Task { try await old.run() }
    let path = ["v1", "agent", "checks"]
    func status() async throws -> String {
      let text = try await agent.get(path[0], path[1], path[2])
      let mine = text.split(separator: "\"CheckID\": \"service:crash-127.0.0.1-31\"").dropFirst()
        .first
      return mine.map { $0.contains("\"critical\"") ? "critical" : "passing" } ?? "none"
    }
    #expect(try await eventually { try await status() == "critical" })
    crashed.cancel()
    _ = try? await crashed.value
    // The next check of this one is a minute away: what is seen is the registration's doing.
    let new = try registration("crash", server, check: .grpc(every: .seconds(60)))
    let run = Task { try await new.run() }
    #expect(try await eventually(within: .seconds(2)) { try await status() == "passing" })
    new.shutDown()
    try await run.value
  }

  @Test("a check or service that others removed or replaced is there again within seconds")
  func drift() async throws {
    let agent = try RealAgent.get()
    let server = TestServer(.host("127.0.0.1", 41))
    // It looks every 3 s otherwise.
    var timing = RegistrationTiming()
    timing.confirmInterval = .milliseconds(300)
    let check = ConsulCheck.grpc(every: .seconds(60))
    let registration = ConsulRegistration(
      ServiceTemplate("drift", checks: [check], deregisterCriticalAfter: .seconds(60)),
      of: server, agent: agent.agent, timing: timing,
      logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
    let run = Task { try await registration.run() }
    let client = try AgentClient(agent.agent)
    let id = "drift-127.0.0.1-41"
    func port() async throws -> Int? {
      try await client.service(id, timeout: .seconds(5))?.port
    }
    func hasCheck() async throws -> Bool {
      try await client.checks(ofService: id, timeout: .seconds(5))?.has("service:\(id)") == true
    }
    #expect(try await eventually { try await port() == 41 })
    _ = try await client.send(
      HTTPRequest(.put, "v1", "agent", "check", "deregister", "service:\(id)"),
      timeout: .seconds(5))
    #expect(try await !hasCheck())
    #expect(try await eventually { try await hasCheck() })
    var other = HTTPRequest(.put, "v1", "agent", "service", "register")
    other.body = Array(#"{"ID":"\#(id)","Name":"drift","Port":42}"#.utf8)
    _ = try await client.send(other, timeout: .seconds(5))
    #expect(try await eventually { try await port() == 41 })
    registration.shutDown()
    try await run.value
  }

  @Test("an agent that restarts empty: the set is kept, and registered again within 15 s")
  func restart() async throws {
    let agent = try RealAgent.get()
    let servers = [TestServer(.host("127.0.0.1", 11)), TestServer(.host("127.0.0.1", 12))]
    let registrations = try servers.map {
      // Nobody listens there: a check that the agent makes would find that out.
      try registration("again", $0, check: .ttl(.seconds(30)))
    }
    let runs = registrations.map { registration in Task { try await registration.run() } }
    let watching = try watching("again")
    #expect(await watching.report { $0.ports == [11, 12] } != nil)
    agent.kill()
    let lost = try #require(await watching.report { $0.note?.contains("kept") == true })
    #expect(lost.ports == [11, 12])
    try await agent.launch()
    let start = ContinuousClock.now
    let back = await watching.report(within: .seconds(15)) {
      #expect(!$0.ports.isEmpty, "never empty in between")
      return $0.ports == [11, 12] && $0.note?.contains("kept") == false
    }
    #expect(back != nil)
    print("registered and seen again \(ContinuousClock.now - start) after the restart")
    for registration in registrations { registration.shutDown() }
    for run in runs { try await run.value }
  }
}

private struct Fixture: Decodable {
  var service: Captured
  var check: CapturedCheck
}
private struct Captured: Decodable, Equatable {
  var id: String
  var service: String
  var tags: [String]
  var meta: [String: String]?
  var port: Int
  var address: String
  var weights: [String: Int]
  var enableTagOverride: Bool
  private enum CodingKeys: String, CodingKey {
    case id = "ID", service = "Service", tags = "Tags", meta = "Meta", port = "Port"
    case address = "Address", weights = "Weights", enableTagOverride = "EnableTagOverride"
  }
}
private struct CapturedCheck: Decodable, Equatable {
  var id: String
  var name: String
  var type: String
  var serviceID: String
  var serviceName: String
  var serviceTags: [String]
  private enum CodingKeys: String, CodingKey {
    case id = "CheckID", name = "Name", type = "Type"
    case serviceID = "ServiceID", serviceName = "ServiceName", serviceTags = "ServiceTags"
  }
}
