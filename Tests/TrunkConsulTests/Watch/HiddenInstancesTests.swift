// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Testing
import TrunkTesting

@testable import TrunkConsul

@Suite("Empty answers under ACLs (Consul, ACL)", .timeLimit(.minutes(1)))
struct HiddenInstancesTests {
  private struct Case: Sendable, CustomTestStringConvertible {
    var headers: [String]
    var token: String
    var note: String
    var asksAgent: Bool
    var testDescription: String { "\(headers) \(token)" }
  }
  private static let none = "no instance is registered"
  private static let noToken = "no instance is visible: the agent has ACLs and no token was sent"
  private static let token =
    "no instance is visible: the agent has ACLs and the token may not see it"

  @Test(
    "newer agents say by headers whether ACLs hide instances; older ones are asked",
    arguments: [
      Case(
        headers: ["X-Consul-Results-Filtered-By-ACLs: true"], token: "?token=t", note: token,
        asksAgent: false),
      Case(
        headers: ["X-Consul-Default-ACL-Policy: deny"], token: "", note: noToken, asksAgent: false),
      Case(
        headers: ["X-Consul-Default-ACL-Policy: allow"], token: "", note: none, asksAgent: false),
      // With a token its own rules hold.
      Case(
        headers: ["X-Consul-Default-ACL-Policy: allow"], token: "?token=t", note: token,
        asksAgent: true),
      Case(headers: [], token: "", note: noToken, asksAgent: true),
    ]) private func notes(_ one: Case) async throws
  {
    let agent = try await ScriptedConsulAgent.start { request in
      if request.path == "/v1/agent/self" { return .answer(403, body: "Permission denied") }
      return request["index"] == nil
        ? .answer(200, headers: ["X-Consul-Index: 5"] + one.headers, body: "[]") : .hang
    }
    defer { agent.stop() }
    let watching = try Watching(
      ConsulResolver(ConsulOptions(agent: ConsulAgent()), watches: SharedWatches()),
      "consul://\(agent.address)/hidden\(one.token)")
    let note = await watching.next()?.note
    #expect(note == "consul \(agent.address): \(one.note)")
    #expect(agent.requests.contains { $0.path == "/v1/agent/self" } == one.asksAgent)
    _ = await watching.stop()
  }
}
