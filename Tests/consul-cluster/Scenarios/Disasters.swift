// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Glibc
import ProcessSupport
import TrunkConsul
import TrunkDiscovery
import TrunkSockets
import Trunkcall

extension Scenario {
  /// Under 200 calls a second over round_robin.
  static let disasters = Scenario(
    name: "disasters", title: "no disaster of Consul fails a call that a healthy back end gets"
  ) { setting in
    try await setting.cluster.form()
    let stage = try await Stage(setting)
    try await stage.run("leader killed", stage.leaderKilled)
    try await stage.run("leader partitioned", stage.leaderPartitioned)
    try await stage.run("client's agent restarted", stage.agentRestarted)
    try await stage.run("client's agent restarted empty", stage.agentRestartedEmpty)
    try await stage.run("a back end's agent killed", stage.backEndAgentKilled)
    try await stage.run("all servers down", stage.serversDown)
    try await stage.run("a back end's host vanishes", stage.hostVanishes)
  }
}

/// Back ends of `orders` on their hosts, and one more server, which is registered by hand to see how
/// long a change takes.
private struct Stage {
  static let probe = Host.backEnds[4]
  static let probePort: UInt16 = 50_052
  static let retrying = """
    {"loadBalancingConfig": [{"outlier_detection_experimental": {"interval": "1s", \
    "baseEjectionTime": "10s", "maxEjectionPercent": 20, "failurePercentageEjection": \
    {"threshold": 40, "minimumHosts": 3, "requestVolume": 20}, \
    "childPolicy": [{"round_robin": {}}]}}], "methodConfig": [{"name": [{}], "retryPolicy": \
    {"maxAttempts": 3, "initialBackoff": "0.01s", "maxBackoff": "0.1s", "backoffMultiplier": 2, \
    "retryableStatusCodes": ["UNAVAILABLE"]}}]}
    """

  let setting: Setting
  let cluster: Cluster
  let servers: [ChildProcess]
  let bare: BareQuery

  init(_ setting: Setting) async throws {
    self.setting = setting
    cluster = setting.cluster
    var servers: [ChildProcess] = []
    for host in Host.backEnds { servers.append(try await cluster.serve("orders", on: host)) }
    servers.append(
      try await cluster.serve("orders", port: Stage.probePort, registers: false, on: Stage.probe))
    self.servers = servers
    bare = try BareQuery("orders")
    try await allThere()
  }

  private static let addresses = Set(Host.backEnds.map { "\($0.address):50051" })
  private static let probeAddress = "\(probe.address):\(probePort)"

  private func allThere() async throws {
    try await until(within: .seconds(60), "five back ends and not the probe") { [bare] in
      bare.sightings.all.last?.addresses == Stage.addresses
    }
  }

  /// What a disaster gets, and what it measures with.
  struct Scene {
    let record: RecordingResolver.Record
    let bare: BareQuery
    let report: (String, Double) -> Void

    /// The time from `start` until both views have the address, or do not have it any more.
    func converged(
      _ address: String, isThere: Bool, since start: UInt64, within limit: Duration, _ what: String
    ) async throws {
      func times() -> (UInt64, UInt64)? {
        guard
          let bare = self.bare.sightings.first(address, isThere: isThere, since: start),
          let view = record.sightings.first(address, isThere: isThere, since: start)
        else { return nil }
        return (bare, view)
      }
      do { try await until(within: limit, what) { times() != nil } } catch {
        let seen = bare.sightings.first(address, isThere: isThere, since: start) != nil
        throw Broken("\(error), by the bare query \(seen ? "it is" : "neither")")
      }
      let (bare, view) = times()!
      report("\(what): bare query, s", Double(bare - start) / 1e9)
      report("\(what): channel's view, s", Double(view - start) / 1e9)
      report("\(what): behind, ms", (Double(view) - Double(bare)) / 1e6)
    }
  }

