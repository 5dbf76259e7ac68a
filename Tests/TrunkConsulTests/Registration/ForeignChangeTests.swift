// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Testing
import TrunkDiscovery

@testable import TrunkConsul

@Suite(
  "What others change of a registration", .serialized, .realConsul, .timeLimit(.minutes(2)))
struct ForeignChangeTests {
  private struct Running {
    let registration: ConsulRegistration
    let run: Task<Void, any Error>
    let log = Log()
    let id: String
    let agent: RealAgent
    let client: AgentClient

    /// Registered, and asked about every 50 ms.
    init(port: UInt16, _ content: ConsulService) async throws {
      agent = try RealAgent.get()
      client = try AgentClient(agent.agent)
      id = "shared-127.0.0.1-\(port)"
      var timing = RegistrationTiming()
      timing.confirmInterval = .milliseconds(50)
      let registration = ConsulRegistration(
        ServiceTemplate("shared", checks: [.ttl(.seconds(30))]), content,
        of: TestServer(.host("127.0.0.1", port)), agent: agent.agent, timing: timing,
        logger: log.logger)
      self.registration = registration
      run = Task { try await registration.run() }
      try #require(
        try await eventually { if case .registered = registration.state { true } else { false } })
    }

    func stop() async throws {
      registration.shutDown()
      try await run.value
    }
    /// Registers it as another program might: with the fields of `change`.
    func change(_ fields: String, port: UInt16) async throws {
      try await put(
        ["v1", "agent", "service", "register"],
        #"{"ID":"\#(id)","Name":"shared","Address":"127.0.0.1","Port":\#(port),\#(fields)}"#)
    }
    private func put(_ path: [String], _ body: String) async throws {
      var request = HTTPRequest(.put)
      request.path = path
      request.body = Array(body.utf8)
      _ = try await client.send(request, timeout: .seconds(5))
    }
    func service() async throws -> AgentService? {
      try await client.service(id, timeout: .seconds(5))
    }
    func foreign() -> [String] { log.lines.filter { $0.contains("another program") } }

    /// The tags in the catalogue, and its index.
    func catalogue() async throws -> (tags: [String]?, index: String?) {
      let request = HTTPRequest(.get, "v1", "health", "service", "shared")
      let answer = try await client.send(request, timeout: .seconds(5))
      let entry = try client.entries(of: answer).entries.first { $0.service.id == id }
      return (entry?.service.tags, answer.headers["x-consul-index"])
    }
    /// As a writer of tags outside of the agent does (Consul, Catalog API).
    func writeTags(_ tag: String, port: UInt16, allowed: Bool) async throws {
      let answer = try await client.send(
        HTTPRequest(.get, "v1", "health", "service", "shared"), timeout: .seconds(5))
      let node = try #require(try client.entries(of: answer).entries.first).node.name
      try await put(
        ["v1", "catalog", "register"],
        #"{"Node":"\#(node)","Address":"127.0.0.1","SkipNodeUpdate":true,"Service":{"ID":"\#(id)","#
          + #""Service":"shared","Address":"127.0.0.1","Port":\#(port),"Tags":["\#(tag)"],"#
          + #""EnableTagOverride":\#(allowed)}}"#)
    }
  }

  private static let own: ConsulService = {
    var content = ConsulService()
    content.tags = ["own"]
    content.meta = ["k": "1"]
    content.weights = ConsulWeights(passing: 3, warning: 2)
    content.taggedAddresses = ["wan": .host("192.0.2.1", 7)]
    return content
  }()

  @Test(
    "weights, tagged addresses, metadata and tags that others change are put back, once",
    arguments: [
      ("Weights", #"{"Passing":7,"Warning":2}"#, "its weights are 7 and 2"),
      (
        "TaggedAddresses", #"{"wan":{"Address":"192.0.2.9","Port":7}}"#,
        #"its tagged address "wan" differs"#
      ),
      ("TaggedAddresses", "{}", #"its tagged address "wan" differs"#),
      ("Meta", #"{"k":"2"}"#, "its metadata differs"), ("Tags", #"["other"]"#, "its tags differ"),
      ("EnableTagOverride", "true", "its EnableTagOverride is true"),
    ] as [(String, String, String)])
  func putBack(field: String, value: String, what: String) async throws {
    let running = try await Running(port: 91, Self.own)
    var fields = [
      "Weights": #"{"Passing":3,"Warning":2}"#, "Meta": #"{"k":"1"}"#, "Tags": #"["own"]"#,
      "TaggedAddresses": #"{"wan":{"Address":"192.0.2.1","Port":7}}"#,
    ]
    fields[field] = value
    try await running.change(
      fields.map { "\"\($0.key)\":\($0.value)" }.joined(separator: ","), port: 91)
    let definition = try ServiceTemplate("shared", checks: []).definition(
      Self.own, bound: [.host("127.0.0.1", 91)], nodeAddress: nil)
    #expect(
      try await eventually {
        let service = try await running.service()
        return running.foreign().count == 1 && service?.drift(from: definition) == nil
      }, "\(running.log.lines)")
    #expect(running.foreign().first?.contains(": \(what); registering again") == true)
    // Some ten questions later nothing more was found.
    try await Task.sleep(for: .milliseconds(500))
    #expect(running.foreign().count == 1)
    #expect(running.log.lines.count { $0.contains(" again as ") } == 1, "\(running.log.lines)")
    try await running.stop()
  }

  @Test(
    "with EnableTagOverride another writer's tags stay, over registrations too, until own ones change"
  )
  func override() async throws {
    var content = Self.own
    content.allowsTagOverride = true
    let running = try await Running(port: 92, content)
    #expect(try await eventually { try await running.catalogue().tags == ["own"] })
    try await running.writeTags("theirs", port: 92, allowed: true)
    #expect(try await running.catalogue().tags == ["theirs"])
    // Registered again with other metadata.
    try running.registration.update { $0.meta = ["k": "2"] }
    #expect(try await eventually { try await running.service()?.meta == ["k": "2"] })
    #expect(
      try await eventually { try await running.service()?.tags == ["theirs"] })
    #expect(try await running.catalogue().tags == ["theirs"])
    // Through the agent as well.
    try await running.change(
      #""Tags":["agents"],"EnableTagOverride":true,"Meta":{"k":"2"},"#
        + #""Weights":{"Passing":3,"Warning":2},"#
        + #""TaggedAddresses":{"wan":{"Address":"192.0.2.1","Port":7}}"#, port: 92)
    try await Task.sleep(for: .milliseconds(300))
    #expect(try await running.service()?.tags == ["agents"])
    #expect(running.foreign().isEmpty)
    try running.registration.update { $0.tags = ["new"] }
    #expect(try await eventually { try await running.catalogue().tags == ["new"] })
    try await running.stop()
  }

  @Test("without EnableTagOverride tags written into the catalogue go with the next registration")
  func noOverride() async throws {
    let running = try await Running(port: 93, Self.own)
    #expect(try await eventually { try await running.catalogue().tags == ["own"] })
    try await running.writeTags("theirs", port: 93, allowed: false)
    #expect(try await running.catalogue().tags == ["theirs"])
    // The agent itself reverts it within a minute (Consul, Anti-Entropy), or now.
    try running.registration.update { $0.meta = ["k": "2"] }
    #expect(try await eventually { try await running.catalogue().tags == ["own"] })
    try await running.stop()
  }

  @Test("the same registration again changes no index, so that it wakes no watch")
  func sameAgain() async throws {
    let running = try await Running(port: 94, Self.own)
    #expect(try await eventually { try await running.catalogue().tags == ["own"] })
    // The TTL check's output has been written.
    try await Task.sleep(for: .milliseconds(300))
    let before = try await running.catalogue().index
    for _ in 0..<3 {
      let registered = running.log.lines.count { $0.contains("again as") }
      try running.registration.update { _ in }
      #expect(
        try await eventually {
          running.log.lines.count { $0.contains("again as") } == registered + 1
        })
    }
    try await Task.sleep(for: .milliseconds(300))
    #expect(try await running.catalogue().index == before)
    try await running.stop()
  }
}
