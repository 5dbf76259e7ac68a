// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import FoundationEssentials
import Testing
import TrunkDiscovery
import TrunkSockets

@testable import TrunkConsul

@Suite("Watches of a real agent", .serialized, .realConsul, .timeLimit(.minutes(2)))
struct RealConsulRulesTests {
  private func resolver(_ agent: RealAgent) -> ConsulResolver {
    ConsulResolver(ConsulOptions(agent: agent.agent), watches: SharedWatches())
  }

  @Test("an absent service: what others register wakes the query, and is no news")
  func absent() async throws {
    let agent = try RealAgent.get()
    let resolver = resolver(agent)
    let watching = try Watching(resolver, "consul:///absent-one")
    _ = await watching.next()
    for port in UInt16(1)...5 {
      let before = try #require(resolver.statistics.watches.first)
      try await agent.put("other-\(port)", port: port)
      #expect(
        try await eventually { (resolver.statistics.watches.first?.answers ?? 0) > before.answers })
    }
    let watch = try #require(resolver.statistics.watches.first)
    #expect(watch.updates == 1 && watch.failures == 0)
    #expect((watch.index ?? 0) >= 1)
    try await agent.put("absent-one", port: 7)
    #expect(await watching.report { $0.ports == [7] } != nil)
    _ = await watching.stop()
  }

  @Test("a quiet query ends with its wait and is sent again; that is neither news nor a failure")
  func quiet() async throws {
    let agent = try RealAgent.get()
    try await agent.put("quiet", port: 1)
    let resolver = resolver(agent)
    let watching = try Watching(resolver, "consul:///quiet?wait=1s")
    #expect(await watching.next()?.ports == [1])
    let asked = try await eventually { (resolver.statistics.watches.first?.answers ?? 0) >= 3 }
    #expect(asked)
    let watch = try #require(resolver.statistics.watches.first)
    #expect(watch.updates == 1 && watch.failures == 0 && watch.problem == nil)
    #expect(watch.request.hasSuffix("&index=\(watch.index ?? 0)&wait=1000ms"))
    _ = await watching.stop()
  }

  @Test("an agent that hangs is noticed by the deadline of its long poll, and used when it goes on")
  func frozen() async throws {
    let agent = try await RealAgent.start()
    defer { agent.kill() }
    try await agent.put("frozen", port: 1)
    var options = WatchOptions()
    options.timing.margin = .milliseconds(300)
    options.timing.answerTimeout = .milliseconds(300)
    let watches = SharedWatches()
    let key = SharedWatches.Key(agent: agent.agent, query: ConsulQuery("frozen"))
    var snapshots = try watches.subscribe(key, options).makeAsyncIterator()
    #expect(await snapshots.next()?.isAnswer == true)
    agent.freeze(true)
    let lost = await snapshots.next()
    #expect(lost?.isAnswer == false && lost?.endpoints.count == 1)
    #expect(lost?.note.hasPrefix("no answer within ") == true, "\(lost?.note ?? "")")
    agent.freeze(false)
    #expect(await snapshots.next()?.isAnswer == true)
  }

  @Test("at the agent's limit of 200 connections the note names it; there is an answer after it")
  func connectionLimit() async throws {
    let agent = try await RealAgent.start()
    defer { agent.kill() }
    try await agent.put("limited", port: 1)
    var held: [ByteStream] = []
    for _ in 0..<200 {
      held.append(
        try await ByteStream.connect(
          to: .host("127.0.0.1", agent.port), on: EventLoopGroup.shared.next(),
          timeout: .seconds(5)))
    }
    let watching = try Watching(resolver(agent), "consul:///limited")
    let refused = await watching.next()
    #expect(refused?.isAnswer == false)
    #expect(
      refused?.note?.contains("limit of 200 connections") == true, "\(refused?.note ?? "")")
    for stream in held { stream.close() }
    #expect(await watching.report { $0.ports == [1] } != nil)
    _ = await watching.stop()
  }

  @Test("an agent that restarts with its data: the set stays, and later changes are seen")
  func restartWithData() async throws {
    let folder =
      FileManager.default.temporaryDirectory.path + "/consul-\(UInt64.random(in: 0 ... .max))"
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let agent = try await RealAgent.start(dataIn: folder)
    defer { agent.kill() }
    try await agent.put("kept", port: 1)
    // A TTL check's state is written to disk when it is fed.
    try await agent.turn("kept", port: 1, to: "pass")
    let resolver = resolver(agent)
    let watching = try Watching(resolver, "consul:///kept")
    #expect(await watching.report { $0.ports == [1] } != nil)
    agent.kill()
    #expect(await watching.report { !$0.isAnswer }?.ports == [1])
    try await agent.launch()
    let back = await watching.report {
      #expect($0.ports == [1], "never empty in between")
      return $0.note?.hasSuffix("1 instance, 1 passing") == true
    }
    #expect(back != nil)
    try await agent.put("kept", port: 2)
    #expect(await watching.report { $0.ports == [1, 2] } != nil)
    _ = await watching.stop()
  }

  @Test("ACLs that deny by default: an empty answer without a token, a refusal of an unknown one")
  func defaultDeny() async throws {
    let folder =
      FileManager.default.temporaryDirectory.path + "/consul-\(UInt64.random(in: 0 ... .max))"
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let agent = try await RealAgent.start(
      dataIn: folder,
      "acl { enabled = true default_policy = \"deny\" "
        + "tokens { master = \"11111111-1111-1111-1111-111111111111\" } }")
    defer { agent.kill() }
    let resolver = resolver(agent)
    // A server knows its master token a moment after it has become the leader.
    let known = try await eventually(within: .seconds(20)) {
      let explanation = try await resolver.explain(
        "consul:///hidden?token=11111111-1111-1111-1111-111111111111")
      return explanation.requests.first?.status == 200 && explanation.agentVersion != nil
    }
    #expect(known)
    // Not the first report alone: an agent that has just begun may be slow to explain an empty answer.
    func says(_ text: String, _ parameters: String) async throws -> Bool {
      let watching = try Watching(resolver, "consul:///hidden\(parameters)")
      return await watching.report { $0.note?.hasSuffix(text) == true } != nil
    }
    #expect(
      try await says("no instance is visible: the agent has ACLs and no token was sent", ""))
    #expect(try await says("403 ACL not found", "?token=none"))
    #expect(
      try await says(
        "no instance is registered", "?token=11111111-1111-1111-1111-111111111111"))
  }

  @Test("an agent on a unix socket: by the target, and by CONSUL_HTTP_ADDR") func unixSocket()
    async throws
  {
    let folder = "/tmp/consul-\(UInt64.random(in: 0 ... .max))"
    defer { try? FileManager.default.removeItem(atPath: folder) }
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    let agent = try await RealAgent.start(
      dataIn: folder + "/data", "addresses { http = \"127.0.0.1 unix://\(folder)/http.sock\" }")
    defer { agent.kill() }
    try await agent.put("local", port: 1)
    let environment = ConsulAgent(environment: ["CONSUL_HTTP_ADDR": "unix://\(folder)/http.sock"])
    for (options, target) in [
      (ConsulOptions(agent: environment), "consul:///local"),
      (ConsulOptions(agent: ConsulAgent()), "consul:///local?unix=\(folder)/http.sock"),
    ] {
      let watching = try Watching(ConsulResolver(options, watches: SharedWatches()), target)
      let found = await watching.report { $0.ports == [1] }
      #expect(found?.note == "consul unix:\(folder)/http.sock: 1 instance, 1 passing")
      _ = await watching.stop()
    }
  }

  @Test("800 instances: each change of one is seen, and none is lost") func manyInstances()
    async throws
  {
    let agent = try RealAgent.get()
    let watching = try Watching(resolver(agent), "consul:///crowd")
    _ = await watching.next()
    let entries = { (node: Int) in
      #"{"Node": "crowd-\#(node)", "Address": "10.0.0.\#(node)", "Service": "#
    }
    for number in 1...800 {
      try await agent.catalog(
        "register",
        entries(number % 20)
          + #"{"ID": "c\#(number)", "Service": "crowd", "Port": \#(number)}}"#)
    }
    #expect(await watching.report(within: .seconds(30)) { $0.endpoints.count == 800 } != nil)
    for number in [1, 400, 800] {
      try await agent.catalog(
        "deregister", #"{"Node": "crowd-\#(number % 20)", "ServiceID": "c\#(number)"}"#)
      #expect(await watching.report { !$0.ports.contains(UInt16(number)) } != nil)
    }
    for node in 0..<20 { try await agent.catalog("deregister", #"{"Node": "crowd-\#(node)"}"#) }
    let none = await watching.report(within: .seconds(30)) {
      $0.note?.contains("no instance") == true
    }
    #expect(none != nil)
    _ = await watching.stop()
  }

  @Test("maintenance of an instance or of its node takes it out, with warning=include as well")
  func maintenance() async throws {
    let agent = try await RealAgent.start()
    defer { agent.kill() }
    for port in UInt16(1)...2 { try await agent.put("repaired", port: port) }
    func maintain(_ path: [String], _ isOn: Bool) async throws {
      var request = HTTPRequest(.put)
      request.path = ["v1", "agent"] + path
      request.addQuery("enable", isOn ? "true" : "false")
      _ = try await AgentClient(agent.agent).send(request, timeout: .seconds(5))
    }
    for parameters in ["", "?warning=include"] {
      let watching = try Watching(resolver(agent), "consul:///repaired\(parameters)")
      #expect(await watching.report { $0.ports == [1, 2] } != nil)
      try await maintain(["service", "maintenance", "repaired-1"], true)
      #expect(await watching.report { $0.ports == [2] } != nil)
      try await maintain(["service", "maintenance", "repaired-1"], false)
      #expect(await watching.report { $0.ports == [1, 2] } != nil)
      try await maintain(["maintenance"], true)
      #expect(await watching.report { $0.ports == [] } != nil)
      try await maintain(["maintenance"], false)
      #expect(await watching.report { $0.ports == [1, 2] } != nil)
      _ = await watching.stop()
    }
  }

  @Test("one service id on two nodes is two instances; node metadata, tagged and node addresses")
  func nodes() async throws {
    let agent = try RealAgent.get()
    for (node, service) in [
      ("east", #""TaggedAddresses": {"wan": {"Address": "192.0.2.1", "Port": 80}}, "Port": 1"#),
      ("west", #""Address": "10.0.0.9", "Port": 2"#),
    ] {
      try await agent.catalog(
        "register",
        #"{"Node": "\#(node)", "Address": "10.0.0.1", "NodeMeta": {"zone": "\#(node)"}, "#
          + #""Service": {"ID": "same", "Service": "twins", \#(service)}}"#)
    }
    func found(_ parameters: String) async throws -> [Endpoint] {
      let watching = try Watching(resolver(agent), "consul:///twins\(parameters)")
      return await watching.next()?.endpoints ?? []
    }
    let both = try await found("")
    #expect(both.map(\.instanceID) == ["dc1/east/same", "dc1/west/same"])
    #expect(both.map(\.addresses) == [[.host("10.0.0.1", 1)], [.host("10.0.0.9", 2)]])
    #expect(both.map { $0.attributes["consul.node-meta.zone"] } == ["east", "west"])
    #expect(try await found("?node-meta=zone:west").map(\.instanceID) == ["dc1/west/same"])
    #expect(
      try await found("?address=wan").map(\.addresses) == [
        [.host("192.0.2.1", 80)], [.host("10.0.0.9", 2)],
      ])
    for node in ["east", "west"] { try await agent.catalog("deregister", #"{"Node": "\#(node)"}"#) }
  }
}
