// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Testing
import TrunkDiscovery

@testable import TrunkConsul

/// Chains of a few nodes that lead anywhere: to each other, to nothing, back to the start.
private struct RandomChains {
  var random: SplitMix

  mutating func next() -> DiscoveryChain {
    var chain = DiscoveryChain()
    chain.service = "s0"
    chain.datacenter = "dc0"
    chain.startNode = "n0"
    let count = Int.random(in: 1...8, using: &random)
    for id in 0..<count { chain.nodes["n\(id)"] = node(id, of: count) }
    for id in 0..<Int.random(in: 1...4, using: &random) {
      var target = DiscoveryChain.Target()
      target.service = "s\(Int.random(in: 0...2, using: &random))"
      target.subset = ["", "a"].randomElement(using: &random) ?? ""
      target.datacenter = ["dc0", "dc1"].randomElement(using: &random) ?? ""
      chain.targets["t\(id)"] = target
    }
    return chain
  }

  private mutating func node(_ id: Int, of count: Int) -> DiscoveryChain.Node {
    var node = DiscoveryChain.Node()
    node.name = "n\(id)"
    // Mostly forward, so that some chains can be walked.
    func further(_ random: inout SplitMix) -> String {
      let least = Int.random(in: 0..<10, using: &random) == 0 ? 0 : id + 1
      return "n\(Int.random(in: least...max(least, count), using: &random))"
    }
    switch Int.random(in: 0..<10, using: &random) {
    case 0:
      node.type = "router"
      node.routes = [DiscoveryChain.Route(definition: nil, nextNode: further(&random))]
    case 1...4:
      node.type = "splitter"
      for _ in 0..<Int.random(in: 0...4, using: &random) {
        let weights: [Double] = [0, 0.01, 12.5, 50, 100, -1]
        let weight = weights.randomElement(using: &random) ?? 0
        node.splits.append(
          DiscoveryChain.Split(weight: weight, definition: nil, nextNode: further(&random)))
      }
    case 5: node.type = ["", "wizard"].randomElement(using: &random) ?? ""
    default:
      node.type = "resolver"
      var resolver = DiscoveryChain.Resolver()
      resolver.target = "t\(Int.random(in: 0...3, using: &random))"
      for _ in 0..<Int.random(in: 0...2, using: &random) {
        resolver.failover.append("t\(Int.random(in: 0...3, using: &random))")
      }
      node.resolver = resolver
    }
    return node
  }
}

@Suite("Discovery chains, random ones") struct ChainPropertyTests {
  @Test(
    "random chains are walked or refused within the limits", arguments: 1...4 as ClosedRange<UInt64>
  )
  func walks(seed: UInt64) {
    var chains = RandomChains(random: SplitMix(state: seed))
    var walked = 0
    for _ in 0..<2_000 {
      let chain = chains.next()
      guard let routes = try? ChainRoutes(chain) else { continue }
      walked += 1
      let names = routes.splits.map { $0.targets[0].name }
      #expect(Set(names).count == names.count, "\(chain)")
      let sum = routes.splits.reduce(0) { $0 + Int($1.weight) }
      // Each leaf is rounded, and at least one millionth.
      #expect(abs(sum - 1_000_000) <= ChainRoutes.maximumVisits, "\(chain)")
      for split in routes.splits {
        #expect(split.weight >= 1)
        #expect(Set(split.targets.map(\.name)).count == split.targets.count)
      }
      let plan = WatchPlan(routes, ConsulQuery("s0"))
      #expect((1...ChainRoutes.maximumTargets).contains(plan.parts.count))
      #expect(Set(plan.parts.map(\.path)).count == plan.parts.count)
    }
    #expect(walked > 200, "\(walked) of 2,000 were walked")
  }
}
