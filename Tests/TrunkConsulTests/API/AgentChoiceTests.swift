// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Testing
import TrunkDiscovery
import TrunkServices
import TrunkSockets
import TrunkTesting
import Trunkcall

@testable import TrunkConsul

@Suite("Several agents", .timeLimit(.minutes(1))) struct AgentChoiceTests {
  private let start = ContinuousClock.now
  private let get = HTTPRequest(.get, "v1", "x")

  /// An agent with the other's as alternative.
  private func agent(_ first: ScriptedConsulAgent, _ others: ScriptedConsulAgent...) -> ConsulAgent
  {
    var agent = ConsulAgent(first.address)
    agent.alternatives = others.map(\.address)
    return agent
  }

  @Test("each failure of the one in use leads to the next, round and round; one alone stays")
  func order() {
    var random = SplitMix(state: 1)
    var choice = AgentChoice(of: 3)
    #expect(choice.failed(0, at: start, using: &random) && choice.current == 1)
    #expect(!choice.failed(0, at: start, using: &random) && choice.current == 1)
    #expect(choice.failed(1, at: start, using: &random) && choice.current == 2)
    #expect(choice.failed(2, at: start, using: &random) && choice.current == 0)
    #expect(!choice.shouldTryFirst(at: start + .seconds(3_600), using: &random))
    var alone = AgentChoice(of: 1)
    #expect(!alone.failed(0, at: start, using: &random) && alone.current == 0)
  }

  @Test("the first one is tried again a minute after another one was taken, and each minute after")
  func returning() {
    var random = SplitMix(state: 1)
    var choice = AgentChoice(of: 2)
    _ = choice.failed(0, at: start, using: &random)
    #expect(!choice.shouldTryFirst(at: start + .seconds(47), using: &random))
    #expect(choice.shouldTryFirst(at: start + .seconds(73), using: &random))
    #expect(!choice.shouldTryFirst(at: start + .seconds(73 + 47), using: &random))
    #expect(choice.shouldTryFirst(at: start + .seconds(73 + 73), using: &random))
    choice.firstAnswers()
    #expect(choice.current == 0)
    #expect(!choice.shouldTryFirst(at: start + .seconds(3_600), using: &random))
  }

  @Test(
    "an agent that cannot answer is left for the next one; one that refuses is not",
    arguments: [
      (ScriptedConsulAgent.Reaction.answer(500, body: "No cluster leader"), true),
      (.answer(503), true), (.answer(429, body: "Too many"), true), (.close, true),
      (.raw(["SMTP\r\n\r\n"]), true), (.answer(403, body: "Permission denied"), false),
      (.answer(400, body: "Bad"), false), (.answer(404), false),
    ])
  func failures(reaction: ScriptedConsulAgent.Reaction, moves: Bool) async throws {
    let one = try await ScriptedConsulAgent.start(answering: [reaction])
    let two = try await ScriptedConsulAgent.start(answering: [.json("[]", index: 1)])
    defer {
      one.stop()
      two.stop()
    }
    let client = try AgentClient(agent(one, two))
    let error = await #expect(throws: ConsulError.self) {
      try await client.send(get, timeout: .seconds(5))
    }
    #expect(error.map { "\($0)".hasPrefix("consul \(one.address): ") } == true)
    #expect(client.name == (moves ? two : one).address)
    if moves { #expect(try await client.send(get, timeout: .seconds(5)).status == 200) }
  }

  @Test("what reached no agent goes to the next one at once; a query with an index starts over")
  func connecting() async throws {
    let one = try await ScriptedConsulAgent.start(answering: [])
    one.stop()
    let two = try await ScriptedConsulAgent.start(answering: [.json("[]", index: 1)])
    defer { two.stop() }
    let gone = try await eventually {
      (try? await AgentClient(agent(one)).send(get, timeout: .seconds(1))) == nil
    }
    #expect(gone)
    #expect(try await AgentClient(agent(one, two)).send(get, timeout: .seconds(5)).status == 200)
    let client = try AgentClient(agent(one, two))
    let error = await #expect(throws: ConsulError.self) {
      try await client.send(get, timeout: .seconds(5), mayRepeat: false)
    }
    #expect(error == .unreachable(agent: one.address, reason: "connection refused"))
    #expect(client.name == two.address)
    let none = try AgentClient(agent(one, one))
    await #expect(throws: ConsulError.self) { try await none.send(get, timeout: .seconds(5)) }
  }

  @Test("a watch goes on at the next agent, and returns to the first when that knows a leader")
  func watch() async throws {
    let leader = Locked("")
    let one = try await ScriptedConsulAgent.start { request in
      if request.path == "/v1/status/leader" {
        return .json(leader.withLock { "\"\($0)\"" }, index: nil)
      }
      if request["index"] != nil { return leader.withLock { $0.isEmpty } ? .close : .hang }
      return .json(instances(1), index: 50)
    }
    let step = Locked(0)
    let two = try await ScriptedConsulAgent.start { request in
      guard let index = request["index"].flatMap(Int.init) else {
        return .json(instances(2), index: 5)
      }
      _ = try? await eventually { step.withLock { $0 } >= index - 4 }
      return .json(instances(2), index: UInt64(index + 1))
    }
    defer {
      one.stop()
      two.stop()
    }
    let clock = ManualClock()
    let log = Log()
    var options = ConsulOptions(agent: agent(one, two))
    options.clock = clock
    options.logger = log.logger
    let watches = SharedWatches()
    let watching = try Watching(ConsulResolver(options, watches: watches), "consul:///x")
    #expect(await watching.next()?.ports == [1])
    // The poll of the first ends without an answer; the second is asked after a back-off.
    for _ in 0..<20 where two.requests.isEmpty {
      await clock.waitForSleepers(within: .milliseconds(200))
      clock.advance(by: .seconds(1))
    }
    let other = await watching.report { $0.ports == [2] }
    #expect(other?.note == "consul \(one.address): 1 instance, 1 passing; asked at \(two.address)")
    let statistics = watches.statistics(options.watch)
    #expect(statistics.watches.map(\.agent) == [two.address])
    // A minute later the first is there, but knows no leader.
    clock.advance(by: .seconds(75))
    step.withLock { $0 = 1 }
    #expect(try await eventually { one.requests.contains { $0.path == "/v1/status/leader" } })
    #expect(try await eventually { two.requests.contains { $0["index"] == "6" } })
    leader.withLock { $0 = "10.0.0.1:8300" }
    clock.advance(by: .seconds(75))
    step.withLock { $0 = 2 }
    let back = await watching.report { $0.ports == [1] }
    #expect(back?.note == "consul \(one.address): 1 instance, 1 passing")
    let begun = one.requests.filter { $0.path != "/v1/status/leader" && $0["index"] == nil }
    #expect(begun.count == 2)
    #expect(log.lines.filter { $0.hasPrefix("notice") }.count == 2)
  }

  @Test("a long poll counts for the agent that holds it") func budget() async throws {
    let one = try await ScriptedConsulAgent.start(answering: [.close])
    let two = try await ScriptedConsulAgent.start {
      $0["index"] == nil ? .json(instances(2), index: 5) : .hang
    }
    defer {
      one.stop()
      two.stop()
    }
    let watches = SharedWatches()
    let resolver = ConsulResolver(ConsulOptions(agent: agent(one, two)), watches: watches)
    let watching = try Watching(resolver, "consul:///x")
    _ = await watching.report { $0.ports == [2] }
    #expect(try await eventually { two.requests.contains { $0["index"] == "5" } })
    let now = ContinuousClock.now
    #expect(watches.budgets.statistics(limit: 100, at: now).map(\.address) == [two.address])
    _ = await watching.stop()
  }

  @Test("whichever agent is asked has to know the parameters of a query") func version()
    async throws
  {
    @Sendable func about(_ version: String) -> ScriptedConsulAgent.Reaction {
      .json(#"{"Config": {"Version": "\#(version)"}}"#, index: nil)
    }
    let isDown = Locked(false)
    let one = try await ScriptedConsulAgent.start { request in
      if isDown.withLock({ $0 }) { return .close }
      if request.path == "/v1/agent/self" { return about("1.17.0") }
      guard request["index"] != nil else { return .json(instances(1), index: 5) }
      _ = try? await eventually { isDown.withLock { $0 } }
      return .close
    }
    let two = try await ScriptedConsulAgent.start { request in
      if request.path == "/v1/agent/self" { return about("1.8.7") }
      return request["index"] == nil ? .json(instances(2), index: 5) : .hang
    }
    defer {
      one.stop()
      two.stop()
    }
    let resolver = ConsulResolver(
      ConsulOptions(agent: agent(one, two)), watches: SharedWatches())
    let watching = try Watching(resolver, "consul:///x?peer=east")
    #expect(await watching.next()?.ports == [1])
    isDown.withLock { $0 = true }
    let report = await watching.report {
      $0.ports == [2] || $0.note?.contains("needs Consul 1.13") == true
    }
    #expect(report?.ports == [1], "\(report?.note ?? "")")
    _ = await watching.stop()
  }

  @Test(
    "no index of one agent is sent to another, whatever the reason of the change",
    arguments: [429, 500])
  func indexes(status: Int) async throws {
    let one = try await ScriptedConsulAgent.start {
      $0["index"] == nil ? .json(instances(1), index: 50) : .answer(status, body: "no")
    }
    let two = try await ScriptedConsulAgent.start {
      $0["index"] == nil ? .json(instances(2), index: 5) : .hang
    }
    defer {
      one.stop()
      two.stop()
    }
    let resolver = ConsulResolver(
      ConsulOptions(agent: agent(one, two)), watches: SharedWatches())
    let watching = try Watching(resolver, "consul:///x")
    #expect(await watching.report { $0.ports == [2] } != nil)
    #expect(two.requests.first?["index"] == nil)
    _ = await watching.stop()
  }

  @Test("no request reaches another agent than the one it names, in turmoil") func connections()
    async throws
  {
    func start() async throws -> ScriptedConsulAgent {
      try await ScriptedConsulAgent.start { request in
        request.number % 7 == 6 ? .answer(503) : .json("[]", index: 1)
      }
    }
    let agents = [try await start(), try await start(), try await start()]
    defer { for agent in agents { agent.stop() } }
    let client = try AgentClient(agent(agents[0], agents[1], agents[2]))
    await withTaskGroup(of: Void.self) { group in
      for _ in 0..<12 {
        group.addTask {
          for _ in 0..<250 { _ = try? await client.send(self.get, timeout: .seconds(5)) }
        }
      }
    }
    for agent in agents {
      #expect(!agent.requests.isEmpty)
      let strays = agent.requests.count { $0.headers["host"] != agent.address }
      #expect(strays == 0)
    }
  }

  @Test("a server registers with one agent") func registration() async throws {
    let one = try await ScriptedConsulAgent.start(answering: [.json("{}", index: nil)])
    defer { one.stop() }
    let server = GRPCServer(on: .tcp("127.0.0.1", 0), services: [HealthService()])
    let registration = ConsulRegistration("x", of: server, agent: agent(one, one))
    let error = await #expect(throws: ConsulError.self) { try await registration.run() }
    #expect(error.map { "\($0)".contains("allowed: no alternatives") } == true)
    #expect(one.requests.isEmpty)
  }

  @Test(
    "an agent whose answers are not Consul's is left for the next one", arguments: ["x", "x?chain"])
  func lying(target: String) async throws {
    let one = try await ScriptedConsulAgent.start(answering: [.json("<html>", index: 5)])
    let two = try await ScriptedConsulAgent.start { request in
      if request["index"] != nil { return .hang }
      guard request.path.hasPrefix("/v1/discovery-chain") else {
        return .json(instances(2), index: 5)
      }
      return .json(
        chainJSON(#""s": {"Type": "resolver", "Name": "r", "Resolver": {"Target": "t"}}"#),
        index: 5)
    }
    defer {
      one.stop()
      two.stop()
    }
    let resolver = ConsulResolver(
      ConsulOptions(agent: agent(one, two)), watches: SharedWatches())
    let watching = try Watching(resolver, "consul:///\(target)")
    #expect(await watching.report { $0.ports == [2] } != nil)
    _ = await watching.stop()
  }
}
