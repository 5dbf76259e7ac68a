// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import FoundationEssentials
import ProcessSupport
import Testing
import TrunkTesting

@Suite("greeter-client --explain", .timeLimit(.minutes(1)))
struct ExplainTests {
  private func run(_ agent: String, _ arguments: String...) async throws -> (Int32?, String) {
    let client = try ChildProcess(
      ChildProcess.built("greeter-client"),
      ["--target", "consul://\(agent)/helloworld", "--explain"] + arguments)
    let code = try await client.exit(within: .seconds(20))
    return (code, client.text)
  }

  @Test("prints and exits: 1 without a usable instance, 0 with one; as JSON too") func prints()
    async throws
  {
    let fleet = try await Fleet.start()
    let none = try await run(fleet.agent.address)
    #expect(none.0 == 1)
    #expect(none.1.contains("has 0 usable instances of 0"))
    let server = try await fleet.server()
    #expect(
      try await fleet.eventually(within: .seconds(10)) {
        try await fleet.passing().contains(server.port)
      })
    let one = try await run(fleet.agent.address)
    #expect(one.0 == 0)
    #expect(one.1.contains("has 1 usable instance of 1"))
    let json = try await run(fleet.agent.address, "--json")
    #expect(json.0 == 0)
    struct Shown: Decodable { var usable: Int }
    let line = json.1.split(separator: "\n").first { $0.hasPrefix("{") } ?? ""
    #expect(try JSONDecoder().decode(Shown.self, from: Data(line.utf8)).usable == 1)
    try await fleet.agent.kill()
  }

  @Test("an agent that is down is one line and exit code 2", arguments: [[], ["--json"]])
  func agentIsDown(_ arguments: [String]) async throws {
    let agent = try await ScriptedConsulAgent.start { _ in .hang }
    let address = agent.address
    agent.stop()
    let down = try await arguments.isEmpty ? run(address) : run(address, arguments[0])
    #expect(down.0 == 2)
    #expect(
      down.1.trimmingPrefix { $0.isNewline }
        == "greeter-client: consul \(address): connection refused\n")
  }
}
