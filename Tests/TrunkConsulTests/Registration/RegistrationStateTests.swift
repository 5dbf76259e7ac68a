// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Testing
import TrunkDiscovery
import TrunkTesting

@testable import TrunkConsul

@Suite("Staying registered") struct RegistrationStateTests {
  private var random = SplitMix(state: 3)
  private let start = ContinuousClock.now

  private func sleep(_ step: RegistrationState.Step) -> Duration? {
    if case .sleep(let duration) = step.next { duration } else { nil }
  }

  @Test("registered, then asked about every 3 s, not in step with others")
  mutating func held() throws {
    var state = RegistrationState()
    #expect(state.begin() == .init(notice: nil, next: .register))
    var step = state.registered(using: &random)
    #expect(step.notice == .registered(again: false))
    for _ in 0..<100 {
      let pause = try #require(sleep(step))
      #expect(pause >= .milliseconds(2_400) && pause <= .milliseconds(3_600))
      #expect(state.timerFired() == .init(notice: nil, next: .confirm))
      step = state.confirmed(using: &random)
      #expect(step.notice == nil)
    }
  }

  @Test("an agent that forgot is told again at once") mutating func forgotten() {
    var state = RegistrationState()
    _ = state.begin()
    _ = state.registered(using: &random)
    _ = state.timerFired()
    #expect(state.forgotten() == .init(notice: .forgotten, next: .register))
    #expect(state.registered(using: &random).notice == .registered(again: true))
  }

  @Test("an agent that is away is asked for ever, 5 s apart at most, and it is said once a minute")
  mutating func away() throws {
    var state = RegistrationState()
    _ = state.begin()
    var now = start
    var said = 0
    while now < start + .seconds(600) {
      let step = state.failed(.register, "connection refused", at: now, using: &random)
      if step.notice != nil { said += 1 }
      let pause = try #require(sleep(step))
      #expect(pause >= .milliseconds(50) && pause <= .seconds(6))
      now += pause
      #expect(state.timerFired().next == .register)
    }
    #expect(said >= 9 && said <= 11)
    #expect(
      state.failed(.register, "another reason", at: now, using: &random).notice
        == .trouble("another reason"))
    #expect(state.registered(using: &random).notice == .registered(again: false))
    let next = state.failed(.confirm, "connection refused", at: now, using: &random)
    #expect(next.notice == .trouble("connection refused"))
    #expect(try #require(sleep(next)) <= .milliseconds(450), "back-off starts over")
    #expect(state.timerFired().next == .confirm)
  }

  @Test("a refusal lasts: 10 s, then registered again in doubt")
  mutating func refused() throws {
    var state = RegistrationState()
    _ = state.begin()
    let step = state.failed(.confirm, "403 x", status: 403, at: start, using: &random)
    #expect(try #require(sleep(step)) >= .seconds(8))
    #expect(state.timerFired().next == .register)
  }

  @Test("a fight over an id is said once a minute, while it is registered again each time")
  mutating func fight() {
    var state = RegistrationState()
    _ = state.begin()
    _ = state.registered(using: &random)
    #expect(
      state.drifted("its port is 6", at: start)
        == .init(notice: .drifted("its port is 6"), next: .register))
    #expect(state.registered(using: &random).notice == .registered(again: true))
    let later = start + .seconds(59)
    #expect(state.drifted("its port is 6", at: later) == .init(notice: nil, next: .register))
    #expect(state.registered(using: &random).notice == nil)
    #expect(state.drifted("its port is 6", at: start + .seconds(60)).notice != nil)
  }

  @Test("a TTL is fed at once and at least three times in its life") mutating func ttl()
    throws
  {
    var state = RegistrationState(life: .seconds(4))
    _ = state.begin()
    #expect(state.registered(using: &random).next == .confirm)
    let pause = try #require(sleep(state.confirmed(using: &random)))
    #expect(pause * 3 <= .seconds(4))
  }
}

