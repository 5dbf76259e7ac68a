// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Testing
import TrunkDiscovery

@testable import TrunkConsul

@Suite("Many registrations of one process", .serialized, .timeLimit(.minutes(2)))
struct ManyRegistrationsTests {
  @Test("more registrations than the agent allows connections: each is looked at, none is refused")
  func connections() async throws {
    let agent = try await RealAgent.start("limits { http_max_conns_per_client = 20 }")
    defer { agent.kill() }
    var timing = RegistrationTiming()
    timing.confirmInterval = .milliseconds(500)
    let log = Log()
    let registrations = (1...60).map { number in
      ConsulRegistration(
        ServiceTemplate("many", checks: []), of: TestServer(.host("127.0.0.1", UInt16(number))),
        agent: agent.agent, timing: timing, logger: log.logger)
    }
    let runs = registrations.map { registration in Task { try await registration.run() } }
    func areRegistered() -> Bool {
      registrations.allSatisfy { if case .registered = $0.state { true } else { false } }
    }
    // All begin in the same moment, and some of them are refused then.
    #expect(try await eventually(within: .seconds(30)) { areRegistered() })
    let before = log.lines.count
    // At least four looks of each.
    try await Task.sleep(for: .seconds(3))
    #expect(log.lines.count == before, "\(log.lines[before...])")
    #expect(areRegistered())
    for run in runs { run.cancel() }
    for run in runs { _ = await run.result }
  }
}
