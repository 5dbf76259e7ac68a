// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import BenchStubs
import BenchSupport
import FoundationEssentials
import SwiftProtobuf
import TrunkProtobuf
import Trunkcall

/// Nanoseconds of one `body`, the least of five rounds.
func measure(_ count: Int, _ body: () throws -> Void) rethrows -> Double {
  var least = Double.infinity
  for _ in 0..<5 {
    let start = now()
    for _ in 0..<count { try body() }
    least = min(least, Double(now() - start) / Double(count))
  }
  return least
}

func codecFigures() -> [(String, Double)] {
  func both<Message: SwiftProtobuf.Message & Equatable>(
    _ name: String, _ message: Message, _ count: Int
  ) -> [(String, Double)] {
    let codec = Codec<Message>.protobuf
    do {
      let frame = try codec.frame(message)
      let payload = Array(frame[5...])
      guard try codec.message(payload) == message else { stop("\(name): wrong message") }
      return [
        ("encode_\(name)", try measure(count) { _ = try codec.frame(message) }),
        ("decode_\(name)", try measure(count) { _ = try codec.message(payload) }),
      ]
    } catch { stop("\(name): \(error)") }
  }
  func payload(_ size: Int) -> Bench_Payload { .with { $0.body = Data(repeating: 7, count: size) } }
  return both("hello", Helloworld_HelloRequest.with { $0.name = "world" }, 100_000)
    + both("1KiB", payload(1 << 10), 100_000) + both("64KiB", payload(1 << 16), 5_000)
    + both("4MiB", payload(4 << 20), 50)
}

/// Weights are 1 to 7.
private func resolution(_ endpoints: Range<Int>) -> Resolution {
  Resolution(
    endpoints.map {
      Endpoint(Address("10.0.\($0 / 250).\($0 % 250 + 1)", 50_051), weight: UInt32($0 % 7 + 1))
    })
}

/// A policy all of whose servers are ready.
private func readyPolicy(
  _ name: String, _ endpoints: Int, _ json: String = "{}"
) -> any Balancer {
  guard var policy = try? BalancerRegistry().make(name, json: Array(json.utf8)) else {
    stop("no policy \(name)")
  }
  var actions = BalancerActions()
  policy.handle(.resolved(resolution(0..<endpoints)), &actions)
  settle(&policy, &actions)
  return policy
}

/// Every connection that is asked for succeeds.
private func settle(_ policy: inout any Balancer, _ actions: inout BalancerActions) {
  while true {
    let commands = actions.drain()
    if commands.isEmpty { return }
    for case .connect(let id) in commands {
      policy.handle(.subchannel(id, .connecting, error: nil), &actions)
      policy.handle(.subchannel(id, .ready, error: nil), &actions)
    }
  }
}

func pickFigures() -> [(String, Double)] {
  var figures: [(String, Double)] = []
  let weighted = #"{"useEndpointWeights": true}"#
  for (name, json, counts) in [
    ("pick_first", "{}", [1]), ("round_robin", "{}", [1, 10, 100, 1_000, 10_000]),
    ("weighted_round_robin", weighted, [1, 10, 100, 1_000, 10_000]),
  ] {
    for count in counts {
      var policy = readyPolicy(name, count, json)
      var picker = policy.makePicker()
      let context = PickContext(path: "/helloworld.Greeter/SayHello")
      var used: Set<UInt64> = []
      // The least weight is picked in a seventh of the rounds.
      for _ in 0..<count * 16 {
        if case .use(let id, _) = picker.pick(context) { used.insert(id.raw) }
      }
      guard used.count == count else { stop("\(name) uses \(used.count) of \(count)") }
      var other = 0
      let figure = measure(200_000) {
        guard case .use = picker.pick(context) else { return other += 1 }
      }
      guard other == 0 else { stop("\(name) did not pick") }
      figures.append(("pick_\(name)_\(count)", figure))
    }
  }
  return figures
}

/// What a new server list costs the policy, the new picker included: the same list again, and one
/// with one server of it replaced (its connection succeeds at once).
func updateFigures() -> [(String, Double)] {
  var figures: [(String, Double)] = []
  for count in [1, 10, 100, 1_000] {
    var policy = readyPolicy("round_robin", count)
    var actions = BalancerActions(lastID: 1_000_000)
    let lists = [resolution(0..<count), resolution(1..<count + 1)]
    let rounds = max(5, 2_000 / count)
    figures.append(
      (
        "update_same_\(count)",
        measure(rounds) {
          policy.handle(.resolved(lists[0]), &actions)
          settle(&policy, &actions)
          _ = policy.makePicker()
        }
      ))
    var next = 1
    figures.append(
      (
        "update_one_new_\(count)",
        measure(rounds) {
          policy.handle(.resolved(lists[next]), &actions)
          settle(&policy, &actions)
          _ = policy.makePicker()
          next = 1 - next
        }
      ))
  }
  return figures
}
