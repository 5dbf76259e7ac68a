// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Testing
import TrunkDiscovery
import TrunkSockets
import TrunkTesting

@testable import TrunkConsul

@Suite("The stop of a registration", .timeLimit(.minutes(1)))
struct ConsulRegistrationStopTests {
  private func registration(
    of server: TestServer, at address: String, log: Log = Log(), asksForAddress: Bool = false,
    drainLag: Duration = .milliseconds(1)
  ) -> ConsulRegistration {
    var options = ConsulRegistrationOptions()
    options.drainLag = drainLag
    var timing = RegistrationTiming()
    timing.confirmInterval = .seconds(60)
    timing.requestTimeout = .seconds(3)
    timing.leaveTimeout = .milliseconds(600)
    timing.propagation = .milliseconds(1)
    return ConsulRegistration(
      ServiceTemplate(
        "hello", advertise: asksForAddress ? nil : .host("127.0.0.1", 0), checks: [.grpc()]),
      of: server, agent: ConsulAgent(address), options: options, timing: timing,
      logger: log.logger)
  }

  private static let shown = ScriptedConsulAgent.Reaction.json(
    #"[{"Node":{},"Service":{"ID":"hello-127.0.0.1-5","Address":"127.0.0.1","Port":5}}]"#, index: 1)

  @Test("a stop says NOT_SERVING at once, before a registration under way is answered")
  func notServingAtOnce() async throws {
    let events = Locked<[String]>([])
    @Sendable func note(_ event: String) { events.withLock { $0.append(event) } }
    let server = TestServer(.host("127.0.0.1", 5)) { note($0 ? "serving" : "not serving") }
    let agent = try await ScriptedConsulAgent.start { request in
      if request.path.hasSuffix("/register") {
        note("register")
        for _ in 0..<200 where !events.withLock({ $0.contains("not serving") }) {
          try? await Task.sleep(for: .milliseconds(10))
        }
        note("registered")
      } else if request.path.contains("/deregister/") {
        note("deregister")
      }
      return .json("[]", index: 1)
    }
    let registration = registration(of: server, at: agent.address)
    let run = Task { try await registration.run() }
    #expect(try await eventually { events.withLock { $0.contains("register") } })
    registration.shutDown()
    try await run.value
    #expect(
      events.withLock { $0 } == ["serving", "register", "not serving", "registered", "deregister"])
    agent.stop()
  }

  @Test("a registration that is not answered is cut short and deregistered, again if it came later")
  func cutShort() async throws {
    let looks = Locked(0)
    let agent = try await ScriptedConsulAgent.start { request in
      if request.path.hasSuffix("/register") { return .hang }
      guard request.path.hasPrefix("/v1/health") else { return .json("{}", index: 1) }
      let number = looks.withLock { looks in
        looks += 1
        return looks
      }
      return number == 1 ? Self.shown : .json("[]", index: 1)
    }
    let server = TestServer(.host("127.0.0.1", 5))
    let registration = registration(of: server, at: agent.address)
    let run = Task { try await registration.run() }
    func sent(_ ending: String) -> Int { agent.requests.count { $0.path.contains(ending) } }
    #expect(try await eventually { sent("/register") == 1 })
    let start = ContinuousClock.now
    registration.shutDown()
    try await run.value
    #expect(ContinuousClock.now - start < .seconds(2.5), "the request's own limit is 3 s")
    #expect(sent("/register") == 1 && sent("/deregister/") == 2 && sent("/health/") == 2)
    #expect(sent("/maintenance/") == 0, "not certain that there is anything to take out")
    #expect(server.serving == ["+hello", "-hello"])
    agent.stop()
  }

