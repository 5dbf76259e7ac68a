// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Testing
import TrunkDiscovery

@testable import TrunkConsul

/// A query for passing instances under a clock moved by hand.
private struct Rig {
  var query: BlockingQuery
  var now = ContinuousClock.now
  var random = SplitMix(state: 1)
  var index = 10
  /// Ids of instances in maintenance, which a query without `passing` finds.
  var takenOut: Set<String> = []
  var explanations = 0
  var info = AnswerInfo()

  init(_ change: (inout BlockingQueryTiming) -> Void = { _ in }) {
    var timing = BlockingQueryTiming()
    change(&timing)
    query = BlockingQuery(wait: .seconds(60), explains: true, timing: timing)
    _ = query.begin(at: now)
  }
  mutating func passing(_ ports: UInt16..., idsAreNew: Bool = false) -> BlockingQuery.Step {
    var mapping = InstanceMapping([HealthEntry](), for: ConsulQuery("x"))
    mapping.endpoints = ports.map {
      Endpoint([.host("h", $0)], instanceID: idsAreNew ? "\($0) again" : "\($0)")
    }
    mapping.counts.passing = ports.count
    index += 1
    let step = query.answered(.init(index: "\(index)", mapping, info), at: now, using: &random)
    guard case .explain = step.next else { return step }
    explanations += 1
    return query.explained(InstanceCounts(passing: ports.count), takenOut: takenOut, at: now)
  }
  mutating func fail() -> BlockingQuery.Step {
    query.failed(.transport("reset"), at: now, using: &random)
  }
}

extension BlockingQuery.Step {
  fileprivate var ports: [UInt16]? { publish?.endpoints.compactMap(\.port) }
  fileprivate var lastResort: [UInt16]? { publish?.lastResort.compactMap(\.port) }
}
extension Endpoint {
  fileprivate var port: UInt16? {
    if case .host(_, let port)? = addresses.first { port } else { nil }
  }
}

