// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Glibc
import ProcessSupport
import TrunkConsul
import Trunkcall

extension Scenario {
  /// Two back ends that stay, and one that is registered and deregistered again and again.
  static let convergence = Scenario(
    name: "convergence",
    title: "a change is in the calls at most 5 ms after a bare query has it, 30 ms at worst"
  ) { setting in
    try await setting.cluster.form()
    let flow = try await Flow(setting)
    try await flow.spaced()
    try await flow.limited()
    await flow.end()
  }
}

private struct Flow {
  static let service = "flow"
  static let host = Host.backEnds[2]
  static let address = "\(host.address):50063"

  let setting: Setting
  let cluster: Cluster
  let servers: [ChildProcess]
  let bare: BareQuery
  let channel: GRPCChannel
  let traffic: Traffic

  init(_ setting: Setting) async throws {
    self.setting = setting
    cluster = setting.cluster
    var servers: [ChildProcess] = []
    for number in 0..<3 {
      servers.append(
        try await cluster.serve(
          Flow.service, port: 50_061 + UInt16(number), registers: false, on: Host.backEnds[number]))
    }
    self.servers = servers
    for number in 0..<2 {
      try await cluster.register(
        "stays-\(number)", Flow.service, Host.backEnds[number], port: 50_061 + UInt16(number))
    }
    bare = try BareQuery(Flow.service)
    channel = try GRPCChannel(
      to: "consul:///\(Flow.service)", resolvers: [.consul()], balancer: "round_robin")
    try await channel.ready(within: .seconds(20))
    traffic = .inTurn(channel)
    try await until(within: .seconds(20), "two back ends") { [bare, traffic] in
      bare.sightings.all.last?.addresses.count == 2 && Set(traffic.all.map(\.peer)).count == 2
    }
  }

  func end() async {
    await traffic.stop()
    await channel.close()
    setting.report.expect(traffic.failures.isEmpty, "\(traffic.failures.count) failed calls")
    for number in 0..<2 {
      try? await cluster.deregister("stays-\(number)", Host.backEnds[number])
    }
  }

  private enum Change { case register, deregister }
  private func make(_ change: Change) async throws {
    switch change {
    case .register: try await cluster.register("flow", Flow.service, Flow.host, port: 50_063)
    case .deregister: try await cluster.deregister("flow", Flow.host)
    }
  }

  /// Milliseconds from the request to the agent: until the bare query had it, and to the end of the
  /// first call on the new back end, or to the start of the last on the old one.
  private func measured(_ change: Change) async throws -> (bare: Double, calls: Double) {
    let start = monotonic()
    try await make(change)
    try await until(within: .seconds(10), "the bare query's answer", every: .milliseconds(10)) {
      bare.sightings.first(Flow.address, isThere: change == .register, since: start) != nil
    }
    let seen = bare.sightings.first(Flow.address, isThere: change == .register, since: start)!
    let calls: UInt64
    switch change {
    case .register:
      try await until(within: .seconds(10), "a call on the new back end", every: .milliseconds(10))
      {
        traffic.all.contains { $0.peer == Flow.address && $0.end > start }
      }
      calls = traffic.all.first { $0.peer == Flow.address && $0.end > start }!.end
    case .deregister:
      try await Task.sleep(for: .milliseconds(700))
      calls = traffic.all.last { $0.peer == Flow.address }?.start ?? start
    }
    return (Double(seen - start) / 1e6, (Double(calls) - Double(start)) / 1e6)
  }

  /// Changes that no rate limit acts on: two within 1.5 s, where two a second are allowed.
  func spaced() async throws {
    let runs = setting.isFull ? 50 : 6
    for change in [Change.register, .deregister] { _ = try await measured(change) }
    var bare: [Change: Sample] = [:]
    var calls: [Change: Sample] = [:]
    var behind: [Change: Sample] = [:]
    for _ in 0..<runs {
      for change in [Change.register, .deregister] {
        let one = try await measured(change)
        bare[change, default: Sample()].values.append(one.bare)
        calls[change, default: Sample()].values.append(one.calls)
        behind[change, default: Sample()].values.append(one.calls - one.bare)
        try await Task.sleep(for: .milliseconds(500))
      }
    }
    setting.report.figure("runs", runs)
    for (change, name) in [
      (Change.register, "register to first call"), (.deregister, "deregister to last call"),
    ] {
      let (bare, calls, behind) = (bare[change]!, calls[change]!, behind[change]!)
      setting.report.figure("\(name), median ms", calls.median)
      setting.report.figure("\(name), worst ms", calls.worst)
      setting.report.figure("\(name), bare query's median ms", bare.median)
      setting.report.figure("\(name), bare query's worst ms", bare.worst)
      setting.report.figure("\(name), behind it, median ms", behind.median)
      setting.report.figure("\(name), behind it, worst ms", behind.worst)
      // The short form runs what is built without optimisation, where one call takes as long as both.
      let (median, worst) = setting.isFull ? (5.0, 30.0) : (20.0, 90.0)
      setting.report.expect(
        behind.median <= median, "\(name): \(behind.median) ms behind in the median")
      setting.report.expect(behind.worst <= worst, "\(name): \(behind.worst) ms behind at worst")
    }
  }

  /// Twenty changes use up the ten queries at once; the one after them waits half a second at most.
  func limited() async throws {
    var behind = Sample()
    for _ in 0..<(setting.isFull ? 10 : 1) {
      for _ in 0..<10 {
        for change in [Change.register, .deregister] {
          try await make(change)
          try await Task.sleep(for: .milliseconds(20))
        }
      }
      let one = try await measured(.register)
      behind.values.append(one.calls - one.bare)
      try await make(.deregister)
    }
    setting.report.figure("rate limited: register to first call, behind, worst ms", behind.worst)
    setting.report.expect(behind.worst <= 530, "rate limited: \(behind.worst) ms behind")
  }
}
