// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import FoundationEssentials
import Glibc
import ProcessSupport
import TrunkConsul
import Trunkcall

extension Scenario {
  /// 2,000 instances, of which 100 a second come or go, at a real agent; each is a connection of
  /// the channel.
  static let flapping = Scenario(
    name: "flapping",
    title: "a service of 2,000 instances that flaps: few updates, and the last state"
  ) { setting in
    let agent = try await ConsulProcess.start()
    let count = setting.isFull ? 2_000 : 500
    let seconds = setting.isFull ? 30 : 5
    let server = try await setting.cluster.serve(
      "-", port: 50_091, registers: false, on: .client, listening: "0.0.0.0")
    defer { server.signal(SIGKILL) }
    func flap(_ seconds: Int) throws -> ChildProcess {
      try ChildProcess(
        "/usr/bin/env",
        ["python3", script("flap.py"), agent.address, "flapping", "50091", "\(count)", "100"]
          + [String(seconds)])
    }
    try await agent.ready()
    let registering = try flap(0)
    guard try await registering.exit(within: .seconds(60)) == 0 else {
      throw Broken("not registered: \(registering.text)")
    }
    let resolver = RecordingResolver()
    let channel = try GRPCChannel(
      to: "consul://\(agent.address)/flapping", resolvers: [resolver], balancer: "round_robin")
    try await channel.ready(within: .seconds(30))
    let traffic = Traffic(channel, perSecond: 200)
    try await until(within: .seconds(60), "all instances are called") {
      Set(traffic.all.map(\.peer)).count > count * 9 / 10
    }

    let updates = resolver.record.sightings.all.count
    let (before, start) = (processorSeconds(), monotonic())
    let flapping = try flap(seconds)
    guard try await flapping.exit(within: .seconds(120)) == 0,
      let line = flapping.lines.last(where: { $0.hasPrefix("done") })
    else { throw Broken("not flapping: \(flapping.text)") }
    let (after, end) = (processorSeconds(), monotonic())
    let words = line.split(separator: " ").map(String.init)
    let (changes, left) = (Int(words[1]) ?? 0, Int(words[3]) ?? 0)
    try await until(
      within: .seconds(10), "the last state, \(left) instances", every: .milliseconds(5)
    ) {
      resolver.record.sightings.all.last?.addresses.count == left
    }
    let report = setting.report
    let wall = Double(end - start) / 1e9
    let used = (after - before) / wall
    let coalesced = resolver.record.sightings.all.count - updates
    report.figure("instances", count)
    report.figure("changes", changes)
    report.figure("changes a second", Double(changes) / wall)
    report.figure("updates of the channel", coalesced)
    report.figure("processor of the client, % of a core", used * 100)
    report.figure(
      "the last state after, ms",
      Double(
        (resolver.record.sightings.all.last?.time ?? end)
          - min(end, resolver.record.sightings.all.last?.time ?? end)) / 1e6)
    // The rate limit: ten at once, two a second.
    report.expect(Double(coalesced) <= 10 + 2 * wall + 2, "\(coalesced) updates in \(wall) s")
    await traffic.stop()
    report.figure("calls", traffic.all.count)
    report.expect(
      traffic.failures.isEmpty,
      "\(traffic.failures.count) failed: \(traffic.failures.first?.error.map { "\($0)" } ?? "")")
    try await expectSame(agent, resolver.record, report)
    await channel.close()
  }

  /// The catalogue's addresses are the channel's.
  private static func expectSame(
    _ agent: ConsulProcess, _ record: RecordingResolver.Record, _ report: Report
  ) async throws {
    struct Entry: Decodable {
      struct Service: Decodable {
        enum CodingKeys: String, CodingKey { case address = "Address", port = "Port" }
        var address: String
        var port: Int
      }
      enum CodingKeys: String, CodingKey { case service = "Service" }
      var service: Service
    }
    var request = HTTPRequest(.get)
    request.path = ["v1", "health", "service", "flapping"]
    let answer = try await AgentClient(ConsulAgent(agent.address)).send(
      request, timeout: .seconds(10))
    let entries = try JSONDecoder().decode([Entry].self, from: Data(answer.body))
    let there = Set(entries.map { "\($0.service.address):\($0.service.port)" })
    let seen = record.sightings.all.last?.addresses ?? []
    report.expect(
      there == seen, "\(there.symmetricDifference(seen).count) instances differ at the end")
  }

  private static func processorSeconds() -> Double {
    var usage = rusage()
    getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
    func seconds(_ time: timeval) -> Double { Double(time.tv_sec) + Double(time.tv_usec) / 1e6 }
    return seconds(usage.ru_utime) + seconds(usage.ru_stime)
  }
}
