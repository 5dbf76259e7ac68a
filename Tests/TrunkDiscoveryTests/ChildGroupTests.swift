// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Testing

@testable import TrunkDiscovery

@Suite("Several children of a policy") struct ChildGroupTests {
  @Test("a subchannel has an owner until it is closed, a child is there until its time has passed")
  func owners() throws {
    let robin = try BalancerRegistry().prepare(BalancerChoice("round_robin"))
    var group = ChildGroup()
    var actions = BalancerActions()
    _ = group.install("x", robin, Resolution([a, b]), &actions)
    #expect(group.owner(one) == "x" && group.owner(two) == "x")
    _ = group.install("x", robin, Resolution([b]), &actions)
    #expect(group.owner(one) == nil && group.owner(two) == "x")

    group.deactivate("x", &actions)
    #expect(!group.isActive("x") && group.contains("x"))
    actions.now = ChildGroup.retention - 1
    group.removeExpired(&actions)
    #expect(group.names == ["x"])
    actions.now = ChildGroup.retention
    group.removeExpired(&actions)
    #expect(group.names.isEmpty && group.owner(two) == nil)
    #expect(actions.drain().last == .close(two))
  }

  @Test("of more than a hundred kept children the one that is due first is closed") func kept()
    throws
  {
    let robin = try BalancerRegistry().prepare(BalancerChoice("round_robin"))
    var group = ChildGroup()
    var actions = BalancerActions()
    for i in 0..<150 as Range<UInt64> {
      actions.now = i
      _ = group.install("\(i)", robin, Resolution([a]), &actions)
      group.deactivate("\(i)", &actions)
    }
    #expect(Set(group.names) == Set((50..<150).map { "\($0)" }))
    let closed = actions.drain().compactMap { if case .close(let id) = $0 { id.raw } else { nil } }
    #expect(closed == Array(1...50))
  }

  @Test("an endpoint reaches the child that its path begins with, the rest of the path goes along")
  func shares() {
    let all = Resolution([a.at("x", "y"), b.at("z"), c])
    let shares = all.shares
    #expect(shares == ["x": [a.at("y")], "z": [b]])
    #expect(all.share(of: "x", shares).endpoints == [a.at("y")])
    #expect(
      all.share(of: "q", shares).note == "none of the 3 endpoints is for the child \"q\"")
    #expect(Resolution([], note: "0 passing").share(of: "q", [:]).note == "0 passing")
  }
}
