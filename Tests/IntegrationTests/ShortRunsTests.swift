// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import ProcessSupport
import Testing

/// An agent refuses an address that has 200 connections, and keeps those of abandoned long polls.
@Suite("Short runs of a client", .timeLimit(.minutes(2)))
struct ShortRunsTests {
  @Test("203 runs one after the other do not lock their host out of Consul")
  func manyRuns() async throws {
    let fleet = try await Fleet.start()
    let server = try await fleet.server()
    #expect(
      try await fleet.eventually(within: .seconds(10)) {
        try await fleet.passing().contains(server.port)
      })
    let start = ContinuousClock.now
    let failed = try await withThrowingTaskGroup(of: [String].self) { group in
      // As fast as two cores allow: an agent has the less time to forget.
      for runner in 0..<4 {
        group.addTask {
          var failed: [String] = []
          for _ in stride(from: runner, to: 203, by: 4) {
            let client = try ChildProcess(
              ChildProcess.built("greeter-client"),
              ["--target", "consul://\(fleet.agent.address)/helloworld", "--count", "1"])
            if try await client.exit(within: .seconds(20)) != 0 { failed.append(client.text) }
          }
          return failed
        }
      }
      return try await group.reduce(into: []) { $0 += $1 }
    }
    print("203 runs: \(failed.count) failed, \(ContinuousClock.now - start)")
    #expect(failed.isEmpty, "\(failed.first ?? "")")
    try await fleet.agent.kill()
  }
}
