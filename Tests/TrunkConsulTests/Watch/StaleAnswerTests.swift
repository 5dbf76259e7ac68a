// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Testing
import TrunkDiscovery
import TrunkTesting

@testable import TrunkConsul

/// A blocking query whose answers say how old they are, under a clock moved by hand.
private struct Rig {
  var query: BlockingQuery
  var now = ContinuousClock.now
  var random = SplitMix(state: 1)
  var index = 10

  init(maxStale: Duration? = .seconds(10), timing: BlockingQueryTiming = BlockingQueryTiming()) {
    query = BlockingQuery(
      wait: .seconds(60), explains: false, maxStale: maxStale, timing: timing)
    _ = query.begin(at: now)
    now += .seconds(600)
  }
  mutating func answer(
    _ ports: UInt16..., leader: Bool? = true, contact: Duration? = nil
  ) -> BlockingQuery.Step {
    var mapping = InstanceMapping([HealthEntry](), for: ConsulQuery("x"))
    mapping.endpoints = ports.map { Endpoint([.host("h", $0)], instanceID: "\($0)") }
    mapping.counts.passing = ports.count
    var info = AnswerInfo()
    info.knowsLeader = leader
    info.lastContact = contact
    index += 1
    return query.answered(.init(index: "\(index)", mapping, info), at: now, using: &random)
  }
  mutating func fail() -> BlockingQuery.Step {
    query.failed(.status(500, "500 No cluster leader"), at: now, using: &random)
  }
}

extension BlockingQuery.Step {
  fileprivate var ports: [UInt16]? {
    publish?.endpoints.compactMap { endpoint in
      if case .host(_, let port)? = endpoint.addresses.first { port } else { nil }
    }
  }
  fileprivate var wait: Duration? {
    if case .query(_, let wait, _) = next { wait } else { nil }
  }
}