  /// Two channels: one as it is, one with retries and outlier detection.
  func run(_ name: String, _ disaster: (Scene) async throws -> Host?) async throws {
    let report = setting.report
    let resolver = RecordingResolver()
    let plain = try GRPCChannel(
      to: "consul:///orders", resolvers: [resolver], balancer: "round_robin")
    var options = ChannelOptions()
    options.defaultServiceConfig = try ServiceConfig(json: Stage.retrying)
    let retrying = try GRPCChannel(
      to: "consul:///orders", resolvers: [.consul()], options: options)
    for channel in [plain, retrying] { try await channel.ready(within: .seconds(20)) }
    let traffic = Traffic(plain, perSecond: 200)
    let retried = Traffic(retrying, perSecond: 200)
    try await Task.sleep(for: .seconds(1))

    let scene = Scene(record: resolver.record, bare: bare) {
      report.figure("\(name): \($0)", $1)
    }
    let start = monotonic()
    var vanished: Host?
    do { vanished = try await disaster(scene) } catch {
      let explanation = await plain.explain()
      report.expect(false, "\(name): \(error)\n\(explanation)")
    }
    try await Task.sleep(for: .seconds(1))
    await traffic.stop()
    await retried.stop()

    report.figure("\(name): calls", traffic.all.count + retried.all.count)
    let excused = vanished.map { "\($0.address):50051" }
    let failures = traffic.failures.filter { $0.error?.peer != excused || excused == nil }
    report.figure("\(name): failed, of healthy back ends", failures.count)
    report.expect(
      failures.isEmpty,
      "\(name): \(failures.count) failed: \(failures.first?.error.map { "\($0)" } ?? "")")
    report.figure("\(name): failed with retries", retried.failures.count)
    report.expect(
      retried.failures.isEmpty,
      "\(name), with retries: \(retried.failures.count) failed: "
        + (retried.failures.first?.error.map { "\($0)" } ?? ""))
    if excused != nil {
      let lost = traffic.failures.filter { $0.error?.peer == excused }
      report.figure("\(name): failed on the vanished host", lost.count)
      report.figure(
        "\(name): last of them begun after, s",
        lost.map { Double($0.start - min(start, $0.start)) / 1e9 }.max() ?? 0)
    }
    for channel in [plain, retrying] { await channel.close() }
    try await cluster.settled()
    try await allThere()
  }

  /// The probe comes; both views see it.
  private func probeComes(_ scene: Scene, since start: UInt64) async throws {
    try await cluster.register("probe", "orders", Stage.probe, port: Stage.probePort)
    try await scene.converged(
      Stage.probeAddress, isThere: true, since: start, within: .seconds(90), "a registration seen")
  }
  private func probeGoes() async throws { try await cluster.deregister("probe", Stage.probe) }

  func leaderKilled(_ scene: Scene) async throws -> Host? {
    guard let leader = await cluster.leader() else { throw Broken("no leader") }
    let start = monotonic()
    try await cluster.kill(leader)
    try await probeComes(scene, since: start)
    try cluster.launch(leader)
    try await probeGoes()
    return nil
  }

  func leaderPartitioned(_ scene: Scene) async throws -> Host? {
    guard let leader = await cluster.leader() else { throw Broken("no leader") }
    let start = monotonic()
    try await cluster.partition(leader)
    do { try await probeComes(scene, since: start) } catch {
      try await cluster.heal(leader)
      try? await probeGoes()
      throw error
    }
    try await cluster.heal(leader)
    try await probeGoes()
    return nil
  }

  func agentRestarted(_ scene: Scene) async throws -> Host? {
    let start = monotonic()
    try await cluster.kill(.client)
    try await Task.sleep(for: .seconds(2))
    try cluster.launch(.client)
    try await probeComes(scene, since: start)
    try await probeGoes()
    return nil
  }

  func agentRestartedEmpty(_ scene: Scene) async throws -> Host? {
    let start = monotonic()
    try await cluster.kill(.client)
    try cluster.forget(.client)
    try await Task.sleep(for: .seconds(2))
    try cluster.launch(.client)
    try await probeComes(scene, since: start)
    try await probeGoes()
    return nil
  }

  func backEndAgentKilled(_ scene: Scene) async throws -> Host? {
    let host = Host.backEnds[0]
    let start = monotonic()
    try await cluster.kill(host)
    try await scene.converged(
      "\(host.address):50051", isThere: false, since: start, within: .seconds(60),
      "its absence seen")
    let again = monotonic()
    try cluster.launch(host)
    try await scene.converged(
      "\(host.address):50051", isThere: true, since: again, within: .seconds(60), "its return seen")
    return nil
  }

  func serversDown(_ scene: Scene) async throws -> Host? {
    for host in Host.servers { try await cluster.kill(host) }
    try await Task.sleep(for: .seconds(setting.isFull ? 20 : 5))
    let start = monotonic()
    for host in Host.servers { try cluster.launch(host) }
    try await probeComes(scene, since: start)
    try await probeGoes()
    return nil
  }

  func hostVanishes(_ scene: Scene) async throws -> Host? {
    let host = Host.backEnds[1]
    let start = monotonic()
    try await cluster.partition(host)
    try await scene.converged(
      "\(host.address):50051", isThere: false, since: start, within: .seconds(60),
      "its absence seen")
    let again = monotonic()
    try await cluster.heal(host)
    try await scene.converged(
      "\(host.address):50051", isThere: true, since: again, within: .seconds(60), "its return seen")
    return host
  }
}
