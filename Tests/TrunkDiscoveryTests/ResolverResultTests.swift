// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Testing
import TrunkDiscovery
import TrunkWire

/// What every policy does with lists of endpoints that come and go.
@Suite("Policies and the resolver's results (gRFC A61)") struct ResolverResultTests {
  struct Policy: Sendable, CustomTestStringConvertible {
    var name: String
    var json = "{}"
    /// Where its endpoints have to go.
    var path: [String] = []
    /// CONNECTING does not follow a child's TRANSIENT_FAILURE (gRFC A28).
    var staysFailed = false
    var testDescription: String { name }
  }
  private static let inner = #"[{"round_robin": {}}]"#
  static let policies =
    [
      "pick_first", "round_robin", "weighted_round_robin", "least_request_experimental",
      "peak_ewma", "ring_hash_experimental",
    ].map { Policy(name: $0) } + [
      Policy(name: "outlier_detection_experimental", json: #"{"childPolicy": \#(inner)}"#),
      Policy(
        name: "random_subsetting_experimental",
        json: #"{"subsetSize": 2, "childPolicy": \#(inner)}"#),
      Policy(
        name: "priority_experimental",
        json: #"{"children": {"x": {"config": \#(inner)}}, "priorities": ["x"]}"#, path: ["x"]),
      Policy(
        name: "weighted_target_experimental",
        json: #"{"targets": {"x": {"weight": 1, "childPolicy": \#(inner)}}}"#, path: ["x"],
        staysFailed: true),
    ]

  private static func report(
    _ endpoints: [Endpoint], for policy: Policy, note: String? = nil
  ) -> BalancerEvent {
    let placed = endpoints.map { endpoint in
      var endpoint = endpoint
      endpoint.childPath = policy.path
      return endpoint
    }
    return .resolved(Resolution(placed, note: note))
  }

  /// Makes every subchannel READY, after a pick for policies that wait for one.
  private static func connect(_ bench: inout PolicyBench) {
    for id in bench.open.keys { bench.turn(id.raw, .ready) }
  }

  @Test(
    "an empty list is TRANSIENT_FAILURE with its note and a request to look again; the next serves",
    arguments: policies)
  func empty(_ policy: Policy) throws {
    var bench = try PolicyBench(policy.name, json: policy.json)
    for endpoints in [[a, b], [c], [a]] {
      bench.send(Self.report([], for: policy, note: "0 passing"))
      #expect(bench.state == .transientFailure)
      #expect(bench.pick().text == "fail unavailable 0 passing")
      #expect(bench.commands.contains(.resolveAgain))
      #expect(bench.open.isEmpty, "connections to servers that are gone are closed")
      bench.send(Self.report(endpoints, for: policy))
      // Only failed connections are sticky (gRFC A62): a call waits for the new ones.
      if !policy.staysFailed {
        #expect(bench.state == .connecting || bench.state == .idle)
        #expect(["wait", "connect"].contains { bench.pick(1).text.hasPrefix($0) })
      }
      Self.connect(&bench)
      #expect(bench.state == .ready)
      #expect(bench.pick(1).text.hasPrefix("use "))
    }
  }

  @Test(
    "a failed resolution is TRANSIENT_FAILURE before the first list, and nothing after it",
    arguments: policies)
  func failed(_ policy: Policy) throws {
    var bench = try PolicyBench(policy.name, json: policy.json)
    bench.send(.resolutionFailed(note: "agent away"))
    if policy.json == "{}" {
      #expect(bench.state == .transientFailure)
      #expect(bench.pick().text == "fail unavailable agent away")
    } else {
      // Children come with the first list.
      #expect(bench.state != .ready)
    }
    bench.send(Self.report([a, b], for: policy))
    if !policy.staysFailed {
      #expect(bench.state == .connecting || bench.state == .idle)
      #expect(["wait", "connect"].contains { bench.pick(1).text.hasPrefix($0) })
    }
    Self.connect(&bench)
    let open = bench.open
    bench.send(.resolutionFailed(note: "agent away"))
    #expect(bench.state == .ready && bench.open == open)
    #expect(bench.pick(1).text.hasPrefix("use "))
  }
}