@Suite("What is registered") struct ServiceDefinitionTests {
  private func define(
    _ bound: [Address] = [.host("0.0.0.0", 50_051)], node: String? = "127.0.0.1",
    security: CheckedSecurity = CheckedSecurity(), advertise: Address? = nil, id: String? = nil,
    tags: [String] = [], meta: [String: String] = [:], weights: ConsulWeights? = nil,
    check: ConsulCheck = .grpc(), after: Duration? = .seconds(60)
  ) throws -> ServiceDefinition {
    var content = ConsulService()
    content.tags = tags
    content.meta = meta
    content.weights = weights
    return try ServiceTemplate(
      "helloworld", advertise: advertise, id: id, checks: [check], deregisterCriticalAfter: after,
      security: security
    ).definition(content, bound: bound, nodeAddress: node).initially(isPassing: true)
  }
  private func json(_ definition: ServiceDefinition) throws -> String {
    String(decoding: try definition.json(), as: UTF8.self)
  }

  @Test("removal of critical instances: 10 min by default, as asked for, or not at all")
  func removal() async throws {
    func sent(_ make: (ConsulAgent, Log) -> ConsulRegistration) async throws -> (String, [String]) {
      let (agent, log) = (
        try await ScriptedConsulAgent.start(answering: [.json("{}", index: 1)]), Log()
      )
      defer { agent.stop() }
      let registration = make(ConsulAgent(agent.address), log)
      let run = Task { try await registration.run() }
      func body() -> String? { agent.requests.first { $0.path.hasSuffix("/register") }?.text }
      #expect(try await eventually { body() != nil })
      run.cancel()
      _ = await run.result
      return (try #require(body()), log.lines)
    }
    let server = TestServer(.host("127.0.0.1", 5))
    let (usual, _) = try await sent {
      ConsulRegistration("s", of: server, agent: $0, check: .ttl(.seconds(9)), logger: $1.logger)
    }
    #expect(usual.contains(#""DeregisterCriticalServiceAfter":"10m""#))
    let (short, lines) = try await sent {
      ConsulRegistration(
        "s", of: server, agent: $0, checks: [.ttl(.seconds(9)), .tcp(), .alias(ofService: "x")],
        deregisterCriticalAfter: .seconds(30), logger: $1.logger)
    }
    // Not for an alias: the other instance's health does not end this one's registration.
    #expect(short.split(separator: #""DeregisterCriticalServiceAfter":"30s""#).count == 3)
    #expect(lines.contains("notice s: the agent raises deregisterCriticalAfter of 30s to 1m"))
    let (never, _) = try await sent {
      ConsulRegistration(
        "s", of: server, agent: $0, check: .ttl(.seconds(9)), deregisterCriticalAfter: nil,
        logger: $1.logger)
    }
    #expect(!never.contains("DeregisterCriticalServiceAfter"))
  }

  @Test("the greeter's registration is the article's") func article() throws {
    #expect(try json(try define(tags: ["helloworld"])) == HelloworldRegistration.request)
  }

  @Test("empty fields are left out, given ones are sent") func fields() throws {
    let bare = try json(try define(check: .none))
    #expect(
      bare == #"{"Address":"127.0.0.1","ID":"helloworld-127.0.0.1-50051","#
        + #""Name":"helloworld","Port":50051}"#)
    let full = try json(
      try define(
        advertise: .host("::1", 0), id: "me", meta: ["v": "1"],
        weights: ConsulWeights(passing: 1, warning: 2), check: .ttl(.seconds(15)), after: nil))
    #expect(
      full == #"{"Address":"::1","Check":{"Status":"passing","TTL":"15s"},"ID":"me","#
        + #""Meta":{"v":"1"},"Name":"helloworld","Port":50051,"Weights":{"Passing":1,"Warning":2}}"#
    )
  }

  @Test(
    "what others connect to",
    arguments: [
      (Address.host("0.0.0.0", 1), nil, "127.0.0.1", 1), (.host("::", 2), nil, "127.0.0.1", 2),
      (.host("10.0.0.7", 3), nil, "10.0.0.7", 3),
      (.host("10.0.0.7", 3), .host("pub", 0), "pub", 3),
      (.unix("/s"), .host("pub", 9), "pub", 9),
    ] as [(Address, Address?, String, UInt16)])
  func advertised(bound: Address, advertise: Address?, host: String, port: UInt16) throws {
    let definition = try define([bound], advertise: advertise)
    #expect(definition.address == host)
    #expect(definition.port == port)
  }

