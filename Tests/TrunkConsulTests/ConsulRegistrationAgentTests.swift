// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Logging
import Testing
import TrunkDiscovery
import TrunkSockets

@testable import TrunkConsul

@Suite("Registration with a real agent", .serialized, .realConsul, .timeLimit(.minutes(2)))
struct ConsulRegistrationAgentTests {
  private static let quiet = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

  private func put(_ path: String..., query: [(String, String)] = []) async throws {
    var request = HTTPRequest(.put)
    request.path = path
    for (name, value) in query { request.addQuery(name, value) }
    _ = try await AgentClient(try RealAgent.get().agent).send(request, timeout: .seconds(5))
  }
  private func checks(_ id: String) async throws -> AgentChecks? {
    try await AgentClient(try RealAgent.get().agent).checks(ofService: id, timeout: .seconds(5))
  }
  private func service(_ id: String) async throws -> AgentService? {
    try await AgentClient(try RealAgent.get().agent).service(id, timeout: .seconds(5))
  }

  @Test("several checks of different kinds have stable ids; tagged addresses arrive with ports")
  func severalChecks() async throws {
    var http = ConsulCheck.http(
      "http://127.0.0.1:9/ready", method: "POST", headers: ["X-A": "1"], body: "b")
    http.failuresBeforeCritical = 3
    http.failuresBeforeWarning = 2
    http.notes = "n"
    let registration = ConsulRegistration(
      "several", of: TestServer(.host("127.0.0.1", 81)), agent: try RealAgent.get().agent,
      taggedAddresses: ["wan": .host("192.0.2.1", 0), "lan": .host("10.0.0.1", 7)],
      checks: [.tcp(every: .seconds(60)), .ttl(.seconds(30)), http], logger: Self.quiet)
    let run = Task { try await registration.run() }
    let id = "several-127.0.0.1-81"
    #expect(try await eventually { try await checks(id)?.ids.count == 3 })
    #expect(
      try await checks(id)?.ids == ["http", "tcp", "ttl"].map { "service:\(id):\($0)" })
    let tagged = try await service(id)?.taggedAddresses
    #expect(tagged?["wan"] == .init(address: "192.0.2.1", port: 81))
    #expect(tagged?["lan"] == .init(address: "10.0.0.1", port: 7))
    registration.shutDown()
    try await run.value
    #expect(registration.state == .gone)
    #expect(try await service(id) == nil)
  }

  @Test("a change while it runs is sent at once; a wrong one is refused and changes nothing")
  func update() async throws {
    let registration = ConsulRegistration(
      "changes", of: TestServer(.host("127.0.0.1", 82)), agent: try RealAgent.get().agent,
      check: .ttl(.seconds(30)), logger: Self.quiet)
    let run = Task { try await registration.run() }
    let id = "changes-127.0.0.1-82"
    for await state in registration.states { if case .registered = state { break } }
    try registration.update {
      $0.tags = ["v2"]
      $0.meta = ["k": "1"]
      $0.weights = ConsulWeights(passing: 9)
    }
    #expect(
      try await eventually(within: .seconds(2)) { try await service(id)?.tags == ["v2"] })
    #expect(try await service(id)?.weights == .init(passing: 9, warning: 1))
    #expect(
      throws: ConsulError.invalidService(
        "changes",
        reason: "metadata key \"a.b\": 1 to 128 characters A-Z, a-z, 0-9, _ and - are allowed")
    ) { try registration.update { $0.meta = ["a.b": "1"] } }
    registration.setMaintenance(true, reason: "upgrade")
    #expect(
      try await eventually(within: .seconds(2)) {
        try await checks(id)?.maintenance(of: id) == "trunkcall: upgrade"
      })
    #expect(
      try await eventually { registration.state == .inMaintenance(reason: "trunkcall: upgrade") })
    registration.setMaintenance(false)
    #expect(
      try await eventually(within: .seconds(2)) {
        try await checks(id)?.maintenance(of: id) == nil
      })
    registration.shutDown()
    try await run.value
  }

  @Test("an operator's maintenance stays, at the start and over a registration; our own is ended")
  func maintenance() async throws {
    let agent = try RealAgent.get()
    for (number, reason) in ["by hand", "trunkcall: draining"].enumerated() {
      let port = UInt16(83 + number)
      let id = "kept-127.0.0.1-\(port)"
      var request = HTTPRequest(.put, "v1", "agent", "service", "register")
      request.body = Array(#"{"ID":"\#(id)","Name":"kept","Address":"127.0.0.1","Port":1}"#.utf8)
      _ = try await AgentClient(agent.agent).send(request, timeout: .seconds(5))
      try await put(
        "v1", "agent", "service", "maintenance", id,
        query: [("enable", "true"), ("reason", reason)])
      let registration = ConsulRegistration(
        "kept", of: TestServer(.host("127.0.0.1", port)), agent: agent.agent,
        check: .ttl(.seconds(30)), logger: Self.quiet)
      let run = Task { try await registration.run() }
      #expect(try await eventually { try await service(id)?.port == Int(port) })
      try registration.update { $0.tags = ["again"] }
      #expect(try await eventually { try await service(id)?.tags == ["again"] })
      let stays = number == 0
      #expect(try await checks(id)?.maintenance(of: id) == (stays ? reason : nil))
      if stays { #expect(registration.state == .inMaintenance(reason: reason)) }
      registration.shutDown()
      try await run.value
    }
  }

  @Test("a stop is first seen as maintenance with our reason, then the instance is gone")
  func markedDrain() async throws {
    let agent = try RealAgent.get()
    let registration = ConsulRegistration(
      "drains", of: TestServer(.host("127.0.0.1", 86)), agent: agent.agent,
      check: .ttl(.seconds(30)), logger: Self.quiet)
    let run = Task { try await registration.run() }
    let id = "drains-127.0.0.1-86"
    for await state in registration.states { if case .registered = state { break } }
    registration.shutDown()
    let start = ContinuousClock.now
    #expect(
      try await eventually { try await checks(id)?.maintenance(of: id) == Maintenance.draining })
    try await run.value
    print("stopped \(ContinuousClock.now - start) after the signal")
    #expect(try await agent.get("v1", "health", "service", "drains") == "[]")
  }

  @Test(
    "a kind of check that the agent does not know ends run() with both versions",
    arguments: [
      (.udp(), "a UDP check needs Consul 1.13; the agent is 1.8"),
      (.h2ping(tls: .init()), "an H2PING check needs Consul 1.10; the agent is 1.8"),
      (.h2ping(), "an H2PING check without TLS needs Consul 1.11; the agent is 1.8"),
      // The agent's process would end: it does not know the node.
      (
        .alias(ofNode: "nobody"),
        "an alias check that names a node needs Consul 1.19; the agent is 1.8"
      ),
      (
        .alias(ofService: "x", onNode: "nobody"),
        "an alias check that names a node needs Consul 1.19; the agent is 1.8"
      ),
    ] as [(ConsulCheck, String)])
  func tooOld(check: ConsulCheck, reason: String) async throws {
    let agent = try RealAgent.get()
    let registration = ConsulRegistration(
      "old", of: TestServer(.host("127.0.0.1", 87)), agent: agent.agent,
      checks: [check, .ttl(.seconds(30))], logger: Self.quiet)
    do {
      try await registration.run()
      Issue.record("it was registered")
    } catch let error as ConsulError { #expect(error.reason == reason) }
    #expect(registration.state == .gone)
    #expect(try await agent.get("v1", "status", "leader") != "", "the agent lives")
  }

  @Test("an alias check of an instance of the same agent follows it")
  func alias() async throws {
    let agent = try RealAgent.get()
    try await agent.put("followed", port: 88, status: "critical")
    let registration = ConsulRegistration(
      "follows", of: TestServer(.host("127.0.0.1", 89)), agent: agent.agent,
      check: .alias(ofService: "followed-88"), logger: Self.quiet)
    let run = Task { try await registration.run() }
    let id = "follows-127.0.0.1-89"
    func status() async throws -> String? {
      try await checks(id)?.check("service:\(id)")?.status
    }
    #expect(try await eventually { try await status() == "critical" })
    try await agent.turn("followed", port: 88, to: "pass")
    #expect(try await eventually { try await status() == "passing" })
    registration.shutDown()
    try await run.value
    try await agent.remove("followed", port: 88)
  }
}

@Suite("What the agent would refuse") struct ServiceProblemTests {
  @Test("each fault of a definition has one sentence, and nothing is sent")
  func problems() {
    func problem(
      _ checks: [ConsulCheck] = [], advertise: Address? = nil,
      _ change: (inout ConsulService) -> Void = { _ in }
    ) -> String? {
      var content = ConsulService()
      change(&content)
      do {
        _ = try ServiceTemplate("s", advertise: advertise, checks: checks).definition(
          content, bound: [.host("127.0.0.1", 5)], nodeAddress: nil)
        return nil
      } catch { return error.reason }
    }
    #expect(problem([.grpc(), .ttl(.seconds(5)), .alias(ofService: "x")]) == nil)
    for weights in [ConsulWeights(passing: 0), ConsulWeights(passing: 1, warning: 0)] {
      #expect(problem { $0.weights = weights }?.contains("1 to 65535") == true)
    }
    #expect(problem { $0.meta = ["a b": ""] }?.contains("\"a b\"") == true)
    #expect(problem { $0.meta = ["consul-x": ""] }?.contains("reserved") == true)
    #expect(
      problem { $0.meta = ["k": String(repeating: "v", count: 513)] }?.contains("512") == true)
    #expect(
      problem { content in for n in 0..<65 { content.meta["k\(n)"] = "" } }?.contains("64") == true)
    #expect(
      problem { $0.taggedAddresses = ["wan_ipv4": .host("h", 1)] }?.contains("IPv4") == true)
    #expect(problem { $0.taggedAddresses = ["wan": .unix("/s")] }?.contains("wan") == true)
    #expect(problem(advertise: .host("0.0.0.0", 5))?.contains("0.0.0.0") == true)
    #expect(problem([.http("ftp://x")])?.contains("ftp://x") == true)
    #expect(problem([.ttl(.zero)])?.contains("TTL") == true)
    var (one, other) = (ConsulCheck.tcp(), ConsulCheck.grpc())
    one.id = "a"
    other.id = "a"
    #expect(problem([one, other])?.contains("two checks") == true)
    one.failuresBeforeWarning = 2
    #expect(problem([one])?.contains("failuresBeforeWarning") == true)
  }

  @Test("fields that the agent does not know are left out and named, kinds are not")
  func versions() throws {
    var check = ConsulCheck.tcp()
    check.failuresBeforeWarning = 1
    check.failuresBeforeCritical = 2
    let definition = try ServiceTemplate("s", checks: [check]).definition(
      ConsulService(), bound: [.host("127.0.0.1", 5)], nodeAddress: nil)
    let old = definition.understood(by: ConsulVersion(1, 8))
    #expect(old.leftOut == ["FailuresBeforeWarning"])
    #expect(old.definition.checks[0].failuresBeforeCritical == 2)
    #expect(definition.understood(by: ConsulVersion(1, 11)).leftOut == [])
  }

  @Test("an H2PING check says whether it uses TLS, and needs the version that knows that")
  func h2ping() throws {
    func define(_ check: ConsulCheck, tls: Bool = false) throws -> ServiceDefinition {
      var security = CheckedSecurity()
      security.usesTLS = tls
      return try ServiceTemplate("s", checks: [check], security: security).definition(
        ConsulService(), bound: [.host("127.0.0.1", 5)], nodeAddress: nil)
    }
    let plain = try define(.h2ping(every: .seconds(5)))
    #expect(
      String(decoding: try plain.json(), as: UTF8.self).contains(
        #""Check":{"H2PING":"127.0.0.1:5","H2PingUseTLS":false,"Interval":"5s","Timeout":"3s"}"#))
    #expect(plain.requirement?.version == ConsulVersion(1, 11))
    let tls = try define(.h2ping(at: .host("::1", 7)), tls: true)
    #expect(
      String(decoding: try tls.json(), as: UTF8.self).contains(
        #""Check":{"H2PING":"[::1]:7","Interval":"10s","TLSSkipVerify":true,"Timeout":"3s"}"#))
    #expect(tls.requirement?.version == ConsulVersion(1, 10))
    // An alias of this agent's own instance never looks at a node.
    #expect(try define(.alias(ofService: "x")).requirement == nil)
    #expect(try define(.alias(ofNode: "n")).requirement?.version == ConsulVersion(1, 19))
  }
}
