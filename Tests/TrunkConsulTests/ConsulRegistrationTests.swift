import Logging
// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Synchronization
import Testing
import TrunkDiscovery
import TrunkSockets
import TrunkTesting

@testable import TrunkConsul

@Suite("Registration", .timeLimit(.minutes(1))) struct ConsulRegistrationTests {
  private func registration(
    of server: TestServer, at address: String, check: ConsulCheck = .grpc()
  ) -> ConsulRegistration {
    var timing = RegistrationTiming()
    timing.confirmInterval = .milliseconds(50)
    timing.leaveTimeout = .milliseconds(500)
    timing.propagation = .milliseconds(1)
    return ConsulRegistration(
      "hello", of: server, agent: ConsulAgent(address, namespace: "n"), check: check,
      timing: timing, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
    ) { bound in
      try ServiceDefinition(
        "hello", bound: bound, advertise: nil, id: nil, tags: [], meta: [:], weights: nil,
        check: check, deregisterCriticalAfter: .seconds(60))
    }
  }

  @Test("SERVING, register, ask; at the end NOT_SERVING, deregister, wait until it is gone (R-14)")
  func life() async throws {
    let log = Locked<[String]>([])
    let shown = Locked(3)
    let agent = try await ScriptedConsulAgent.start { request in
      log.withLock { $0.append("\(request.method) \(request.path)") }
      guard request.path.hasPrefix("/v1/health") else { return .answer(200, body: "{}") }
      let left = shown.withLock { left in
        left -= 1
        return left
      }
      return .json(
        left > 0
          ? #"[{"Node":{},"Service":{"ID":"hello-127.0.0.1-5","Address":"127.0.0.1","Port":5}}]"#
          : "[]", index: 1)
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
    #expect(events.first == "serving")
    #expect(events[1] == "PUT /v1/agent/service/register")
    let leaving = try #require(events.firstIndex(of: "not serving"))
    #expect(
      Array(events[leaving...]) == [
        "not serving", "PUT /v1/agent/service/deregister/hello-127.0.0.1-5",
        "GET /v1/health/service/hello", "GET /v1/health/service/hello",
        "GET /v1/health/service/hello",
      ])
    let register = try #require(agent.requests.first)
    #expect(register["replace-existing-checks"] == "true")
    #expect(register["ns"] == "n")
    #expect(register.headers["content-type"] == "application/json")
    #expect(register.text.contains(#""Status":"passing""#))
    agent.stop()
  }

  @Test(
    "an agent that is away is told when it is there; one that forgot is told again (R-10, R-11)")
  func comesAndForgets() async throws {
    let spare = try await ScriptedConsulAgent.start(answering: [])
    let port = spare.port
    spare.stop()
    try await Task.sleep(for: .milliseconds(50))
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

  @Test("a TTL check is fed, and an agent that lost it (V-11) is told again") func ttl()
    async throws
  {
    let agent = try await ScriptedConsulAgent.start { request in
      if request.path.hasPrefix("/v1/agent/check/pass"), request.number == 3 {
        return .answer(500, body: #"Unknown check "t""#)
      }
      return .json("[]", index: 1)
    }
    let server = TestServer(.host("127.0.0.1", 5))
    let registration = registration(of: server, at: agent.address, check: .ttl(.seconds(10)))
    let run = Task { try await registration.run() }
    #expect(try await eventually { agent.requests.count >= 6 })
    registration.shutDown()
    try await run.value
    let paths = agent.requests.prefix(6).map { $0.path.split(separator: "/").last ?? "" }
    let beat: Substring = "service%3Ahello-127.0.0.1-5"
    #expect(Array(paths) == ["register", beat, beat, beat, "register", beat])
    #expect(
      !agent.requests.drop { !$0.path.contains("deregister") }.contains {
        $0.path.contains("/check/pass/")
      })
    agent.stop()
  }

  @Test("an agent that is down or frozen holds up no exit (R-15)", arguments: [true, false])
  func agentGone(frozen: Bool) async throws {
    let agent = try await ScriptedConsulAgent.start { request in
      frozen && request.path.contains("deregister") ? .hang : .json("[]", index: 1)
    }
    let server = TestServer(.host("127.0.0.1", 5))
    let registration = registration(of: server, at: agent.address)
    let run = Task { try await registration.run() }
    #expect(try await eventually { agent.requests.count >= 2 })
    if !frozen { agent.stop() }
    let start = ContinuousClock.now
    registration.shutDown()
    try await run.value
    #expect(ContinuousClock.now - start < .seconds(3))
    #expect(server.serving == ["+hello", "-hello"])
    agent.stop()
  }

  @Test("what cannot be registered ends run() with one sentence") func impossible() async throws {
    let unix = registration(of: TestServer(.unix("/s")), at: "127.0.0.1:1")
    await #expect(throws: ConsulError.nothingToAdvertise(service: "hello")) { try await unix.run() }
    let wrong = registration(of: TestServer(.host("h", 1)), at: "127.0.0.1:")
    await #expect(throws: ConsulError.self) { try await wrong.run() }
  }

  @Test("cancelling run() stops at once and takes nothing out") func cancelled() async throws {
    let agent = try await ScriptedConsulAgent.start(answering: [.json("[]", index: 1)])
    let server = TestServer(.host("127.0.0.1", 5))
    let registration = registration(of: server, at: agent.address)
    let run = Task { try await registration.run() }
    #expect(try await eventually { agent.requests.count >= 2 })
    run.cancel()
    await #expect(throws: CancellationError.self) { try await run.value }
    #expect(!agent.requests.contains { $0.path.contains("deregister") })
    #expect(server.serving == ["+hello"])
    agent.stop()
  }
}
