// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Testing
import TrunkWire

@testable import TrunkDiscovery

/// Three children, p0 to p2, with up to three endpoints each; a port's tens digit is its child's.
@Suite("Policies with several children, whatever happens") struct ChildGroupPropertyTests {
  private struct Run {
    var bench: PolicyBench
    /// In the config, in order.
    var names: [String] = []
    var resolved: [Endpoint] = []
    var ready: Set<SubchannelID> = []

    /// READY subchannels of a child, without those of endpoints that are not resolved any more.
    func ready(of name: String) -> Set<UInt64> {
      Set(ready.filter { bench.open[$0].map(ChildGroupPropertyTests.child) == name }.map(\.raw))
    }
  }

  private static func child(_ endpoint: Endpoint) -> String {
    guard case .host(_, let port)? = endpoint.addresses.first else { return "" }
    return "p\(port / 10)"
  }

  private func config(_ policy: String, _ names: [String]) -> String {
    let robin = #"[{"round_robin": {}}]"#
    if policy == "priority_experimental" {
      let children = names.map { #""\#($0)": {"config": \#(robin)}"# }.joined(separator: ", ")
      return #"{"children": {\#(children)}, "priorities": \#(names)}"#
    }
    let targets = names.map { #""\#($0)": {"weight": 3, "childPolicy": \#(robin)}"# }
    return #"{"targets": {\#(targets.joined(separator: ", "))}}"#
  }

  private func resolve(_ run: inout Run, _ random: inout Seeded) {
    run.resolved = (0..<3).flatMap { child in
      (0..<3).compactMap { i in
        Int.random(in: 0..<4, using: &random) == 0
          ? nil : Endpoint(Address("10.0.0.1", UInt16(child * 10 + i))).at("p\(child)")
      }
    }
    run.bench.send(.resolved(Resolution(run.resolved)))
  }

  private func step(_ run: inout Run, _ policy: String, _ random: inout Seeded) throws {
    switch Int.random(in: 0..<12, using: &random) {
    case 0:
      run.names = ["p0", "p1", "p2"].shuffled(using: &random)
        .dropLast(Int.random(in: 0..<3, using: &random))
      let choice = BalancerChoice(policy, json: Array(config(policy, run.names).utf8))
      let isTaken = try BalancerRegistry().prepare(choice).reconfigure(&run.bench.balancer)
      #expect(isTaken)
      resolve(&run, &random)
    case 1: resolve(&run, &random)
    case 2:
      let time = UInt64.random(in: 1..<(400 * second), using: &random)
      run.bench.advance(to: run.bench.actions.now + time)
    case 3: run.bench.send(.exitIdle)
    default:
      let ids = run.bench.open.keys.sorted { $0.raw < $1.raw }
      guard let id = ids.randomElement(using: &random) else { return }
      let states: [ConnectivityState] = [.idle, .connecting, .ready, .transientFailure]
      let state = states.randomElement(using: &random) ?? .ready
      run.bench.send(.subchannel(id, state, error: nil))
      if state == .ready { run.ready.insert(id) } else { run.ready.remove(id) }
    }
    run.ready.formIntersection(run.bench.open.keys)
  }

  /// No two children have a subchannel for the same endpoint, and none is left after 15 min.
  private func checkBooks(_ run: inout Run, serving: [String]) {
    run.bench.advance(to: run.bench.actions.now + 16 * 60 * second)
    run.ready.formIntersection(run.bench.open.keys)
    let expected = run.resolved.filter { serving.contains(Self.child($0)) }.map(\.addresses)
    #expect(Set(run.bench.open.values.map(\.addresses)) == Set(expected))
    #expect(run.bench.open.count == expected.count)
  }

  private func start(_ policy: String, _ random: inout Seeded) throws -> Run {
    let names = ["p0", "p1", "p2"]
    var run = Run(bench: try PolicyBench(policy, json: config(policy, names)), names: names)
    resolve(&run, &random)
    return run
  }

  @Test(
    "priority: calls go to the first child with a connection, others are made and closed as needed",
    arguments: 0..<60)
  func priority(_ seed: Int) throws {
    var random = Seeded(UInt64(seed))
    var run = try start("priority_experimental", &random)
    for _ in 0..<150 {
      try step(&run, "priority_experimental", &random)
      let first = run.names.first { !run.ready(of: $0).isEmpty }
      let picked = run.bench.picked()
      #expect(picked.isEmpty == (run.bench.state != .ready))
      if let first, !picked.isEmpty { #expect(picked == run.ready(of: first)) }
      #expect(first != nil || picked.isEmpty)
    }
    // No failover timer runs any more: three in turn may have.
    run.bench.advance(to: run.bench.actions.now + 31 * second)
    let first = run.names.first { !run.ready(of: $0).isEmpty }
    #expect(run.bench.picked() == first.map { run.ready(of: $0) } ?? [])
    let used = first.flatMap { run.names.firstIndex(of: $0) } ?? run.names.count - 1
    checkBooks(&run, serving: Array(run.names[...used]))
  }

  @Test(
    "weighted_target: calls go to all connected endpoints of the present targets",
    arguments: 0..<60)
  func weighted(_ seed: Int) throws {
    var random = Seeded(UInt64(seed))
    var run = try start("weighted_target_experimental", &random)
    for _ in 0..<150 {
      try step(&run, "weighted_target_experimental", &random)
      let ready = run.names.reduce(into: Set<UInt64>()) { $0.formUnion(run.ready(of: $1)) }
      #expect((run.bench.state == .ready) == !ready.isEmpty)
      var picker = run.bench.balancer.makePicker()
      var picked: Set<UInt64> = []
      for _ in 0..<200 {
        let pick = picker.pick(PickContext(path: "/", random: random.next()))
        if case .use(let id, _) = pick { picked.insert(id.raw) }
      }
      #expect(picked == ready)
    }
    checkBooks(&run, serving: run.names)
  }
}
