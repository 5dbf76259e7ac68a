// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import ProcessSupport
import Testing
import TrunkTesting

@Suite("The registration flags of greeter-server", .serialized, .timeLimit(.minutes(2)))
struct GreeterFlagsTests {
  /// An agent that knows nothing, and the body of the registration that it gets; the port is `PORT`.
  private func registered(
    _ arguments: [String],
    _ look: (ScriptedConsulAgent, ChildProcess) async throws -> Void = { _, _ in }
  ) async throws -> String {
    let agent = try await ScriptedConsulAgent.start { request in
      request.path == "/v1/agent/self"
        ? .answer(200, body: #"{"Config":{"Version":"1.19.0"},"Member":{"Addr":"10.1.2.3"}}"#)
        : .json("[]", index: 1)
    }
    defer { agent.stop() }
    let server = try ChildProcess(
      ChildProcess.built("greeter-server"),
      ["--host", "127.0.0.1", "--port", "0", "--consul", agent.address] + arguments)
    func body() -> String? { agent.requests.first { $0.path.hasSuffix("/register") }?.text }
    let end = ContinuousClock.now + .seconds(20)
    while body() == nil, ContinuousClock.now < end { try await Task.sleep(for: .milliseconds(10)) }
    try await look(agent, server)
    let line = try #require(await server.line(containing: "listening on", within: .seconds(5)))
    let port = try #require(line.split(separator: ":").last)
    return try #require(body(), "\(server.text)").split(separator: port).joined(separator: "PORT")
  }

  @Test(
    "each flag reaches the definition",
    arguments: [
      (["--id", "me"], #""ID":"me""#),
      (["--name", "shop"], #""Name":"shop""#),
      (["--tag", "a", "--tag", "b"], #""Tags":["a","b"]"#),
      (["--meta", "k=v", "--meta", "x="], #""Meta":{"k":"v","x":""}"#),
      (["--weight", "9"], #""Weights":{"Passing":9,"Warning":1}"#),
      (["--warning-weight", "2"], #""Weights":{"Passing":1,"Warning":2}"#),
      (["--advertise", "192.0.2.1"], #"{"Address":"192.0.2.1","Check":{"#),
      (["--advertise", "192.0.2.1:7"], #""Port":7"#),
      (
        ["--tagged-address", "wan=192.0.2.1:9", "--tagged-address", "lan=10.0.0.1"],
        #""TaggedAddresses":{"lan":{"Address":"10.0.0.1","Port":PORT},"#
          + #""wan":{"Address":"192.0.2.1","Port":9}}"#
      ),
      (["--allow-tag-override"], #""EnableTagOverride":true"#),
      (["--deregister-after", "5m"], #""DeregisterCriticalServiceAfter":"5m""#),
      (["--check-interval", "2s"], #""GRPC":"127.0.0.1:PORT/helloworld","Interval":"2s""#),
      (["--check", "tcp"], #""TCP":"127.0.0.1:PORT""#),
      (["--check", "udp"], #""UDP":"127.0.0.1:PORT""#),
      (["--check", "h2ping"], #""H2PING":"127.0.0.1:PORT","H2PingUseTLS":false"#),
      (["--check", "ttl=45s"], #""TTL":"45s""#),
      (["--check", "http=http://127.0.0.1:9/ready"], #""HTTP":"http://127.0.0.1:9/ready""#),
      (["--check", "alias=other"], #""AliasService":"other""#),
      (["--check", "none"], #"{"Address":"127.0.0.1","ID":"#),
      (["--check", "tcp", "--check", "ttl"], #""Checks":[{"CheckID":"#),
    ] as [([String], String)])
  func reaches(arguments: [String], part: String) async throws {
    let body = try await registered(arguments)
    #expect(body.contains(part), "\(body)")
    #expect(arguments != ["--check", "none"] || !body.contains("Check"))
  }

  @Test("maintenance is set with its reason, and the first status is critical until then")
  func maintenance() async throws {
    let body = try await registered(["--maintenance", "new disks"]) { agent, _ in
      func mark() -> ScriptedConsulAgent.Request? {
        agent.requests.first { $0.path.contains("/maintenance/") }
      }
      let end = ContinuousClock.now + .seconds(10)
      while mark() == nil, ContinuousClock.now < end {
        try await Task.sleep(for: .milliseconds(10))
      }
      #expect(mark()?["enable"] == "true")
      #expect(mark()?["reason"] == "trunkcall: new disks")
    }
    #expect(body.contains(#""Status":"critical""#))
  }

  @Test("a refusal for good ends the server with one line, or is logged with --keep-serving")
  func refusal() async throws {
    let agent = try await ScriptedConsulAgent.start { request in
      request.path.hasSuffix("/register")
        ? .answer(400, body: "Invalid service address") : .json("[]", index: 1)
    }
    defer { agent.stop() }
    func start(_ arguments: String...) throws -> ChildProcess {
      try ChildProcess(
        ChildProcess.built("greeter-server"),
        ["--host", "127.0.0.1", "--port", "0", "--consul", agent.address] + arguments)
    }
    let stops = try start()
    #expect(try await stops.exit(within: .seconds(20)) == 1)
    #expect(stops.lines.count { $0.contains("400 Invalid service address") } == 1, "\(stops.text)")
    let keeps = try start("--keep-serving")
    #expect(
      try await keeps.line(containing: "400 Invalid service address", within: .seconds(20)) != nil)
    #expect(try await keeps.exit(within: .milliseconds(200)) == nil)
  }

  @Test(
    "a bad value is one error that names the flag and what is allowed, and nothing is started",
    arguments: [
      (["--meta", "novalue"], "--meta novalue: KEY=VALUE is allowed"),
      (["--weight", "0"], "--weight, --warning-weight: 1 to 65535 are allowed"),
      (["--weight", "70000"], "The value '70000' is invalid for '--weight <weight>'"),
      (["--check", "smtp"], "--check smtp: grpc, tcp, udp, h2ping, ttl[=30s], http=URL, alias=ID"),
      (["--check", "ttl=0"], "--check ttl=0: grpc"),
      (["--check", "alias="], "--check alias=: grpc"),
      (["--check", "grpc=x"], "--check grpc=x: grpc"),
      (["--deregister-after", "10s"], "--deregister-after: Consul allows 1m and more"),
      (["--check-interval", "10ms"], "--check-interval: Consul allows 1s and more"),
      (["--tagged-address", "wan"], "--tagged-address wan: NAME=HOST[:PORT] is allowed"),
      (["--drain-lag", "soon"], "The value 'soon' is invalid for '--drain-lag <drain-lag>'"),
      (["--advertise", "a:b"], "The value 'a:b' is invalid for '--advertise <host[:port]>'"),
    ] as [([String], String)])
  func bad(arguments: [String], text: String) async throws {
    let server = try ChildProcess(ChildProcess.built("greeter-server"), arguments)
    #expect(try await server.exit(within: .seconds(20)) == 64)
    #expect(server.lines.count { $0.hasPrefix("Error: \(text)") } == 1, "\(server.text)")
    #expect(!server.text.contains("listening"))
  }

  @Test(
    "what only the library can judge ends the server with its sentence",
    arguments: [
      (["--meta", "a.b=1"], #"metadata key "a.b""#),
      (["--meta", "consul-x=1"], #"reserved for Consul"#),
      (["--tagged-address", "wan_ipv4=host"], "an IPv4 address is allowed"),
      (["--check", "http=ftp://x"], "http://host… or https://host… is allowed"),
      (["--advertise", "0.0.0.0"], "is no address that others can connect to"),
      (["--id", ""], "its id is empty"),
    ] as [([String], String)])
  func refusedBefore(arguments: [String], text: String) async throws {
    let server = try ChildProcess(
      ChildProcess.built("greeter-server"),
      ["--host", "127.0.0.1", "--port", "0", "--consul", "127.0.0.1:1"] + arguments)
    #expect(try await server.exit(within: .seconds(20)) == 1)
    #expect(server.lines.count { $0.contains(text) } == 1, "\(server.text)")
  }
}
