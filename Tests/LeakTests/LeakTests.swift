// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import ProcessSupport
import Testing

@Suite("Objects that are made and dropped", .timeLimit(.minutes(3)))
struct LeakTests {
  @Test("1,000 servers, channels, registrations, resolvers and loop groups leave nothing behind")
  func thousand() async throws {
    let process = try ChildProcess(ChildProcess.built("leak-check"), ["1000"])
    let code = try await process.exit(within: .seconds(150))
    #expect(code == 0, "\(process.text)")
    #expect(process.lines.contains("nothing is left"), "\(process.text)")
  }

  @Test("20,000 cancelled, expired, failed, retried and hedged calls leave nothing behind")
  func calls() async throws {
    let process = try ChildProcess(ChildProcess.built("leak-check"), ["calls", "20000"])
    let code = try await process.exit(within: .seconds(150))
    #expect(code == 0, "\(process.text)")
    #expect(process.lines.contains("nothing is left"), "\(process.text)")
  }
}
