// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Glibc
import ProcessSupport
import TrunkConsul
import TrunkDiscovery
import Trunkcall

extension Scenario {
  /// Two back ends in the first data center, one in the second, whose servers are joined by WAN.
  static let datacenters = Scenario(
    name: "datacenters",
    title: "the second data center takes over when the first has nothing, and gives back"
  ) { setting in
    try await setting.cluster.form()
    try await setting.cluster.formSecond()
    let pair = try await Pair(setting)
    // It is asked again every second, ±20 %, and the answer takes its time.
    try await pair.define("pair-anywhere")
    try await pair.run(
      "prepared query, interval 1 s", "consul:///pair-anywhere?prepared&interval=1s", bound: 1.5,
      mayFail: true)
    // Both have their own long poll: nothing fails, and it takes no longer than a change does.
    try await pair.run(
      "dc=dc1,dc2", "consul:///pair?dc=dc1,dc2", bound: 1, mayFail: false)
  }
}

/// Back ends of `pair` that come and go.
private struct Pair {
  static let port: UInt16 = 50_101
  static let first = Array(Host.backEnds[0..<2])
  static let far = "\(Host.second.address):\(port)"

  let setting: Setting
  let cluster: Cluster
  /// In the second data center; it stays.
  let second: ChildProcess

  init(_ setting: Setting) async throws {
    self.setting = setting
    cluster = setting.cluster
    second = try await cluster.serve("pair", port: Pair.port, on: .second)
  }

  private func startFirst() async throws -> [ChildProcess] {
    var servers: [ChildProcess] = []
    for host in Pair.first {
      servers.append(try await cluster.serve("pair", port: Pair.port, on: host))
    }
    return servers
  }

  /// A prepared query for the service in the first data center, else in the second.
  func define(_ name: String) async throws {
    let body = """
      {"Name": "\(name)", "Service": {"Service": "pair", "OnlyPassing": true,
      "Failover": {"Datacenters": ["dc2"]}}}
      """
    let process = try ChildProcess(
      "/usr/bin/env",
      ["curl", "-sSf", "-X", "POST", "-d", body, "http://127.0.0.1:8500/v1/query"])
    guard try await process.exit(within: .seconds(10)) == 0 else {
      throw Broken("no prepared query: \(process.text)")
    }
  }

  /// - Parameters:
  ///   - bound: seconds within which calls follow what a bare query sees of the first data center.
  ///   - mayFail: whether calls may fail meanwhile that do not wait for a server.
  func run(_ name: String, _ target: String, bound: Double, mayFail: Bool) async throws {
    let report = setting.report
    let bare = try BareQuery("pair")
    var servers = try await startFirst()
    let channel = try GRPCChannel(
      to: target, resolvers: [.consul()], balancer: "round_robin")
    var options = ChannelOptions()
    options.defaultServiceConfig = try ServiceConfig(
      json: """
        {"loadBalancingConfig": [{"round_robin": {}}],
        "methodConfig": [{"name": [{}], "waitForReady": true}]}
        """)
    let waiting = try GRPCChannel(to: target, resolvers: [.consul()], options: options)
    for channel in [channel, waiting] { try await channel.ready(within: .seconds(20)) }
    let (traffic, waits) = (Traffic(channel, perSecond: 200), Traffic(waiting, perSecond: 200))
    try await until(within: .seconds(20), "\(name): both of the first are called") {
      Set(traffic.all.suffix(100).map(\.peer))
        == Set(Pair.first.map { "\($0.address):\(Pair.port)" })
    }
    var there = Sample()
    var back = Sample()
    for _ in 0..<(setting.isFull ? 5 : 1) {
      let start = monotonic()
      for server in servers { server.signal(SIGTERM) }
      let gone = try await seen(bare, isEmpty: true, since: start)
      try await until(within: .seconds(20), "\(name): the second is called") {
        traffic.all.contains { $0.start > start && $0.peer == Pair.far }
      }
      let first = traffic.all.first { $0.start > start && $0.peer == Pair.far }
      there.values.append((Double(first?.end ?? start) - Double(gone)) / 1e6)
      for server in servers { _ = try await server.exit(within: .seconds(20)) }
      try await Task.sleep(for: .seconds(1))

      let again = monotonic()
      servers = try await startFirst()
      let came = try await seen(bare, isEmpty: false, since: again)
      try await Task.sleep(for: .seconds(2))
      let last = traffic.all.last { $0.peer == Pair.far }
      back.values.append((Double(last?.start ?? again) - Double(came)) / 1e6)
    }
    for one in [traffic, waits] { await one.stop() }
    for one in [channel, waiting] { await one.close() }
    for server in servers {
      server.signal(SIGTERM)
      _ = try await server.exit(within: .seconds(20))
    }

    report.figure("\(name): first empty to first call on the second, worst ms", there.worst)
    report.figure("\(name): first is back to last call on the second, worst ms", back.worst)
    report.figure("\(name): calls", traffic.all.count + waits.all.count)
    report.figure("\(name): failed", traffic.failures.count)
    report.figure("\(name): failed, with waitForReady", waits.failures.count)
    report.expect(there.worst <= bound * 1e3, "\(name): \(there.worst) ms to the second")
    report.expect(back.worst <= bound * 1e3, "\(name): \(back.worst) ms back to the first")
    let failures = (mayFail ? [] : traffic.failures) + waits.failures
    report.expect(
      failures.isEmpty,
      "\(name): \(failures.count) failed: \(failures.first?.error.map { "\($0)" } ?? "")")
  }

  /// When the bare query, which is of the first data center, saw it.
  private func seen(_ bare: BareQuery, isEmpty: Bool, since start: UInt64) async throws -> UInt64 {
    func time() -> UInt64? {
      bare.sightings.all.first { $0.time > start && $0.addresses.isEmpty == isEmpty }?.time
    }
    try await until(within: .seconds(20), "the bare query's answer") { time() != nil }
    return time() ?? start
  }
}
