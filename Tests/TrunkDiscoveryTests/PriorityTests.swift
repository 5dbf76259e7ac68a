// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Testing
import TrunkWire

@testable import TrunkDiscovery

extension Endpoint {
  /// For the children of these names, one inside the other (gRFC A56).
  func at(_ path: String...) -> Endpoint {
    var endpoint = self
    endpoint.childPath = path
    return endpoint
  }
}

private let minute = 60 * second

@Suite("priority_experimental (gRFC A56)") struct PriorityTests {
  /// Two children, p0 and p1, with endpoint a and b: subchannels 1 and 2 if both are made.
  private func bench(_ order: String = #""p0", "p1""#, child: String = "round_robin") throws
    -> PolicyBench
  {
    var bench = try PolicyBench("priority_experimental", json: json(order, child: child))
    bench.resolve(a.at("p0"), b.at("p1"), c)
    return bench
  }
  private func json(
    _ order: String, child: String = "round_robin", extra: String = ""
  ) -> String {
    """
    {"children": {"p0": {"config": [{"\(child)": {}}]}, \(extra)
      "p1": {"config": [{"\(child)": {}}], "ignoreReresolutionRequests": true}},
     "priorities": [\(order)]}
    """
  }
  private func configure(_ bench: inout PolicyBench, _ json: String) throws {
    let policy = try BalancerRegistry().prepare(
      BalancerChoice("priority_experimental", json: Array(json.utf8)))
    let isTaken = policy.reconfigure(&bench.balancer)
    #expect(isTaken)
    bench.resolve(a.at("p0"), b.at("p1"), c.at("p2"))
  }

  @Test("children are made one after the other, when all before failed") func lazily() throws {
    var bench = try bench()
    #expect(Array(bench.open.values) == [a])
    bench.turn(1, .transientFailure, "refused")
    #expect(bench.open[two] == b && bench.state == .connecting)
    #expect(bench.pick().text == "wait")
    bench.turn(2, .ready)
    #expect(bench.state == .ready && bench.pick().text == "use 2")
    bench.turn(2, .transientFailure, "reset")
    #expect(bench.pick().text == "fail unavailable reset", "the last one's error")
    bench.turn(1, .ready)
    #expect(bench.pick().text == "use 1")
  }

  @Test("a child that connects for 10 s is passed over, and serves when it is READY")
  func failover() throws {
    var bench = try bench()
    bench.advance(to: 10 * second - 1)
    #expect(bench.open.count == 1)
    bench.advance(to: 10 * second)
    #expect(bench.open.count == 2)
    bench.turn(2, .ready)
    #expect(bench.pick().text == "use 2")
    bench.turn(1, .connecting)
    #expect(bench.pick().text == "use 2")
    bench.turn(1, .ready)
    #expect(bench.pick().text == "use 1")
  }

  @Test("the timer starts anew for one that was READY, not for one that failed since")
  func restart() throws {
    var bench = try bench()
    bench.turn(1, .ready)
    bench.turn(1, .idle)
    #expect(bench.state == .connecting && bench.open.count == 1)
    bench.advance(to: 10 * second)
    #expect(bench.open.count == 2, "it was READY at 0 s")
    bench.turn(2, .ready)
    bench.turn(1, .transientFailure, "refused")
    bench.turn(1, .connecting)
    #expect(bench.pick().text == "use 2")
    // A further timer would hold calls back for it.
    bench.turn(1, .idle)
    bench.turn(1, .connecting)
    #expect(bench.pick().text == "use 2")
  }

  @Test("one that is not needed any more is kept for 15 min, then closed") func kept() throws {
    var bench = try bench()
    bench.turn(1, .transientFailure)
    bench.turn(2, .ready)
    bench.turn(1, .ready)
    bench.advance(to: 15 * minute - 1)
    #expect(bench.open.count == 2)
    bench.turn(1, .transientFailure)
    #expect(bench.pick().text == "use 2", "its connection is still there")
    bench.advance(to: 20 * minute)
    #expect(bench.open.count == 2)
    bench.turn(1, .ready)
    bench.advance(to: 35 * minute)
    #expect(bench.open == [one: a])
    bench.turn(1, .transientFailure)
    #expect(bench.open[SubchannelID(3)] == b, "made anew")
  }

  @Test("a new order moves children, no connection is made; what is left out is kept 15 min")
  func reorder() throws {
    var bench = try bench()
    bench.turn(1, .transientFailure)
    bench.turn(2, .ready)
    try configure(&bench, json(#""p1", "p0""#))
    #expect(bench.pick().text == "use 2" && bench.closed.isEmpty)
    try configure(
      &bench, json(#""p2""#, extra: #""p2": {"config": [{"round_robin": {}}]},"#))
    #expect(bench.open[SubchannelID(3)] == c && bench.pick().text == "wait")
    #expect(bench.closed.isEmpty)
    bench.advance(to: 15 * minute)
    #expect(bench.closed == [one, two])
  }

  @Test("a READY child that takes a config keeps its connection; its endpoints are its own")
  func endpoints() throws {
    var bench = try bench()
    bench.turn(1, .ready)
    bench.resolve(a.at("p0"), c.at("p0"), b.at("p1"))
    #expect(bench.commands.contains(.open(two, c, SubchannelOptions())))
    #expect(bench.open.count == 2 && bench.closed.isEmpty)
    bench.resolve(b.at("p1"))
    #expect(bench.closed == [one, two] && bench.open[SubchannelID(3)] == b)
    bench.turn(3, .transientFailure, "refused")
    #expect(bench.pick().text == "fail unavailable refused")
    bench.resolve(c)
    #expect(
      bench.pick().text == "fail unavailable none of the 1 endpoints is for the child \"p1\"")
  }

  @Test("an IDLE child is used; a call connects it") func idle() throws {
    var bench = try bench(child: "pick_first")
    bench.turn(1, .ready)
    bench.turn(1, .idle)
    #expect(bench.state == .idle && bench.pick().text == "connect 1" && bench.open.count == 1)
    bench.send(.exitIdle)
    #expect(bench.commands == [.connect(one)])
  }

  @Test("ignoreReresolutionRequests; the others' reach the resolver") func resolveAgain() throws {
    var bench = try bench()
    bench.turn(1, .transientFailure)
    #expect(bench.commands.contains(.resolveAgain))
    bench.turn(2, .transientFailure)
    #expect(!bench.commands.contains(.resolveAgain))
  }

  @Test("bad configs name the field; no priorities fail calls") func config() throws {
    for (order, message) in [
      (#""p9""#, #"priorities[0]: "p9" is none of the children"#),
      (#""p0", "p0""#, #"priorities[1]: "p0" is listed twice"#),
      ("5", "priorities[0]: a string is needed, not a number"),
    ] {
      #expect {
        try self.bench(order)
      } throws: {
        "\($0)" == "service config: priority_experimental.\(message)"
      }
    }
    #expect {
      try PolicyBench(
        "priority_experimental", json: #"{"children": {"x": {"config": [{"nope": {}}]}}}"#)
    } throws: {
      "\($0)".hasPrefix("service config: priority_experimental.children.x.config: unknown policy")
    }
    var bench = try bench("")
    #expect(bench.state == .transientFailure)
    #expect(bench.pick().text == "fail unavailable priority_experimental has no priorities")
  }

  @Test("policies inside take their names off the path, outermost first") func nested() throws {
    var bench = try PolicyBench(
      "priority_experimental",
      json: """
        {"children": {"near": {"config": [{"weighted_target_experimental": {"targets": {
          "x": {"weight": 1, "childPolicy": [{"round_robin": {}}]},
          "y": {"weight": 1, "childPolicy": [{"round_robin": {}}]}}}}]}}, "priorities": ["near"]}
        """)
    bench.resolve(a.at("near", "x"), b.at("near", "y"), c.at("x"))
    #expect(bench.open == [one: a, two: b])
  }
}
