// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Testing
import TrunkWire

@testable import TrunkDiscovery

@Suite("random_subsetting_experimental (gRFC A68)") struct RandomSubsettingTests {
  private let servers = (1...100 as ClosedRange<UInt16>).map { Endpoint(Address("10.0.0.1", $0)) }

  private func bench(_ size: Int, seed: UInt64 = 1, child: String = "round_robin") throws
    -> PolicyBench
  {
    var bench = try PolicyBench(
      "random_subsetting_experimental",
      json: #"{"subsetSize": \#(size), "childPolicy": [{"\#(child)": {}}]}"#)
    bench.actions.random = Seeded(seed)
    return bench
  }
  private func subset(_ bench: inout PolicyBench, _ endpoints: [Endpoint]) -> Set<Endpoint> {
    bench.send(.resolved(Resolution(endpoints)))
    return Set(bench.open.values)
  }

  @Test("the child gets subsetSize different endpoints, or all there are") func size() throws {
    var bench = try bench(5)
    #expect(subset(&bench, servers + servers).count == 5)
    #expect(subset(&bench, Array(servers.prefix(5))) == Set(servers.prefix(5)))
    bench.turn(1, .ready)
    for id in bench.open.keys { bench.send(.subchannel(id, .ready, error: nil)) }
    #expect(bench.state == .ready && bench.picked().count == 5)
    #expect(subset(&bench, []).isEmpty)
    #expect(bench.pick().text == "fail unavailable the resolver reported no address")
  }

  @Test("a server that comes or goes changes at most one of the chosen ones", arguments: 0..<20)
  func stable(seed: UInt64) throws {
    var random = Seeded(seed)
    var bench = try bench(10, seed: seed)
    var present = Array(servers.prefix(50))
    var chosen = subset(&bench, present)
    for _ in 0..<100 {
      if present.count > 20, Bool.random(using: &random) {
        present.remove(at: Int.random(in: 0..<present.count, using: &random))
      } else if let new = servers.filter({ !present.contains($0) }).randomElement(using: &random) {
        present.append(new)
      }
      let next = subset(&bench, present.shuffled(using: &random))
      #expect(next.count == 10 && next.isSubset(of: present))
      #expect(chosen.subtracting(next).count <= 1)
      chosen = next
    }
  }

  @Test("clients choose different ones, so that all servers get about the same number") func even()
    throws
  {
    var clients: [Endpoint: Int] = [:]
    for seed in 0..<1_000 as Range<UInt64> {
      var bench = try bench(10, seed: seed)
      for endpoint in subset(&bench, servers) { clients[endpoint, default: 0] += 1 }
    }
    // 1,000 clients of 10 servers each: 100 for each server, deviation 9.5.
    #expect(clients.count == 100 && clients.values.allSatisfy { (55...145).contains($0) })
  }

  @Test("pick_first inside tries them in an order of the client's own") func order() throws {
    var firsts: Set<Address> = []
    for seed in 0..<64 as Range<UInt64> {
      var bench = try bench(3, seed: seed, child: "pick_first")
      bench.send(.resolved(Resolution(Array(servers.prefix(4)))))
      firsts.insert(try #require(bench.open[one]).addresses[0])
    }
    #expect(firsts.count == 4)
  }

  @Test("another size keeps the seed: the smaller subset is part of the larger one")
  func reconfigure() throws {
    var bench = try bench(20)
    let large = subset(&bench, servers)
    let policy = try BalancerRegistry().prepare(
      BalancerChoice(
        "random_subsetting_experimental",
        json: Array(#"{"subsetSize": 5, "childPolicy": [{"round_robin": {}}]}"#.utf8)))
    let isTaken = policy.reconfigure(&bench.balancer)
    #expect(isTaken)
    #expect(subset(&bench, servers).isSubset(of: large))
    #expect(bench.open.count == 5)
  }

  @Test("subsetSize must be given, and at least 1") func config() {
    for (json, message) in [
      ("{}", "subsetSize: missing"),
      (#"{"subsetSize": 0}"#, "subsetSize: a whole number of 1...4294967295 is needed, not 0"),
      (#"{"subsetSize": 1}"#, "childPolicy: missing"),
    ] {
      #expect {
        try PolicyBench("random_subsetting_experimental", json: json)
      } throws: {
        "\($0)" == "service config: random_subsetting_experimental.\(message)"
      }
    }
  }
}
