// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Testing
import TrunkWire

@testable import TrunkDiscovery

@Suite("weighted_target_experimental (gRFC A28)") struct WeightedTargetTests {
  private func json(_ weights: [(String, Int)], child: String = "round_robin") -> String {
    let targets = weights.map {
      #""\#($0.0)": {"weight": \#($0.1), "childPolicy": [{"\#(child)": {}}]}"#
    }
    return #"{"targets": {\#(targets.joined(separator: ", "))}}"#
  }
  /// Children x, y and z with one endpoint each: subchannels 1, 2 and 3.
  private func bench(_ weights: [(String, Int)], child: String = "round_robin") throws
    -> PolicyBench
  {
    var bench = try PolicyBench("weighted_target_experimental", json: json(weights, child: child))
    bench.resolve(a.at("x"), b.at("y"), c.at("z"))
    return bench
  }
  private func configure(_ bench: inout PolicyBench, _ weights: [(String, Int)]) throws {
    let policy = try BalancerRegistry().prepare(
      BalancerChoice("weighted_target_experimental", json: Array(json(weights).utf8)))
    let isTaken = policy.reconfigure(&bench.balancer)
    #expect(isTaken)
    bench.resolve(a.at("x"), b.at("y"), c.at("z"))
  }
  private func share(_ bench: inout PolicyBench, _ calls: Int = 10_000) -> [String: Int] {
    var picker = bench.balancer.makePicker()
    var random = Seeded(11)
    var counts: [String: Int] = [:]
    for _ in 0..<calls {
      counts[picker.pick(PickContext(path: "/", random: random.next())).text, default: 0] += 1
    }
    return counts
  }

  @Test("calls are spread by the weights of the READY children") func weights() throws {
    var bench = try bench([("x", 1), ("y", 2), ("z", 7)])
    bench.turn(1, .ready)
    #expect(bench.state == .ready && share(&bench, 100) == ["use 1": 100])
    bench.turn(2, .ready)
    bench.turn(3, .ready)
    let counts = share(&bench)
    #expect((900...1_100).contains(counts["use 1"] ?? 0), "\(counts)")
    #expect((1_850...2_150).contains(counts["use 2"] ?? 0), "\(counts)")
    bench.turn(3, .transientFailure)
    let two = share(&bench)
    #expect((3_200...3_470).contains(two["use 1"] ?? 0) && two.count == 2, "\(two)")
    try configure(&bench, [("x", 4_294_967_295), ("y", 1), ("z", 1)])
    #expect(share(&bench) == ["use 1": 10_000])
  }

  @Test("READY > CONNECTING > IDLE > TRANSIENT_FAILURE; a failed child stays failed until READY")
  func aggregate() throws {
    var bench = try bench([("x", 1), ("y", 1)], child: "pick_first")
    #expect(bench.state == .connecting && bench.pick().text == "wait")
    bench.turn(1, .transientFailure, "refused")
    bench.turn(1, .idle)
    bench.turn(1, .connecting)
    #expect(bench.state == .connecting)
    bench.turn(2, .transientFailure, "refused")
    #expect(bench.state == .transientFailure && share(&bench, 9) == ["fail unavailable refused": 9])
    bench.turn(2, .ready)
    bench.turn(2, .idle)
    #expect(bench.state == .idle && bench.pick().text == "connect 2")
    bench.send(.exitIdle)
    #expect(bench.commands == [.connect(two)])
    bench.turn(1, .ready)
    #expect(bench.state == .ready)
  }

  @Test(
    "a child that is left out gets no calls and is kept 15 min; it comes back with its connection")
  func kept() throws {
    var bench = try bench([("x", 1), ("y", 1)])
    bench.turn(1, .ready)
    bench.turn(2, .ready)
    try configure(&bench, [("y", 1)])
    #expect(share(&bench, 50) == ["use 2": 50] && bench.closed.isEmpty)
    bench.turn(1, .idle)
    #expect(bench.commands.contains(.connect(one)) && !bench.commands.contains(.changed(.ready)))
    bench.turn(1, .ready)
    bench.advance(to: 600 * second)
    try configure(&bench, [("x", 1), ("y", 1)])
    #expect(share(&bench, 50).count == 2 && bench.open.count == 2)
    try configure(&bench, [("y", 1)])
    bench.advance(to: 1_499 * second)
    #expect(bench.closed.isEmpty, "counted from the second time")
    bench.advance(to: 1_500 * second)
    #expect(bench.closed == [one])
    try configure(&bench, [])
    #expect(bench.state == .transientFailure)
    #expect(bench.pick().text == "fail unavailable weighted_target_experimental has no targets")
  }

  @Test("weighted targets inside each other choose independently") func independent() throws {
    let inner =
      #"{"childPolicy": [{"weighted_target_experimental": \#(json([("x", 1), ("y", 1)]))}], "weight": 1}"#
    var bench = try PolicyBench(
      "weighted_target_experimental", json: #"{"targets": {"p": \#(inner), "q": \#(inner)}}"#)
    bench.resolve(
      a.at("p", "x"), b.at("p", "y"), Endpoint(Address("4.4.4.4", 4)).at("q", "x"), c.at("q", "y"))
    for id in 1...4 as ClosedRange<UInt64> { bench.turn(id, .ready) }
    let counts = share(&bench)
    #expect(counts.count == 4 && counts.values.allSatisfy { (2_300...2_700).contains($0) })
  }

  @Test(
    "a weight is needed, and at least 1",
    arguments: [
      (#""weight": 0, "#, "a whole number of 1...4294967295 is needed, not 0"), ("", "missing"),
    ])
  func config(field: String, reason: String) {
    #expect {
      try PolicyBench(
        "weighted_target_experimental",
        json: #"{"targets": {"x": {\#(field)"childPolicy": [{"round_robin": {}}]}}}"#)
    } throws: {
      "\($0)" == "service config: weighted_target_experimental.targets.x.weight: \(reason)"
    }
  }
}
