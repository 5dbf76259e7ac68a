// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Glibc
import ProcessSupport
import TrunkConsul
import Trunkcall

extension Scenario {
  /// Each of five back ends gets SIGTERM under 500 calls a second, and a new one takes its place
  /// when it has ended.
  static let rollingRestart = Scenario(
    name: "rolling-restart",
    title: "a rolling restart fails no call, and nobody calls what is confirmed to be deregistered"
  ) { setting in
    let cluster = setting.cluster
    try await cluster.form()
    var servers: [ChildProcess] = []
    for host in Host.backEnds {
      servers.append(try await cluster.serve("rolling", port: 50_071, on: host))
    }
    let bare = try BareQuery("rolling")
    let channel = try GRPCChannel(
      to: "consul:///rolling", resolvers: [.consul()], balancer: "round_robin")
    try await channel.ready(within: .seconds(20))
    let traffic = Traffic(channel, perSecond: 500)
    try await until(within: .seconds(30), "five back ends") {
      bare.sightings.all.last?.addresses.count == 5 && Set(traffic.all.map(\.peer)).count == 5
    }
    var lateCalls = 0
    var behind = Sample()
    for _ in 0..<(setting.isFull ? 4 : 1) {
      for (number, host) in Host.backEnds.enumerated() {
        let address = "\(host.address):50071"
        let (stop, old) = (monotonic(), servers[number])
        old.signal(SIGTERM)
        guard try await old.exit(within: .seconds(20)) == 0 else {
          throw Broken("\(address) did not end well: \(old.text)")
        }
        guard let line = try await old.line(containing: "calls ", within: .seconds(1)),
          let late = line.split(separator: " ").last.flatMap({ Int($0) })
        else { throw Broken("\(address) did not say its calls: \(old.text)") }
        lateCalls += late
        guard let seen = bare.sightings.first(address, isThere: false, since: stop) else {
          throw Broken("\(address) is still in Consul")
        }
        let last = traffic.all.last { $0.peer == address }?.start ?? stop
        behind.values.append((Double(last) - Double(seen)) / 1e6)
        let again = monotonic()
        servers[number] = try await cluster.serve("rolling", port: 50_071, on: host)
        try await until(within: .seconds(20), "\(address) is called again") {
          traffic.all.contains { $0.peer == address && $0.start > again }
        }
      }
    }
    await traffic.stop()
    await channel.close()
    let report = setting.report
    report.figure("calls", traffic.all.count)
    report.figure("failed", traffic.failures.count)
    report.figure("restarts", behind.values.count)
    report.figure("calls after the deregistration was confirmed", lateCalls)
    report.figure("deregistration to last call, behind a bare query, median ms", behind.median)
    report.figure("deregistration to last call, behind a bare query, worst ms", behind.worst)
    report.expect(
      traffic.failures.isEmpty,
      "\(traffic.failures.count) failed: \(traffic.failures.first?.error.map { "\($0)" } ?? "")")
    report.expect(lateCalls == 0, "\(lateCalls) calls after the deregistration was confirmed")
  }
}