  @Test(
    "a stop is looked at between the steps of a registration", arguments: ["register", "checks"])
  func betweenSteps(step: String) async throws {
    let running = Locked<ConsulRegistration?>(nil)
    let server = TestServer(.host("127.0.0.1", 5))
    let agent = try await ScriptedConsulAgent.start { request in
      if request.path.hasSuffix("/\(step)") {
        running.withLock { $0 }?.shutDown()
        // The stop has been seen.
        for _ in 0..<200 where server.serving.count < 2 {
          try? await Task.sleep(for: .milliseconds(1))
        }
      }
      guard request.path == "/v1/agent/checks" else { return .json("[]", index: 1) }
      return .answer(200, body: #"{"service:hello-127.0.0.1-5":{"Status":"passing"}}"#)
    }
    let registration = registration(of: server, at: agent.address)
    running.withLock { $0 = registration }
    try await registration.run()
    let writes = agent.requests.filter { $0.method == "PUT" }.map {
      $0.path.split(separator: "/")[3]
    }
    // Nothing is to be taken back before the registration.
    #expect(writes == (step == "register" ? ["register", "maintenance", "deregister"] : []))
    running.withLock { $0 = nil }
    agent.stop()
  }

  @Test(
    "an empty answer that ACLs may have emptied is no proof: asked to deregister, not deregistered",
    arguments: [
      "X-Consul-Results-Filtered-By-ACLs: true", "X-Consul-Default-ACL-Policy: deny", nil,
    ])
  func unreadableCatalogue(says header: String?) async throws {
    let log = Log()
    let agent = try await ScriptedConsulAgent.start { request in
      if request.path == "/v1/agent/self", header == nil {
        return .answer(403, body: "Permission denied")
      }
      guard request.path.hasPrefix("/v1/health") else { return .json("{}", index: 1) }
      return .answer(
        200, headers: header.map { [$0] } ?? [], body: "[]")
    }
    let registration = registration(
      of: TestServer(.host("127.0.0.1", 5)), at: agent.address, log: log)
    let run = Task { try await registration.run() }
    #expect(try await eventually { log.lines.contains { $0.contains("info registered") } })
    registration.shutDown()
    try await run.value
    #expect(!log.lines.contains { $0.contains("deregistered") }, "\(log.lines)")
    #expect(
      log.lines.last
        == "notice asked consul \(agent.address) to deregister hello-127.0.0.1-5; could not be "
        + "confirmed: without a token the catalogue may not be read")
    agent.stop()
  }

