// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import FoundationEssentials
import Testing
import TrunkTesting

@testable import TrunkConsul

@Suite("Talking to an agent", .timeLimit(.minutes(1))) struct AgentClientTests {
  private let get = HTTPRequest(.get, "v1", "x")

  private func send(
    _ request: HTTPRequest, to agent: ScriptedConsulAgent, timeout: Duration = .seconds(5)
  ) async throws -> HTTPResponse {
    try await AgentClient(ConsulAgent(agent.address)).send(request, timeout: timeout)
  }

  @Test("requests one after the other stay on one connection") func reuse() async throws {
    let agent = try await ScriptedConsulAgent.start(answering: [.json("[]", index: 1)])
    let client = try AgentClient(ConsulAgent("http://\(agent.address)/pre/fix", basicAuth: "a:b"))
    for _ in 0..<3 { #expect(try await client.send(get, timeout: .seconds(5)).status == 200) }
    #expect(agent.requests.map(\.connection) == [0, 0, 0])
    #expect(agent.requests.map(\.path) == Array(repeating: "/pre/fix/v1/x", count: 3))
    #expect(agent.requests[0].headers["authorization"] == "Basic YTpi")
    #expect(agent.requests[0].headers["host"] == agent.address)
    agent.stop()
  }

  @Test("a read on a kept connection that has gone is sent once more; a write gets a new one")
  func stale() async throws {
    let once = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    let agent = try await ScriptedConsulAgent.start(answering: [
      .raw([once]), .close, .raw([once]), .raw([once]),
    ])
    let client = try AgentClient(ConsulAgent(agent.address))
    _ = try await client.send(get, timeout: .seconds(5))
    #expect(try await client.send(get, timeout: .seconds(5)).status == 200)
    #expect(agent.requests.map(\.connection) == [0, 0, 1])
    _ = try await client.send(HTTPRequest(.put, "v1", "y"), timeout: .seconds(5))
    #expect(agent.requests.map(\.connection) == [0, 0, 1, 2])
    agent.stop()
  }

  @Test("a fresh connection that is closed without an answer is no reason to try again")
  func limit() async throws {
    let agent = try await ScriptedConsulAgent.start(answering: [.json("[]", index: 1)])
    agent.resetConnections(1)
    await #expect {
      try await send(get, to: agent)
    } throws: { error in
      guard case .unreachable? = error as? ConsulError else { return false }
      return "\(error)".hasPrefix("consul \(agent.address): ")
    }
    #expect(agent.requests.isEmpty)
    agent.stop()
  }

  @Test("nobody there: one line with the address") func refused() async throws {
    let agent = try await ScriptedConsulAgent.start(answering: [])
    agent.stop()
    let address = agent.address
    let gone = try await eventually {
      do {
        _ = try await send(get, to: agent)
        return false
      } catch { return "\(error)" == "consul \(address): connection refused" }
    }
    #expect(gone)
  }

  @Test("an agent that says nothing is given up in time") func hang() async throws {
    let agent = try await ScriptedConsulAgent.start(answering: [.hang])
    await #expect(
      throws: ConsulError.timedOut(agent: agent.address, after: .milliseconds(100))
    ) { try await send(get, to: agent, timeout: .milliseconds(100)) }
    agent.stop()
  }

  @Test("a drip of bytes does not stretch the deadline") func drip() async throws {
    let agent = try await ScriptedConsulAgent.start(answering: [
      .raw(Array(repeating: "x", count: 1_000), pause: .milliseconds(20))
    ])
    let start = ContinuousClock.now
    await #expect(throws: ConsulError.self) {
      try await send(get, to: agent, timeout: .milliseconds(300))
    }
    #expect(ContinuousClock.now - start < .seconds(3))
    agent.stop()
  }

  @Test("slow chunks are one answer") func chunks() async throws {
    let agent = try await ScriptedConsulAgent.start(answering: [
      .chunked(["[", "1,", "2]"], index: 9, pause: .milliseconds(10))
    ])
    let response = try await send(get, to: agent)
    #expect(String(decoding: response.body, as: UTF8.self) == "[1,2]")
    #expect(response.headers["X-Consul-Index"] == "9")
    agent.stop()
  }

  @Test(
    "an agent that answers garbage is one clear error",
    arguments: [
      ("SSH-2.0-OpenSSH_9.2p1\r\n\r\n", "the answer is not HTTP/1.1"),
      ("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n[", "the connection ended in the middle"),
      ("HTTP/1.1 200 OK\r\nbad\r\n\r\n", "the answer has a malformed header"),
      (
        "HTTP/1.1 500 X\r\nContent-Length: 20\r\n\r\nNo path to datacentr",
        "500 No path to datacentr"
      ),
    ])
  func garbage(bytes: String, reason: String) async throws {
    let agent = try await ScriptedConsulAgent.start(answering: [.raw([bytes], close: true)])
    await #expect {
      try await send(get, to: agent)
    } throws: { "\($0)".hasPrefix("consul \(agent.address): \(reason)") }
    agent.stop()
  }

  @Test("a token file is read again when it changed, and after a 403")
  func tokenFile() async throws {
    let path = FileManager.default.temporaryDirectory.path + "/token-\(UUID().uuidString)"
    defer { try? FileManager.default.removeItem(atPath: path) }
    try Data("one\n".utf8).write(to: URL(filePath: path))
    let agent = try await ScriptedConsulAgent.start { request in
      request.headers["x-consul-token"] == "two"
        ? .answer(200) : .answer(403, body: "ACL not found")
    }
    let client = try AgentClient(ConsulAgent(agent.address, token: .file(path)))
    await #expect(
      throws: ConsulError.refused(agent: agent.address, status: 403, text: "ACL not found")
    ) { try await client.send(get, timeout: .seconds(5)) }
    // Even within the clock tick of the file system.
    try Data("two".utf8).write(to: URL(filePath: path))
    #expect(try await client.send(get, timeout: .seconds(5)).status == 200)
    try FileManager.default.removeItem(atPath: path)
    await #expect(throws: ConsulError.tokenFile(path: path, reason: "cannot be read")) {
      try await client.send(get, timeout: .seconds(5))
    }
    agent.stop()
  }

  @Test("what the environment says is sent: the file's token, basic authentication, the tenancy")
  func environment() async throws {
    let path = FileManager.default.temporaryDirectory.path + "/token-\(UUID().uuidString)"
    defer { try? FileManager.default.removeItem(atPath: path) }
    try Data(" from-file\n".utf8).write(to: URL(filePath: path))
    let agent = try await ScriptedConsulAgent.start { request in
      request["index"] == nil ? .json(instances(1), index: 5) : .hang
    }
    defer { agent.stop() }
    let environment = ConsulAgent(environment: [
      "CONSUL_HTTP_ADDR": "http://\(agent.address)/behind/proxy", "CONSUL_HTTP_TOKEN": "weaker",
      "CONSUL_HTTP_TOKEN_FILE": path, "CONSUL_HTTP_AUTH": "a:b", "CONSUL_NAMESPACE": "n",
    ])
    let watching = try Watching(
      ConsulResolver(ConsulOptions(agent: environment), watches: SharedWatches()), "consul:///x")
    #expect(await watching.next()?.ports == [1])
    let request = try #require(agent.requests.first)
    #expect(request.path == "/behind/proxy/v1/health/service/x")
    #expect(request.headers["x-consul-token"] == "from-file")
    #expect(request.headers["authorization"] == "Basic YTpi")
    #expect(request["ns"] == "n")
    // An answer would come compressed only if that were asked for.
    #expect(request.headers["accept-encoding"] == nil)
    _ = await watching.stop()
  }

  @Test("an error has the agent's own text, without the credentials that it may repeat")
  func secretInError() async throws {
    let agent = try await ScriptedConsulAgent.start { request in
      let token = request.headers["x-consul-token"] ?? ""
      let auth = request.headers["authorization"] ?? ""
      return .answer(500, body: "rpc error: token \(token), \(auth), pass-word: lacks service:read")
    }
    defer { agent.stop() }
    let client = try AgentClient(
      ConsulAgent(agent.address, token: .value("s3cret"), basicAuth: "user:pass-word"))
    await #expect(
      throws: ConsulError.refused(
        agent: agent.address, status: 500,
        text: "rpc error: token ***, Basic ***, ***: lacks service:read")
    ) { try await client.send(get, timeout: .seconds(5)) }
  }

  @Test("a body over the limit is one clear error, whatever its length says") func bodyLimit()
    async throws
  {
    let agent = try await ScriptedConsulAgent.start { request in
      request.number == 0
        ? .answer(200, body: String(repeating: "x", count: 2_000))
        : .chunked(Array(repeating: String(repeating: "x", count: 500), count: 4), index: 1)
    }
    defer { agent.stop() }
    var limits = HTTPLimits()
    limits.body = 1_000
    let client = try AgentClient(ConsulAgent(agent.address), limits: limits)
    for _ in 0..<2 {
      await #expect {
        try await client.send(get, timeout: .seconds(5))
      } throws: { error in
        guard case .malformed(agent.address, let reason)? = error as? ConsulError else {
          return false
        }
        return reason.contains("1000")
      }
    }
  }

  @Test("cancelling ends a request at once") func cancel() async throws {
    let agent = try await ScriptedConsulAgent.start(answering: [.hang])
    let task = Task { try await send(get, to: agent, timeout: .seconds(60)) }
    #expect(try await eventually { agent.requests.count == 1 })
    task.cancel()
    await #expect(throws: CancellationError.self) { try await task.value }
    agent.stop()
  }
}
