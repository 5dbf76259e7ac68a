// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import FoundationEssentials
import Glibc
import Logging
import Synchronization
import Testing
import TrunkDiscovery
import TrunkSockets
import TrunkTesting

@testable import TrunkConsul

@Suite("Registration", .timeLimit(.minutes(1))) struct ConsulRegistrationTests {
  private func registration(
    of server: TestServer, at address: String, token: ConsulAgent.Token? = nil,
    check: ConsulCheck = .grpc(), log: Log = Log(), asksForAddress: Bool = false
  ) -> ConsulRegistration {
    var timing = RegistrationTiming()
    timing.confirmInterval = .milliseconds(50)
    timing.leaveTimeout = .milliseconds(500)
    timing.propagation = .milliseconds(1)
    return ConsulRegistration(
      ServiceTemplate(
        "hello", advertise: asksForAddress ? nil : .host("127.0.0.1", 0), checks: [check],
        deregisterCriticalAfter: .seconds(60)),
      of: server, agent: ConsulAgent(address, token: token, namespace: "n"), timing: timing,
      logger: log.logger)
  }

  @Test(
    "SERVING, register, ask; at the end NOT_SERVING, maintenance, deregister, wait until it is gone"
  )
  func life() async throws {
    let log = Locked<[String]>([])
    let looks = Locked(0)
    let agent = try await ScriptedConsulAgent.start { request in
      log.withLock { $0.append("\(request.method) \(request.path)") }
      if request.path == "/v1/agent/checks" { return .answer(200, body: Self.check("passing")) }
      guard request.path.hasPrefix("/v1/health") else { return .answer(200, body: "{}") }
      let look = looks.withLock { looks in
        looks += 1
        return looks
      }
      // Twice as it was, in maintenance, still there, gone.
      let mark = look == 3 ? #"{"CheckID":"_service_maintenance:hello-127.0.0.1-5"}"# : ""
      return .json(
        look < 5
          ? #"[{"Node":{},"Service":{"ID":"hello-127.0.0.1-5","Address":"127.0.0.1","Port":5},"#
            + #""Checks":[\#(mark)]}]"# : "[]", index: 1)
    }
    let server = TestServer(.host("0.0.0.0", 5)) { serving in
      log.withLock { $0.append(serving ? "serving" : "not serving") }
    }
    let registration = registration(of: server, at: agent.address)
    let run = Task { try await registration.run() }
    #expect(
      try await eventually {
        log.withLock { $0.contains("GET /v1/agent/service/hello-127.0.0.1-5") }
      })
    registration.shutDown()
    registration.shutDown()
    try await run.value
    let events = log.withLock { $0 }
    #expect(
      Array(events.prefix(3))
        == ["serving", "GET /v1/agent/checks", "PUT /v1/agent/service/register"])
    let leaving = try #require(events.firstIndex(of: "not serving"))
    let look = "GET /v1/health/service/hello"
    // A question that was under way may be read after the stop.
    #expect(
      events[leaving...].filter { !$0.hasPrefix("GET /v1/agent/") } == [
        "not serving", "PUT /v1/agent/service/maintenance/hello-127.0.0.1-5", look, look, look,
        "PUT /v1/agent/service/deregister/hello-127.0.0.1-5", look, look,
      ])
    let register = try #require(agent.requests.first { $0.path.hasSuffix("/register") })
    #expect(register["replace-existing-checks"] == "true")
    #expect(register["ns"] == "n")
    #expect(register.headers["content-type"] == "application/json")
    #expect(register.text.contains(#""Status":"passing""#))
    #expect(agent.requests.allSatisfy { !$0.path.hasPrefix("/v1/catalog") })
    let mark = try #require(agent.requests.first { $0.path.contains("/maintenance/") })
    #expect(mark["enable"] == "true" && mark["reason"] == "trunkcall: draining")
    #expect(
      agent.requests.filter { $0.path.hasPrefix("/v1/health") }.allSatisfy {
        $0["consistent"] != nil
      })
    agent.stop()
  }

  @Test(
    "an agent that is away is told when it is there; one that forgot is told again")
  func comesAndForgets() async throws {
    let port = try await closedPort()
    let server = TestServer(.host("127.0.0.1", 5))
    let registration = registration(of: server, at: "127.0.0.1:\(port)")
    let run = Task { try await registration.run() }
    #expect(try await eventually { server.serving == ["+hello"] })
    let known = Locked(false)
    let agent = try await ScriptedConsulAgent.start(port: port) { request in
      if request.path.hasSuffix("/register") { known.withLock { $0 = true } }
      if request.method == "GET", request.path.hasPrefix("/v1/agent"), !known.withLock({ $0 }) {
        return .answer(404, body: "unknown service ID")
      }
      return .json("[]", index: 1)
    }
    func registrations() -> Int { agent.requests.count { $0.path.hasSuffix("/register") } }
    #expect(try await eventually { registrations() == 1 })
    known.withLock { $0 = false }
    #expect(try await eventually { registrations() == 2 })
    registration.shutDown()
    try await run.value
    agent.stop()
  }

  @Test("a TTL check is fed, and an agent that lost it is told again") func ttl()
    async throws
  {
    let beats = Locked(0)
    let agent = try await ScriptedConsulAgent.start { request in
      if request.path.hasPrefix("/v1/agent/check/pass"),
        beats.withLock({ beats in
          beats += 1
          return beats == 3
        })
      {
        return .answer(500, body: #"Unknown check "t""#)
      }
      return .json("[]", index: 1)
    }
    let server = TestServer(.host("127.0.0.1", 5))
    let registration = registration(of: server, at: agent.address, check: .ttl(.seconds(10)))
    let run = Task { try await registration.run() }
    func writes() -> [Substring] {
      agent.requests.filter { $0.method == "PUT" }.map { $0.path.split(separator: "/").last ?? "" }
    }
    #expect(try await eventually { writes().count >= 6 })
    registration.shutDown()
    try await run.value
    let paths = writes().prefix(6)
    let updateTTL: Substring = "service%3Ahello-127.0.0.1-5"
    #expect(Array(paths) == ["register", updateTTL, updateTTL, updateTTL, "register", updateTTL])
    #expect(
      !agent.requests.drop { !$0.path.contains("deregister") }.contains {
        $0.path.contains("/check/pass/")
      })
    agent.stop()
  }

  @Test("an agent that is down or frozen holds up no exit", arguments: [true, false])
  func agentGone(frozen: Bool) async throws {
    let agent = try await ScriptedConsulAgent.start { request in
      frozen && request.path.contains("deregister") ? .hang : .json("[]", index: 1)
    }
    let server = TestServer(.host("127.0.0.1", 5))
    let registration = registration(of: server, at: agent.address)
    let run = Task { try await registration.run() }
    #expect(try await eventually { agent.requests.count >= 3 })
    if !frozen { agent.stop() }
    let start = ContinuousClock.now
    registration.shutDown()
    try await run.value
    #expect(ContinuousClock.now - start < .seconds(3))
    #expect(server.serving == ["+hello", "-hello"])
    agent.stop()
  }

  @Test("what cannot be registered ends run() with one sentence") func impossible() async throws {
    let unix = registration(of: TestServer(.unix("/s")), at: "127.0.0.1:1", asksForAddress: true)
    await #expect(throws: ConsulError.nothingToAdvertise(service: "hello")) { try await unix.run() }
    let wrong = registration(of: TestServer(.host("h", 1)), at: "127.0.0.1:")
    await #expect(throws: ConsulError.self) { try await wrong.run() }
  }

  @Test("cancelling run() stops at once and takes nothing out") func cancelled() async throws {
    let agent = try await ScriptedConsulAgent.start(answering: [.json("[]", index: 1)])
    let server = TestServer(.host("127.0.0.1", 5))
    let registration = registration(of: server, at: agent.address)
    let run = Task { try await registration.run() }
    #expect(try await eventually { agent.requests.count >= 3 })
    run.cancel()
    await #expect(throws: CancellationError.self) { try await run.value }
    #expect(!agent.requests.contains { $0.path.contains("deregister") })
    #expect(server.serving == ["+hello"])
    agent.stop()
  }

  // MARK: What the agent says

  /// The agent's answers for `hello` at 127.0.0.1:5, as registered, with a check in a state.
  private static let asRegistered =
    #"{"ID":"hello-127.0.0.1-5","Service":"hello","Tags":[],"Meta":{},"Port":5,"Address":"127.0.0.1"}"#
  private static func check(_ status: String, _ output: String = "") -> String {
    #"{"service:hello-127.0.0.1-5":{"CheckID":"c","Status":"\#(status)","Output":"\#(output)"}}"#
  }

  @Test(
    "the default address is the node's as the agent tells it; where that may not be read it is empty",
    arguments: [
      (.answer(200, body: #"{"Member":{"Addr":"10.1.2.3"}}"#), "10.1.2.3"),
      (.answer(403, body: "Permission denied"), nil), (.answer(200, body: #"{"Member":7}"#), nil),
    ] as [(ScriptedConsulAgent.Reaction, String?)])
  func nodeAddress(reaction: ScriptedConsulAgent.Reaction, address: String?) async throws {
    let agent = try await ScriptedConsulAgent.start { request in
      request.path == "/v1/agent/self" ? reaction : .json("[]", index: 1)
    }
    let server = TestServer(.host("0.0.0.0", 5))
    let registration = registration(of: server, at: agent.address, asksForAddress: true)
    let run = Task { try await registration.run() }
    #expect(try await eventually { agent.requests.count >= 3 })
    let sent = try #require(agent.requests.first { $0.path.hasSuffix("/register") }).text
    if let address {
      #expect(sent.contains(#""Address":"\#(address)""#))
      #expect(sent.contains(#""ID":"hello-\#(address)-5""#))
      #expect(sent.contains(#""GRPC":"\#(address):5/hello""#))
    } else {
      #expect(!sent.contains(#""Address""#))
      #expect(sent.contains(#""ID":"hello-5""#))
      #expect(sent.contains(#""GRPC":"127.0.0.1:5/hello""#))
    }
    registration.shutDown()
    try await run.value
    agent.stop()
  }

  @Test("a check that is critical is said once, with its output, and so is its recovery")
  func critical() async throws {
    let log = Log()
    let isWell = Locked(false)
    let agent = try await ScriptedConsulAgent.start { request in
      switch request.path {
      case "/v1/agent/checks":
        .answer(
          200,
          body: Self.check(isWell.withLock { $0 } ? "passing" : "critical", "rpc error:\\nrefused"))
      case "/v1/agent/service/hello-127.0.0.1-5": .answer(200, body: Self.asRegistered)
      default: .json("[]", index: 1)
      }
    }
    let server = TestServer(.host("127.0.0.1", 5))
    let registration = registration(of: server, at: agent.address, log: log)
    let run = Task { try await registration.run() }
    #expect(try await eventually { agent.requests.count { $0.path == "/v1/agent/checks" } >= 5 })
    #expect(
      log.lines.filter { $0.contains("critical") } == [
        "warning consul \(agent.address): the check of hello-127.0.0.1-5 is critical: "
          + "rpc error: refused"
      ])
    isWell.withLock { $0 = true }
    #expect(try await eventually { log.lines.contains { $0.contains("not critical any more") } })
    registration.shutDown()
    try await run.value
    agent.stop()
  }

  @Test("a crashed server that is back at once does not keep its former life's critical check")
  func crashed() async throws {
    let isNew = Locked(false)
    let agent = try await ScriptedConsulAgent.start { request in
      switch request.path {
      case "/v1/agent/checks":
        return .answer(200, body: Self.check(isNew.withLock { $0 } ? "passing" : "critical"))
      case "/v1/agent/service/hello-127.0.0.1-5": return .answer(200, body: Self.asRegistered)
      case let path where path.contains("/check/deregister/"): isNew.withLock { $0 = true }
      default: break
      }
      return .json("[]", index: 1)
    }
    let server = TestServer(.host("127.0.0.1", 5))
    let registration = registration(of: server, at: agent.address)
    let run = Task { try await registration.run() }
    #expect(try await eventually { agent.requests.count >= 6 })
    let writes = agent.requests.filter { $0.method == "PUT" }.map {
      $0.path.split(separator: "/")[3]
    }
    #expect(writes == ["deregister", "register"])
    #expect(agent.requests[1].path.contains("/check/deregister/"), "the check, not the service")
    registration.shutDown()
    try await run.value
    agent.stop()
  }

  @Test(
    "what somebody else changed is registered again, and said once",
    arguments: [
      (#"{"Service":"hello","Port":6,"Address":"127.0.0.1"}"#, check("passing"), "its port is 6"),
      (#"{"Service":"other"}"#, check("passing"), #"its name is "other""#),
      (#"{"Tags":["x"]}"#, check("passing"), "its tags differ"),
      (asRegistered, "{}", "its check is gone"),
    ])
  func drift(service: String, checks: String, what: String) async throws {
    let log = Log()
    let agent = try await ScriptedConsulAgent.start { request in
      switch request.path {
      case "/v1/agent/checks": .answer(200, body: checks)
      case "/v1/agent/service/hello-127.0.0.1-5": .answer(200, body: service)
      default: .json("[]", index: 1)
      }
    }
    let server = TestServer(.host("127.0.0.1", 5))
    let registration = registration(of: server, at: agent.address, log: log)
    let run = Task { try await registration.run() }
    #expect(
      try await eventually { agent.requests.count { $0.path.hasSuffix("/register") } >= 3 })
    #expect(log.lines.filter { $0.contains("another program") }.count == 1)
    #expect(log.lines.contains { $0.contains(": \(what); registering again") }, "\(log.lines)")
    registration.shutDown()
    try await run.value
    agent.stop()
  }

  @Test("odd values in the agent's answers are no drift") func oddAnswers() async throws {
    let agent = try await ScriptedConsulAgent.start { request in
      switch request.path {
      case "/v1/agent/checks":
        .answer(200, body: #"{"a":7,"service:hello-127.0.0.1-5":{"Status":["passing"]}}"#)
      case "/v1/agent/service/hello-127.0.0.1-5":
        .answer(200, body: #"{"Service":"hello","Port":"5","Tags":null,"Meta":[1],"Address":7}"#)
      default: .json("[]", index: 1)
      }
    }
    let server = TestServer(.host("127.0.0.1", 5))
    let registration = registration(of: server, at: agent.address)
    let run = Task { try await registration.run() }
    #expect(try await eventually { agent.requests.count >= 9 })
    #expect(agent.requests.count { $0.path.hasSuffix("/register") } == 1)
    registration.shutDown()
    try await run.value
    agent.stop()
  }

  @Test("a token that was replaced: registered again under the new one, once")
  func tokenReplaced() async throws {
    let path = "/tmp/trunkcall-token-\(UInt64.random(in: 0 ... .max))"
    defer { unlink(path) }
    try "old".write(toFile: path, atomically: true, encoding: .utf8)
    let agent = try await ScriptedConsulAgent.start { request in
      switch request.path {
      case "/v1/agent/checks": .answer(200, body: Self.check("passing"))
      case "/v1/agent/service/hello-127.0.0.1-5": .answer(200, body: Self.asRegistered)
      default: .json("[]", index: 1)
      }
    }
    let server = TestServer(.host("127.0.0.1", 5))
    let registration = registration(of: server, at: agent.address, token: .file(path))
    let run = Task { try await registration.run() }
    #expect(try await eventually { agent.requests.count >= 3 })
    // A file's time may be as coarse as a tick of the kernel's.
    try await Task.sleep(for: .milliseconds(20))
    try "new".write(toFile: path, atomically: true, encoding: .utf8)
    func tokens() -> [String?] {
      agent.requests.filter { $0.path.hasSuffix("/register") }.map { $0.headers["x-consul-token"] }
    }
    #expect(try await eventually { tokens() == ["old", "new"] })
    let now = agent.requests.count
    #expect(try await eventually { agent.requests.count >= now + 4 })
    #expect(tokens() == ["old", "new"])
    registration.shutDown()
    try await run.value
    agent.stop()
  }

  @Test("deregistered is said when it is so; nothing is said of what never was")
  func leaving() async throws {
    for (shown, deregistered) in [(false, true), (true, false)] {
      let log = Log()
      let agent = try await ScriptedConsulAgent.start { request in
        .json(
          shown
            ? #"[{"Node":{},"Service":{"ID":"hello-127.0.0.1-5","Address":"127.0.0.1","Port":5}}]"#
            : "[]", index: 1)
      }
      let registration = registration(
        of: TestServer(.host("127.0.0.1", 5)), at: agent.address, log: log)
      let run = Task { try await registration.run() }
      #expect(try await eventually { agent.requests.count >= 3 })
      registration.shutDown()
      try await run.value
      #expect(log.lines.contains { $0.contains("deregistered") } == deregistered)
      #expect(log.lines.contains { $0.contains("the catalogue still shows it") } == shown)
      agent.stop()
    }
    let log = Log()
    let away = registration(of: TestServer(.host("127.0.0.1", 5)), at: "127.0.0.1:1", log: log)
    let run = Task { try await away.run() }
    #expect(try await eventually { log.lines.count == 1 })
    away.shutDown()
    try await run.value
    #expect(log.lines.filter { !$0.hasPrefix("debug") }.count == 1, "\(log.lines)")
  }

  @Test("a TTL check follows the server's health") func ttlHealth() async throws {
    let agent = try await ScriptedConsulAgent.start(answering: [.json("[]", index: 1)])
    let server = TestServer(.host("127.0.0.1", 5))
    let registration = registration(of: server, at: agent.address, check: .ttl(.seconds(10)))
    let run = Task { try await registration.run() }
    func last() -> Substring? {
      agent.requests.last { $0.path.contains("/check/") }?.path.split(separator: "/")[3]
    }
    #expect(try await eventually { last() == "pass" })
    await server.setServing("hello", false)
    #expect(try await eventually { last() == "fail" })
    await server.setServing("hello", true)
    #expect(try await eventually { last() == "pass" })
    registration.shutDown()
    try await run.value
    agent.stop()
  }

  @Test("a check that cannot work with the server is warned of once") func obstacles() async throws
  {
    var tls = CheckedSecurity()
    tls.usesTLS = true
    var mutual = tls
    mutual.requiresClientCertificates = true
    func obstacle(
      _ check: ConsulCheck, _ security: CheckedSecurity = .init(), health: Bool = true
    ) -> String? { check.obstacle(security, hasHealthService: health) }
    #expect(obstacle(.grpc()) == nil && obstacle(.grpc(), tls) == nil)
    #expect(obstacle(.grpc(), health: false)?.contains("HealthService()") == true)
    #expect(obstacle(.tcp(), mutual, health: false) == nil)
    #expect(obstacle(.grpc(), mutual)?.contains("enable_agent_tls_for_checks") == true)
    #expect(obstacle(.grpc(tls: .off), tls)?.contains("plaintext, the server TLS") == true)
    #expect(obstacle(.grpc(tls: .init()))?.contains("TLS, the server plaintext") == true)

    let log = Log()
    let agent = try await ScriptedConsulAgent.start(answering: [.json("[]", index: 1)])
    let server = TestServer(.host("127.0.0.1", 5), hasHealthService: false)
    let registration = registration(of: server, at: agent.address, log: log)
    let run = Task { try await registration.run() }
    #expect(try await eventually { agent.requests.count >= 4 })
    #expect(log.lines.count { $0.contains("has no health service") } == 1)
    registration.shutDown()
    try await run.value
    agent.stop()
  }

  @Test("a check begins as critical while the health service says NOT_SERVING, which stays so")
  func notServingYet() async throws {
    let agent = try await ScriptedConsulAgent.start(answering: [.json("[]", index: 1)])
    let server = TestServer(.host("127.0.0.1", 5))
    await server.setServing("hello", false)
    let registration = registration(of: server, at: agent.address)
    let run = Task { try await registration.run() }
    #expect(
      try await eventually { agent.requests.contains { $0.path.hasSuffix("/register") } })
    let register = agent.requests.first { $0.path.hasSuffix("/register") }
    #expect(register?.text.contains(#""Status":"critical""#) == true)
    #expect(server.serving == ["-hello"])
    registration.shutDown()
    try await run.value
    agent.stop()
  }

  @Test("a definition that is refused ends run(), or is kept for an update, and is not repeated")
  func refused() async throws {
    let agent = try await ScriptedConsulAgent.start { request in
      request.path.hasSuffix("/register") && !request.text.contains("good")
        ? .answer(400, body: "Invalid service address") : .json("[]", index: 1)
    }
    let server = TestServer(.host("127.0.0.1", 5))
    let stops = registration(of: server, at: agent.address)
    do {
      try await stops.run()
      Issue.record("it was registered")
    } catch let error as ConsulError { #expect(error.reason == "400 Invalid service address") }
    func sent() -> Int { agent.requests.count { $0.path.hasSuffix("/register") } }
    #expect(sent() == 1)
    var options = ConsulRegistrationOptions()
    options.onRefusal = .keepServing
    let keeps = ConsulRegistration(
      "hello", of: server, agent: ConsulAgent(agent.address), options: options,
      logger: Log().logger)
    let run = Task { try await keeps.run() }
    #expect(
      try await eventually { keeps.state == .refused(reason: "400 Invalid service address") })
    #expect(sent() == 2)
    try keeps.update { $0.tags = ["good"] }
    #expect(
      try await eventually { if case .registered = keeps.state { true } else { false } })
    #expect(sent() == 3)
    keeps.shutDown()
    try await run.value
    agent.stop()
  }
}