@Suite("Old answers (Consul, Consistency Modes)") struct StaleAnswerTests {
  @Test("an answer of the first agent, after another one was asked, is as old as any") func moved()
  {
    var rig = Rig()
    #expect(rig.answer(1, contact: .seconds(60)).next == .queryLeader(timeout: .seconds(4)))
    _ = rig.query.moved(at: rig.now)
    let step = rig.answer(1, contact: .seconds(60))
    #expect(step.publish == nil)
    #expect(step.next == .queryLeader(timeout: .seconds(4)))
  }

  @Test("the headers of an answer are read; what is missing or malformed is not known")
  func headers() {
    var headers = HTTPHeaders()
    #expect(AnswerInfo(headers) == AnswerInfo())
    headers.add("X-Consul-KnownLeader", "false")
    headers.add("X-Consul-LastContact", "3600000")
    headers.add("Age", "5")
    headers.add("X-Cache", "HIT")
    headers.add("X-Consul-Query-Backend", "streaming")
    headers.add("X-Consul-Effective-Consistency", "leader")
    headers.add("X-Consul-Results-Filtered-By-ACLs", "true")
    headers.add("X-Consul-Default-ACL-Policy", "Deny")
    let info = AnswerInfo(headers)
    #expect(info.knowsLeader == false && info.lastContact == .seconds(3_600))
    #expect(info.age == .seconds(5) && info.cache == "HIT" && info.backend == "streaming")
    #expect(info.consistency == "leader" && info.isFiltered && info.defaultPolicy == "deny")
    #expect(
      info.description
        == "no leader known, last contact 1h ago, cache HIT, age 5s, by streaming, "
        + "consistency leader, filtered by ACLs")
    for text in ["", "x", "-1", "99999999999999999999"] {
      var headers = HTTPHeaders()
      headers.add("X-Consul-LastContact", text)
      headers.add("X-Consul-KnownLeader", text)
      #expect(AnswerInfo(headers) == AnswerInfo(), "\(text)")
    }
  }

  @Test(
    "a stale answer over the bound is not used: the leader is asked once, then stale ones again")
  func tooOld() {
    var rig = Rig()
    #expect(rig.answer(1, contact: .seconds(10)).ports == [1])
    let old = rig.answer(2, contact: .seconds(11))
    #expect(old.publish == nil && old.next == .queryLeader(timeout: .seconds(4)))
    let fresh = rig.answer(3)
    #expect(fresh.ports == [3])
    guard case .query(index: UInt64(rig.index), wait: .some, _) = fresh.next else {
      Issue.record("\(fresh.next)")
      return
    }
    // The leader's own answer is taken as it is.
    _ = rig.answer(4, contact: .seconds(11))
    #expect(rig.answer(5, contact: .seconds(60)).ports == [5])
    var unbounded = Rig(maxStale: nil)
    #expect(unbounded.answer(1, contact: .seconds(86_400)).ports == [1])
  }

  @Test("if the leader cannot be asked, the last set stays; without one the old answer is used")
  func noLeader() {
    var rig = Rig()
    _ = rig.answer(1, contact: .seconds(1))
    _ = rig.answer(2, contact: .seconds(11))
    let kept = rig.fail()
    #expect(kept.ports == [1] && kept.publish?.isAnswer == false)
    var first = Rig()
    _ = first.answer(2, contact: .seconds(11))
    #expect(first.fail().ports == [2])
  }

  @Test("without a leader, what vanishes is kept and said so; what is new is used at once")
  func leaderless() {
    var rig = Rig()
    #expect(rig.answer(1, 2, 3).ports == [1, 2, 3])
    let shrunk = rig.answer(1, 4, leader: false)
    #expect(shrunk.ports == [1, 4, 2, 3])
    #expect(
      shrunk.publish?.note == "2 instances, 2 passing; Consul's servers know no leader, "
        + "2 that vanished are kept for up to 10m")
    #expect(shrunk.wait == .seconds(5), "asked again soon: a new leader wakes no query")
    #expect(
      rig.answer(leader: false).publish?.endpoints.count == 4, "an empty answer takes none out")
    #expect(rig.answer(1, 4).ports == [1, 4], "a leader's answer counts")
  }

  @Test("the hold without a leader ends, and does not begin anew before there is a leader")
  func leaderlessEnds() {
    var rig = Rig()
    _ = rig.answer(1, 2)
    #expect(rig.answer(1, leader: false).ports == [1, 2])
    rig.now += .seconds(599)
    #expect(rig.answer(1, leader: false).ports == nil)
    rig.now += .seconds(1)
    #expect(rig.answer(1, leader: false).ports == [1])
    #expect(rig.answer(2, leader: false).ports == [2], "taken as it is from now on")
    _ = rig.answer(2, 3)
    #expect(rig.answer(2, leader: false).publish?.endpoints.count == 2)
  }

  @Test("over HTTP: the second request is without stale, the third a stale long poll again")
  func requests() async throws {
    @Sendable func entry(_ port: Int) -> String {
      #"[{"Node": {"Node": "n"}, "Service": {"ID": "a", "Address": "10.0.0.1", "Port": \#(port)}}]"#
    }
    let agent = try await ScriptedConsulAgent.start { request in
      if request["index"] != nil { return .hang }
      let isStale = request["stale"] != nil
      return .answer(
        200,
        headers: [
          "X-Consul-Index: 7", "X-Consul-LastContact: \(isStale ? 30_000 : 0)",
          "X-Consul-KnownLeader: true",
        ], body: entry(isStale ? 1 : 2))
    }
    defer { agent.stop() }
    let resolver = ConsulResolver(ConsulOptions(), watches: SharedWatches())
    let watching = try Watching(resolver, "consul://\(agent.address)/x?stale&max-stale=20s")
    #expect(await watching.next()?.endpoints.first?.addresses == [.host("10.0.0.1", 2)])
    let asked = try await eventually { agent.requests.count == 3 }
    #expect(asked)
    #expect(agent.requests.map { $0["stale"] != nil } == [true, false, true])
    #expect(agent.requests.map { $0["index"] } == [nil, nil, "7"])
    _ = await watching.stop()
  }

  @Test(
    "an answer that says nothing of a leader is taken as it is, and a hold of zero keeps nothing")
  func unknown() {
    var rig = Rig()
    _ = rig.answer(1, 2)
    #expect(rig.answer(1, leader: nil).ports == [1])
    var timing = BlockingQueryTiming()
    timing.leaderlessHold = .zero
    var off = Rig(timing: timing)
    _ = off.answer(1, 2)
    #expect(off.answer(1, leader: false).ports == [1])
  }
}
