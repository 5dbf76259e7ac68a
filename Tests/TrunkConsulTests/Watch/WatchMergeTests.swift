// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Testing
import TrunkDiscovery

@testable import TrunkConsul

@Suite("Several watches as one resolution") struct WatchMergeTests {
  private func endpoint(_ port: UInt16) -> Endpoint {
    Endpoint([.host("h", port)], instanceID: "\(port)")
  }
  private func snapshot(_ ports: UInt16..., lastResort: [UInt16] = [])
    -> BlockingQuery.Snapshot
  {
    var snapshot = BlockingQuery.Snapshot(ports.map(endpoint), "\(ports.count)")
    snapshot.lastResort = lastResort.map(endpoint)
    return snapshot
  }
  private func paths(_ resolution: Resolution?) -> [String]? {
    resolution?.endpoints.map { endpoint in
      endpoint.childPath.joined(separator: "/") + " " + (endpoint.instanceID ?? "")
    }
  }
  private let centers = WatchPlan(ConsulQuery("x"), datacenters: ["dc1", "dc2"])

  @Test("one query is one group, so that a last resort changes no connection") func one() {
    let plan = WatchPlan(ConsulQuery("x"), datacenters: [])
    var merge = WatchMerge(plan, agent: "a", guards: true)
    let first = merge.received(snapshot(1), of: plan.parts[0])
    #expect(paths(first) == ["listed 1"])
    #expect(first?.groups == .priorities([EndpointGroup("listed")]))
    #expect(first?.note == "consul a: 1")
    let panic = merge.received(snapshot(2, lastResort: [3]), of: plan.parts[0])
    #expect(paths(panic) == ["listed 2", "vanished 3"])
    #expect(panic?.groups == .priorities([EndpointGroup("listed"), EndpointGroup("vanished")]))
    var plain = WatchMerge(plan, agent: "a", guards: false)
    #expect(plain.received(snapshot(1), of: plan.parts[0])?.groups == nil)
  }

  @Test("each data center is asked by a query of its own, and is a group in its order")
  func datacenters() {
    #expect(centers.parts.map(\.query.datacenter) == ["dc1", "dc2"])
    var merge = WatchMerge(centers, agent: "a", guards: true)
    #expect(merge.received(snapshot(2), of: centers.parts[1]) == nil, "dc1 is waited for")
    let both = merge.received(snapshot(1), of: centers.parts[0])
    #expect(paths(both) == ["listed/dc1 1", "listed/dc2 2"])
    let groups = EndpointGroups.priorities([EndpointGroup("dc1"), EndpointGroup("dc2")])
    #expect(both?.groups == .priorities([EndpointGroup("listed", groups: groups)]))
    #expect(both?.note == "consul a: dc1: 1; dc2: 1")
  }

  @Test("a data center that does not answer delays the others by no more than the delay")
  func slow() {
    var merge = WatchMerge(centers, agent: "a", guards: true)
    #expect(merge.received(snapshot(2), of: centers.parts[1]) == nil)
    let late = merge.delayPassed()
    #expect(paths(late) == ["listed/dc2 2"])
    #expect(late?.note == "consul a: dc1: no answer yet; dc2: 1")
    #expect(merge.delayPassed() == nil)
    var silent = WatchMerge(centers, agent: "a", guards: true)
    #expect(silent.delayPassed() == nil, "nothing to report")
    #expect(paths(silent.received(snapshot(1), of: centers.parts[0])) == ["listed/dc1 1"])
  }

  @Test("the last resort is behind every data center, without what is listed in another one")
  func lastResort() {
    var merge = WatchMerge(centers, agent: "a", guards: true)
    _ = merge.received(snapshot(2, 5), of: centers.parts[1])
    let both = merge.received(snapshot(lastResort: [4, 5]), of: centers.parts[0])
    #expect(paths(both) == ["listed/dc2 2", "listed/dc2 5", "vanished 4"])
  }

  @Test("a resolution is an answer while any part is one") func answers() {
    var merge = WatchMerge(centers, agent: "a", guards: true)
    let refused = BlockingQuery.Snapshot([], "500 no path to datacenter", isAnswer: false)
    _ = merge.received(refused, of: centers.parts[1])
    #expect(merge.received(snapshot(1), of: centers.parts[0])?.isAnswer == true)
    #expect(merge.received(refused, of: centers.parts[0])?.isAnswer == false)
  }

  @Test("a new plan waits for its parts, the old one is in force meanwhile with its changes")
  func adopted() {
    var merge = WatchMerge(centers, agent: "a", guards: false)
    _ = merge.received(snapshot(1), of: centers.parts[0])
    _ = merge.received(snapshot(2), of: centers.parts[1])
    let other = WatchPlan(ConsulQuery("x"), datacenters: ["dc2", "dc3"])
    #expect(merge.adopt(other) == nil)
    #expect(merge.parts == Set(centers.parts + other.parts))
    let old = merge.received(snapshot(9), of: centers.parts[0])
    #expect(paths(old) == ["dc1 9", "dc2 2"])
    #expect(old?.note == "consul a: dc1: 1; dc2: 1")
    #expect(paths(merge.received(snapshot(3), of: other.parts[1])) == ["dc2 2", "dc3 3"])
    #expect(merge.parts == Set(other.parts))
    #expect(merge.received(snapshot(8), of: centers.parts[0]) == nil, "no longer a part")
  }

  @Test("a plan of the same parts is in force at once") func sameParts() {
    var merge = WatchMerge(centers, agent: "a", guards: false)
    _ = merge.received(snapshot(1), of: centers.parts[0])
    _ = merge.received(snapshot(2), of: centers.parts[1])
    var other = centers
    other.note = "new"
    #expect(merge.adopt(other)?.note == "consul a: new; dc1: 1; dc2: 1")
  }

  @Test(
    "parts without an instance, or that cannot be asked, leave the old plan in force; it says why")
  func unknownParts() {
    var merge = WatchMerge(centers, agent: "a", guards: false)
    _ = merge.received(snapshot(1), of: centers.parts[0])
    _ = merge.received(snapshot(2), of: centers.parts[1])
    let other = WatchPlan([.init(["new"], ConsulQuery("y"), label: "y")], note: "chain")
    _ = merge.adopt(other)
    let late = merge.delayPassed()
    #expect(paths(late) == ["dc1 1", "dc2 2"])
    #expect(
      late?.note == "consul a: dc1: 1; dc2: 1; not yet in force: chain; y: no answer yet")
    let refused = BlockingQuery.Snapshot([], "403", isAnswer: false)
    let still = merge.received(refused, of: other.parts[0])
    #expect(paths(still) == ["dc1 1", "dc2 2"])
    #expect(still?.note?.hasSuffix("not yet in force: chain; y: 403") == true)
    #expect(still?.isAnswer == true)
    // An answer without instances is one: so says Consul.
    let empty = merge.received(snapshot(), of: other.parts[0])
    #expect(paths(empty) == [])
    #expect(empty?.note == "consul a: chain; y: 0")
  }
}