@Suite("Instances that vanish in a mass") struct PanicGuardTests {
  @Test("more than half of the set, three at least, are a last resort, and the note says so")
  func kept() {
    var rig = Rig()
    #expect(rig.passing(1, 2, 3, 4, 5).lastResort == [])
    let step = rig.passing(1, 2)
    #expect(step.ports == [1, 2])
    #expect(step.lastResort == [3, 4, 5])
    #expect(
      step.publish?.note
        == "2 instances, 2 passing; 3 that vanished at once are a last resort for up to 5m")
    #expect(rig.explanations == 1)
  }

  @Test("half of the set, or two, are simply gone", arguments: [[1, 2], [1, 2, 3]])
  func few(_ left: [UInt16]) {
    var rig = Rig()
    _ = left.count == 2 ? rig.passing(1, 2, 3, 4) : rig.passing(1, 2, 3, 4, 5, 6)
    let step = left.count == 2 ? rig.passing(1, 2) : rig.passing(1, 2, 3)
    #expect(step.lastResort == [])
    #expect(rig.explanations == 0, "nothing is asked for")
  }

  @Test("a set that is gone as a whole is a last resort") func all() {
    var rig = Rig()
    _ = rig.passing(1, 2, 3)
    let step = rig.passing()
    #expect(step.ports == [])
    #expect(step.lastResort == [1, 2, 3])
  }

  @Test("instances in maintenance were taken out on purpose") func drained() {
    var rig = Rig()
    _ = rig.passing(1, 2, 3, 4, 5)
    rig.takenOut = ["3", "5"]
    #expect(rig.passing(1, 2).lastResort == [4])
    var whole = Rig()
    _ = whole.passing(1, 2, 3)
    whole.takenOut = ["1", "2", "3"]
    #expect(whole.passing().lastResort == [])
  }

  @Test("an instance that is listed again, or whose address another one has, is none any more")
  func back() {
    var rig = Rig()
    _ = rig.passing(1, 2, 3, 4, 5)
    _ = rig.passing(1)
    let step = rig.passing(1, 2)
    #expect(step.ports == [1, 2])
    #expect(step.lastResort == [3, 4, 5])
    #expect(rig.passing(3, 4, 5, idsAreNew: true).lastResort == [], "of other instances now")
    var restarted = Rig()
    _ = restarted.passing(1, 2, 3)
    #expect(restarted.passing(1, 2, 3, idsAreNew: true).lastResort == [])
  }

  @Test("it ends after its time, and a query is in time for that") func ends() {
    var rig = Rig()
    _ = rig.passing(1, 2, 3, 4)
    _ = rig.passing(1)
    rig.now += .seconds(290)
    let step = rig.passing(1)
    #expect(step.publish == nil)
    guard case .query(_, let wait?, _) = step.next else {
      Issue.record("\(step.next)")
      return
    }
    #expect(wait + wait / 16 <= .seconds(10))
    rig.now += .seconds(10)
    let end = rig.passing(1)
    #expect(end.lastResort == [])
    #expect(end.publish?.note == "1 instance, 1 passing")
  }

  @Test("they stay while the agent cannot be asked") func agentDown() {
    var rig = Rig()
    _ = rig.passing(1, 2, 3, 4)
    _ = rig.passing(1)
    let step = rig.fail()
    #expect(step.ports == [1])
    #expect(step.lastResort == [2, 3, 4])
    #expect(step.publish?.isAnswer == false)
  }

  @Test("time zero turns it off; share and number are settings") func settings() {
    var off = Rig { $0.panicHold = .zero }
    _ = off.passing(1, 2, 3, 4)
    #expect(off.passing(1).lastResort == [])
    #expect(off.explanations == 0)
    var strict = Rig {
      $0.panicThreshold = 0.9
      $0.panicMinimum = 1
    }
    _ = strict.passing(1, 2, 3, 4)
    #expect(strict.passing(1).lastResort == [])
    #expect(strict.passing().lastResort == [1], "all of one")
  }

  @Test(
    "a set is saved when it changed, after 10 s at the earliest, and never one that may be wrong")
  func saved() {
    var rig = Rig()
    #expect(rig.passing(1, 2, 3, 4).save?.count == 4)
    #expect(rig.passing(1, 2, 3).save == nil, "too soon")
    rig.now += .seconds(11)
    #expect(rig.passing(1, 2, 3).save?.count == 3, "late, but not forgotten")
    rig.now += .seconds(11)
    #expect(rig.passing(1, 2, 3).save == nil, "nothing new")
    rig.now += .seconds(3_600)
    #expect(rig.passing(1, 2, 3).save?.count == 3, "once an hour, for its age")
    rig.now += .seconds(11)
    rig.info.isFiltered = true
    #expect(rig.passing(1, 2).save == nil, "filtered by ACLs")
    rig.info.isFiltered = false
    rig.info.knowsLeader = false
    #expect(rig.passing(1).save == nil, "no leader")
    rig.info.knowsLeader = true
    #expect(rig.passing(1, 2, 3).save == nil, "as saved last")
    #expect(rig.passing(9).save == nil, "guarded")
  }

  @Test("a set from disk is used while there is no answer, and kept if the agent comes back empty")
  func stored() {
    let set = StoredSet([Endpoint([.host("h", 7)], instanceID: "7")], "1 of a file is used")
    var random = SplitMix(state: 1)
    var now = ContinuousClock.now
    var query = BlockingQuery(wait: .seconds(60), explains: false, stored: set)
    _ = query.begin(at: now)
    let down = query.failed(.transport("refused"), at: now, using: &random)
    #expect(down.ports == [7])
    #expect(down.publish?.note == "refused; 1 of a file is used")
    #expect(down.publish?.isAnswer == false)
    let none = InstanceMapping([HealthEntry](), for: ConsulQuery("x"))
    let empty = query.answered(.init(index: "5", none), at: now, using: &random)
    #expect(empty.ports == [7])
    now += .seconds(30)
    #expect(query.answered(.init(index: "6", none), at: now, using: &random).ports == [])
    var fresh = BlockingQuery(wait: .seconds(60), explains: false, stored: set)
    _ = fresh.begin(at: now)
    #expect(
      fresh.answered(.init(index: "5", none), at: now, using: &random).ports == [],
      "Consul's word counts")
    let later = fresh.failed(.transport("refused"), at: now, using: &random)
    #expect(later.ports == [], "also later")
  }
}