  @Test("the node's address stands for a wildcard alone; without one the address stays empty")
  func node() throws {
    #expect(try define(node: "10.1.2.3").address == "10.1.2.3")
    #expect(try define(node: "10.1.2.3").checks.first?.grpc == "10.1.2.3:50051/helloworld")
    #expect(try define([.host("127.0.0.1", 5)], node: "10.1.2.3").address == "127.0.0.1")
    #expect(try define([.host("127.0.0.1", 5), .host("10.9.9.9", 5)]).address == "10.9.9.9")
    let empty = try define(node: nil)
    #expect(empty.address == nil && empty.id == "helloworld-50051")
    #expect(empty.checks.first?.grpc == "127.0.0.1:50051/helloworld")
    func needs(_ host: String, _ advertise: Address? = nil) -> Bool {
      ServiceTemplate("x", advertise: advertise, checks: []).needsNodeAddress([.host(host, 5)])
    }
    #expect(needs("0.0.0.0") && needs("::"))
    #expect(!needs("127.0.0.1") && !needs("10.0.0.1") && !needs("0.0.0.0", .host("pub", 0)))
  }

  @Test("a gRPC check speaks what the server speaks unless told otherwise") func followsSecurity()
    throws
  {
    var tls = CheckedSecurity()
    tls.usesTLS = true
    let check = try #require(try define(security: tls).checks.first)
    #expect(check.grpcUseTLS == true && check.tlsSkipVerify == true)
    #expect(try define(security: tls, check: .grpc(tls: .off)).checks.first?.grpcUseTLS == nil)
    #expect(
      try define(security: tls, check: .grpc(tls: .init())).checks.first?.tlsSkipVerify == nil)
    #expect(try define().checks.first?.grpcUseTLS == nil)
  }

  @Test("a server on a unix socket alone cannot be registered") func nothing() {
    #expect(throws: ConsulError.nothingToAdvertise(service: "helloworld")) {
      try define([.unix("/s")])
    }
  }

  @Test("other checks, and where the agent reaches the server") func checks() throws {
    #expect(try define(check: .tcp(at: .host("a", 1))).checks.first?.tcp == "a:1")
    #expect(
      try define(check: .http("http://a/h", every: .seconds(5))).checks.first?.interval == "5s")
    #expect(try define([.host("::1", 5)]).checks.first?.grpc == "[::1]:5/helloworld")
    #expect(try define(check: .grpc(timeout: .seconds(2))).checks.first?.timeout == "2s")
  }

  @Test("a gRPC check over TLS; the server name is for agents from 1.9 on") func tls() throws {
    let check = try #require(
      try define(check: .grpc(tls: .init(verifiesServer: false, serverName: "orders"))).checks.first
    )
    #expect(check.grpcUseTLS == true && check.tlsSkipVerify == true)
    #expect(check.tlsServerName == "orders")
    let verifying = try json(try define(check: .grpc(tls: .init())))
    #expect(verifying.contains(#""GRPCUseTLS":true"#) && !verifying.contains("TLSSkipVerify"))
    #expect(try json(try define()).contains("TLS") == false)
    for (text, knows) in [("1.8.7", false), ("1.9.0", true), ("1.16.1+ent", true), ("2.0.0", true)]
    {
      #expect(((ConsulVersion(text) ?? .init(0, 0)) >= .checksWithServerName) == knows)
    }
    #expect(ConsulVersion("nonsense") == nil)
  }

  @Test("names that Consul's DNS shows") func labels() {
    for name in ["a", "hello-1", "A9"] { #expect(DNSLabel.isValid(name)) }
    for name in ["", "-a", "a-", "a.b", "a_b", "ü", String(repeating: "a", count: 64)] {
      #expect(!DNSLabel.isValid(name))
    }
  }
}