  @Test(
    "the default address is another host's if the agent is: a warning, where the agent is not local",
    arguments: [("192.0.2.1:1", true, 1), ("192.0.2.1:1", false, 0), ("127.0.0.1:1", true, 0)])
  func agentElsewhere(address: String, asks: Bool, warnings: Int) async throws {
    let log = Log()
    let server = TestServer(.host(asks ? "0.0.0.0" : "127.0.0.1", 5))
    let registration = registration(of: server, at: address, log: log, asksForAddress: asks)
    let run = Task { try await registration.run() }
    #expect(try await eventually { server.serving == ["+hello"] })
    registration.shutDown()
    try await run.value
    #expect(
      log.lines.count { $0.hasPrefix("warning") && $0.contains("give an address to advertise") }
        == warnings, "\(log.lines)")
  }

  /// Answers as an agent whose catalogue follows at once, except as `refusals` say, and notes when
  /// each request came.
  private final class Stage: Sendable {
    private struct State {
      var isOut = false
      var isThere = true
      var times: [(path: String, at: ContinuousClock.Instant)] = []
    }
    private let state = Locked(State())
    let refusesMaintenance: Int?
    init(refusesMaintenance: Int? = nil) { self.refusesMaintenance = refusesMaintenance }

    func time(_ part: String) -> ContinuousClock.Instant? {
      state.withLock { $0.times.last { $0.path.contains(part) }?.at }
    }
    func answer(_ request: ScriptedConsulAgent.Request) -> ScriptedConsulAgent.Reaction {
      state.withLock { state in
        state.times.append((request.path, .now))
        if request.path.contains("/maintenance/") {
          if let refusesMaintenance { return .answer(refusesMaintenance, body: "refused") }
          state.isOut = request["enable"] == "true"
        }
        if request.path.contains("/deregister/") { state.isThere = false }
        guard request.path.hasPrefix("/v1/health") else { return .json("{}", index: 1) }
        let mark = state.isOut ? #"{"CheckID":"_service_maintenance:hello-127.0.0.1-5"}"# : ""
        return .json(
          state.isThere
            ? #"[{"Node":{},"Service":{"ID":"hello-127.0.0.1-5","Address":"127.0.0.1","Port":5},"#
              + #""Checks":[\#(mark)]}]"# : "[]", index: 1)
      }
    }
  }

  @Test("drainLag passes between the maintenance that the catalogue shows and the deregistration")
  func drainLag() async throws {
    let stage = Stage()
    let agent = try await ScriptedConsulAgent.start { stage.answer($0) }
    let registration = registration(
      of: TestServer(.host("127.0.0.1", 5)), at: agent.address, drainLag: .milliseconds(250))
    let run = Task { try await registration.run() }
    #expect(
      try await eventually { if case .registered = registration.state { true } else { false } })
    registration.shutDown()
    try await run.value
    let out = try #require(stage.time("/maintenance/"))
    let deregistered = try #require(stage.time("/deregister/"))
    #expect(deregistered - out >= .milliseconds(250))
    agent.stop()
  }

  @Test(
    "maintenance that is refused at a stop: deregistered at once, and drainLag passes after that",
    arguments: [403, 500])
  func maintenanceRefused(status: Int) async throws {
    let (stage, log) = (Stage(refusesMaintenance: status), Log())
    let agent = try await ScriptedConsulAgent.start { stage.answer($0) }
    let server = TestServer(.host("127.0.0.1", 5))
    let registration = registration(
      of: server, at: agent.address, log: log, drainLag: .milliseconds(250))
    let run = Task { try await registration.run() }
    #expect(
      try await eventually { if case .registered = registration.state { true } else { false } })
    registration.shutDown()
    try await run.value
    let ended = ContinuousClock.now
    let deregistered = try #require(stage.time("/deregister/"))
    #expect(ended - deregistered >= .milliseconds(250))
    #expect(agent.requests.count { $0.path.contains("/maintenance/") } == 1)
    #expect(server.serving == ["+hello", "-hello"])
    #expect(
      log.lines.contains {
        $0.hasPrefix("debug") && $0.contains("no maintenance for hello-127.0.0.1-5: \(status)")
      })
    #expect(log.lines.last == "info deregistered hello-127.0.0.1-5 from consul \(agent.address)")
    agent.stop()
  }

  @Test(
    "setMaintenance that is refused is trouble and tried again; the server stays registered",
    arguments: [(500, true), (403, false)])
  func setMaintenanceRefused(status: Int, isSoon: Bool) async throws {
    let refuses = Locked(true)
    let agent = try await ScriptedConsulAgent.start { request in
      request.path.contains("/maintenance/") && refuses.withLock { $0 }
        ? .answer(status, body: "refused") : .json("{}", index: 1)
    }
    let log = Log()
    let registration = registration(
      of: TestServer(.host("127.0.0.1", 5)), at: agent.address, log: log)
    let run = Task { try await registration.run() }
    #expect(
      try await eventually { if case .registered = registration.state { true } else { false } })
    registration.setMaintenance(true, reason: "upgrade")
    #expect(
      try await eventually { registration.state == .trouble(reason: "\(status) refused") })
    // Said right after the state.
    #expect(
      try await eventually {
        log.lines.count { $0.contains("\(status) refused; hello-127.0.0.1-5 is still") } == 1
      })
    func asked() -> Int { agent.requests.count { $0.path.contains("/maintenance/") } }
    if !isSoon { #expect(asked() == 1, "a refusal of the token lasts: 10 s") }
    refuses.withLock { $0 = false }
    // A change ends the pause.
    if !isSoon { registration.setMaintenance(true, reason: "upgrade") }
    #expect(
      try await eventually { registration.state == .inMaintenance(reason: "trunkcall: upgrade") })
    registration.setMaintenance(false)
    #expect(
      try await eventually { if case .registered = registration.state { true } else { false } })
    #expect(!agent.requests.contains { $0.path.contains("/deregister/") })
    registration.shutDown()
    try await run.value
    agent.stop()
  }
}
