// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Testing
import TrunkDiscovery
import TrunkSockets
import TrunkTesting

@testable import TrunkConsul

@Suite("Many registrations of one process", .serialized, .timeLimit(.minutes(2)))
struct ManyRegistrationsTests {
  @Test("more registrations than the agent allows connections: none is refused, all of them leave")
  func connections() async throws {
    let agent = try await RealAgent.start("limits { http_max_conns_per_client = 50 }")
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
    #expect(try await eventually(within: .seconds(30)) { areRegistered() })
    // At least four looks of each.
    try await Task.sleep(for: .seconds(3))
    let troubles = log.lines.filter { $0.hasPrefix("warning") }
    #expect(troubles.isEmpty, "\(troubles.count): \(troubles.first ?? "")")
    #expect(areRegistered())
    // All leave in the same moment.
    for registration in registrations { registration.shutDown() }
    for run in runs { try await run.value }
    let left = log.lines.filter { $0.contains("could not be confirmed") || $0.hasPrefix("warning") }
    #expect(left.isEmpty, "\(left.count): \(left.first ?? "")")
    #expect(log.lines.count { $0.contains("info deregistered many-") } == 60)
    // Not all of them are seen in maintenance within their second.
    print("\(log.lines.count { $0.contains("no maintenance for") }) of 60 without maintenance")
    #expect(try await agent.get("v1", "health", "service", "many") == "[]")
  }

  @Test("300 watches that begin in one moment: each has its first answer, none is refused")
  func watches() async throws {
    let agent = try await RealAgent.start()
    defer { agent.kill() }
    let watches = SharedWatches()
    let first = Collected()
    var tasks: [Task<Void, Never>] = []
    for number in 1...300 {
      let snapshots = try watches.subscribe(
        .init(agent: agent.agent, query: ConsulQuery("w\(number)")), WatchOptions())
      tasks.append(
        Task.detached {
          for await snapshot in snapshots { return first.add(snapshot) }
        })
    }
    for task in tasks { await task.value }
    #expect(first.all.count == 300)
    let failed = first.all.filter { !$0.isAnswer }
    #expect(failed.isEmpty, "\(failed.count): \(failed.first?.note ?? "")")
  }

  private final class Collected: Sendable {
    private let snapshots = Locked<[BlockingQuery.Snapshot]>([])
    var all: [BlockingQuery.Snapshot] { snapshots.withLock { $0 } }
    func add(_ snapshot: BlockingQuery.Snapshot) { snapshots.withLock { $0.append(snapshot) } }
  }

  @Test("at a slow agent all of many registrations that leave in one moment are deregistered")
  func slow() async throws {
    let agent = try await ScriptedConsulAgent.start { request in
      try? await Task.sleep(for: .milliseconds(400))
      return .json(request.path.hasSuffix("/self") ? "{}" : "[]", index: 1)
    }
    defer { agent.stop() }
    let registrations = (1...120).map { number in
      ConsulRegistration(
        ServiceTemplate("many", checks: []), of: TestServer(.host("127.0.0.1", UInt16(number))),
        agent: ConsulAgent(agent.address), timing: RegistrationTiming(), logger: Log().logger)
    }
    let runs = registrations.map { registration in Task { try await registration.run() } }
    func areRegistered() -> Bool {
      registrations.allSatisfy { if case .registered = $0.state { true } else { false } }
    }
    #expect(try await eventually(within: .seconds(30)) { areRegistered() })
    for registration in registrations { registration.shutDown() }
    for run in runs { try await run.value }
    let left = Set(agent.requests.map(\.path).filter { $0.contains("/deregister/") })
    #expect(left.count == 120)
  }
}
