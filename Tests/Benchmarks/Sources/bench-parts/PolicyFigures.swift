// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import BenchSupport
import Trunkcall

/// A policy as it is measured. Endpoints have weights 1 to 7 and are for the child "a" of "a" and "b".
private struct Policy: Sendable {
  var name: String
  var counts = [1, 10, 100, 1_000, 10_000]
  /// For a number of endpoints.
  var json: @Sendable (Int) -> String = { _ in "{}" }
  /// Whether enough picks use each endpoint.
  var usesAll = true

  /// pick_first, which has one connection, and all others.
  static let all: [Policy] = [
    Policy(name: "pick_first", counts: [1]), Policy(name: "round_robin"),
    Policy(name: "weighted_round_robin", json: { _ in #"{"useEndpointWeights": true}"# }),
    Policy(name: "least_request_experimental"), Policy(name: "peak_ewma", usesAll: false),
    Policy(
      name: "ring_hash_experimental",
      json: { #"{"requestHashHeader": "x-user", "minRingSize": \#(max(1_024, $0 * 16))}"# },
      usesAll: false),
    Policy(
      name: "outlier_detection_experimental",
      json: { _ in
        #"{"failurePercentageEjection": {}, "childPolicy": [{"round_robin": {}}]}"#
      }),
    Policy(
      name: "random_subsetting_experimental",
      json: { #"{"subsetSize": \#(max(1, $0 / 2)), "childPolicy": [{"round_robin": {}}]}"# },
      usesAll: false),
    Policy(
      name: "weighted_target_experimental",
      json: { _ in
        #"""
        {"targets": {"a": {"weight": 95, "childPolicy": [{"round_robin": {}}]},
                     "b": {"weight": 5, "childPolicy": [{"round_robin": {}}]}}}
        """#
      }),
    Policy(
      name: "priority_experimental",
      json: { _ in
        #"""
        {"children": {"a": {"config": [{"round_robin": {}}]}, "b": {"config": [{"round_robin": {}}]}},
         "priorities": ["a", "b"]}
        """#
      }),
  ]

  /// With all of its servers connected, each after one call of 1 to 7 ms.
  func ready(_ endpoints: Int) -> ReadyPolicy {
    var registry = BalancerRegistry()
    registry.maxRingSize = 1 << 20
    guard let policy = try? registry.make(name, json: Array(json(endpoints).utf8)) else {
      stop("no policy \(name)")
    }
    var ready = ReadyPolicy(policy: policy)
    ready.resolve(resolution(0..<endpoints))
    return ready
  }
}

private func resolution(_ endpoints: Range<Int>) -> Resolution {
  Resolution(
    endpoints.map {
      var endpoint = Endpoint(
        Address("10.0.\($0 / 250).\($0 % 250 + 1)", 50_051), weight: UInt32($0 % 7 + 1))
      endpoint.childPath = ["a"]
      return endpoint
    })
}

private struct ReadyPolicy {
  var policy: any Balancer
  var actions = BalancerActions()
  var opened = 0
  var closed = 0

  mutating func resolve(_ resolution: Resolution) {
    policy.handle(.resolved(resolution), &actions)
    settle()
  }

  /// Every connection that is asked for succeeds; one that is not gets one call (ring_hash).
  private mutating func settle() {
    while true {
      let commands = actions.drain()
      if commands.isEmpty { return }
      var ready: [SubchannelID] = []
      for command in commands {
        switch command {
        case .open(let id, _, let options):
          opened += 1
          let took = (id.raw % 7 + 1) * 1_000_000
          options.observer?.callBegan(at: 0)
          options.observer?.callEnded(CallOutcome(code: nil, began: 0, ended: took))
          ready.append(id)
        case .close: closed += 1
        default: break
        }
      }
      for id in ready {
        policy.handle(.subchannel(id, .connecting, error: nil), &actions)
        policy.handle(.subchannel(id, .ready, error: nil), &actions)
      }
    }
  }
}

/// One pick, by policy and number of endpoints.
func pickFigures() -> [(String, Double)] {
  // Different calls, made before they are measured.
  let calls = (0..<64 as Range<UInt64>).map { number in
    PickContext(
      path: "/helloworld.Greeter/SayHello", metadata: ["x-user": "user-\(number)"],
      random: number &* 0x9e37_79b9_7f4a_7c15, nanoseconds: 10_000_000)
  }
  var figures: [(String, Double)] = []
  for kind in Policy.all {
    for count in kind.counts {
      var ready = kind.ready(count)
      var picker = ready.policy.makePicker()
      var used: Set<UInt64> = []
      // The least weight is picked in a seventh of the rounds.
      for number in 0..<UInt64(count * 16) {
        var call = calls[0]
        call.random = number &* 0x9e37_79b9_7f4a_7c15
        if case .use(let id, _) = picker.pick(call) { used.insert(id.raw) }
      }
      guard !kind.usesAll || used.count == count else {
        stop("\(kind.name) uses \(used.count) of \(count)")
      }
      var other = 0
      var number = 0
      let figure = measure(200_000) {
        number = (number + 1) & 63
        guard case .use = picker.pick(calls[number]) else { return other += 1 }
      }
      guard other == 0 else { stop("\(kind.name) did not pick") }
      figures.append(("pick_\(kind.name)_\(count)", figure))
    }
  }
  return figures
}

/// What a new server list costs each policy, the new picker included: the same list again, and one in
/// which 1 % of the servers, at least one, are replaced (their connections succeed at once).
func updateFigures() -> [(String, Double)] {
  var figures: [(String, Double)] = []
  for kind in Policy.all where kind.name != "pick_first" {
    for count in kind.counts {
      var ready = kind.ready(count)
      let changed = max(1, count / 100)
      let lists = [resolution(0..<count), resolution(changed..<count + changed)]
      let rounds = max(1, 2_000 / count)
      func update(_ list: Resolution) {
        ready.resolve(list)
        _ = ready.policy.makePicker()
      }
      figures.append(("update_same_\(kind.name)_\(count)", measure(rounds) { update(lists[0]) }))
      let (opened, closed) = (ready.opened, ready.closed)
      var next = 1
      let figure = measure(rounds) {
        update(lists[next])
        next = 1 - next
      }
      figures.append(("update_1percent_\(kind.name)_\(count)", figure))
      // All other connections are kept; of a subset no more may change.
      let most = rounds * 5 * changed
      guard ready.opened - opened <= most, ready.closed - closed <= most else {
        stop("\(kind.name) closed \(ready.closed - closed) connections, not \(most)")
      }
    }
  }
  return figures
}
