// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Testing
import TrunkDiscovery

@testable import TrunkConsul

/// A blocking query under a clock that is moved by hand.
private struct Rig {
  var query: BlockingQuery
  var now = ContinuousClock.now
  var random = SplitMix(state: 1)

  /// Of further answers.
  var info = AnswerInfo()

  init(explains: Bool = false, wait: Duration = .seconds(60), maxStale: Duration? = nil) {
    query = BlockingQuery(wait: wait, explains: explains, maxStale: maxStale)
  }
  mutating func begin() -> BlockingQuery.Step { query.begin(at: now) }
  mutating func answer(_ index: String?, _ ports: UInt16...) -> BlockingQuery.Step {
    query.answered(.init(index: index, mapping(ports), info), at: now, using: &random)
  }
  mutating func fail(_ failure: BlockingQuery.Failure) -> BlockingQuery.Step {
    query.failed(failure, at: now, using: &random)
  }
  mutating func wake(after duration: Duration = .zero) -> BlockingQuery.Step {
    now += duration
    return query.timerFired(at: now)
  }
  func mapping(_ ports: [UInt16]) -> InstanceMapping {
    var mapping = InstanceMapping([], for: ConsulQuery("x"))
    mapping.endpoints = ports.map { Endpoint(.host("h", $0)) }
    mapping.counts.passing = ports.count
    return mapping
  }
}

extension BlockingQuery.Step {
  fileprivate var ports: [UInt16]? {
    publish?.endpoints.compactMap { endpoint in
      if case .host(_, let port)? = endpoint.addresses.first { port } else { nil }
    }
  }
  fileprivate var index: UInt64?? {
    if case .query(let index, _, _) = next { .some(index) } else { nil }
  }
  fileprivate var sleep: Duration? {
    switch next {
    case .sleep(let duration), .backOff(let duration, _): duration
    default: nil
    }
  }
  fileprivate var wait: Duration? {
    if case .query(_, let wait, _) = next { wait } else { nil }
  }
}

@Suite("Blocking queries") struct BlockingQueryTests {
  @Test("the first query has no index, so that calls can start") func first() {
    var rig = Rig()
    #expect(rig.begin().next == .query(index: nil, wait: nil, timeout: .seconds(4)))
    let step = rig.answer("12")
    #expect(step.publish == .init([], "no instance is registered"), "empty is an answer too")
    #expect(step.index == 12)
  }

  @Test("only a different set is published") func same() {
    var rig = Rig()
    _ = rig.begin()
    #expect(rig.answer("5", 1, 2).ports == [1, 2])
    #expect(rig.answer("6", 1, 2).publish == nil)
    #expect(rig.answer("7", 2, 1).publish == nil, "order is no difference")
    #expect(rig.answer("8", 1).ports == [1])
  }

  @Test("another agent may have lost its state: an answer of it without instances is held")
  func moved() {
    var rig = Rig()
    _ = rig.begin()
    _ = rig.answer("500", 1, 2)
    #expect(rig.query.moved(at: rig.now).index == .some(nil))
    #expect(rig.answer("12").ports == [1, 2])
    rig.now += .seconds(31)
    #expect(rig.answer("12").ports == [])
  }

  @Test("an index that goes back is reset to 0") func back() {
    var rig = Rig()
    _ = rig.begin()
    #expect(rig.answer("500", 1).index == 500)
    let step = rig.answer("12", 2)
    #expect(step.ports == [2], "what came with it is the present state")
    #expect(step.index == .some(nil), "asked again at once, without an index")
    #expect(rig.answer("12", 2).index == 12)
  }

  @Test("an index is at least 1") func zero() {
    var rig = Rig()
    _ = rig.begin()
    #expect(rig.answer("0", 1).index == 1)
    #expect(rig.answer("0", 1).index == .some(nil), "back from 1 to 0")
  }

  @Test(
    "an answer without a usable index is an error",
    arguments: [nil, "", "x", "-1", "18446744073709551616"])
  func unusable(index: String?) {
    var rig = Rig()
    _ = rig.begin()
    let step = rig.answer(index, 1)
    #expect(step.sleep != nil)
    #expect(step.publish?.endpoints == [])
    #expect(rig.wake(after: .seconds(1)).index == .some(nil))
    #expect(rig.answer("18446744073709551615", 1).index == .max)
  }

  @Test(
    "after a transport error or an error status the index starts over",
    arguments: [
      BlockingQuery.Failure.transport("reset"), .status(500, "500 x"), .malformed("garbage"),
    ])
  func startsOver(failure: BlockingQuery.Failure) {
    var rig = Rig()
    _ = rig.begin()
    _ = rig.answer("500", 1)
    _ = rig.fail(failure)
    #expect(rig.wake(after: .seconds(1)).index == .some(nil))
  }

  @Test("the deadline is the wait, a sixteenth and a margin") func deadline() {
    var rig = Rig(wait: .seconds(160))
    _ = rig.begin()
    rig.now += .seconds(600)
    #expect(
      rig.answer("5", 1).next == .query(index: 5, wait: .seconds(160), timeout: .seconds(180)))
    var long = Rig(wait: .seconds(6_000))
    _ = long.begin()
    long.now += .seconds(600)
    #expect(long.answer("5", 1).wait == .seconds(600), "ten minutes at most")
    var short = Rig(wait: .zero)
    _ = short.begin()
    #expect(short.answer("5", 1).wait == .seconds(1))
  }

  @Test("changes that follow each other wait 0.5 s at most") func pace() {
    var rig = Rig()
    _ = rig.begin()
    var longest = Duration.zero
    var early = 0
    for index in 1...2_000 {
      let step = rig.answer("\(index)", UInt16(index))
      #expect(step.publish != nil)
      guard let delay = step.sleep else { early += 1; continue }
      longest = max(longest, delay)
      #expect(rig.wake(after: delay).index == UInt64(index))
    }
    #expect(longest <= .milliseconds(500))
    #expect(early <= 10, "a burst of ten, then one per half second")
  }

  @Test("answers that change nothing are thinned out to one in 15 s") func idlePace() {
    var rig = Rig()
    _ = rig.begin()
    let start = rig.now
    var asked = 0
    while rig.now < start + .seconds(600) {
      let step = rig.answer("\(asked + 1)", 1)
      asked += 1
      if let delay = step.sleep { _ = rig.wake(after: delay) }
    }
    #expect(asked > 300)
    #expect(asked < 350)
    #expect(rig.answer("9999", 1).sleep ?? .zero <= .seconds(15))
  }

  @Test("an agent that always answers index 0 at once does not make a hot loop")
  func spinning() {
    var rig = Rig()
    _ = rig.begin()
    let start = rig.now
    var asked = 0
    while rig.now < start + .seconds(60) {
      if let delay = rig.answer("0", 1).sleep { _ = rig.wake(after: delay) }
      asked += 1
      if asked > 1_000 { break }
    }
    #expect(asked < 140)
  }

  @Test("polls begin short and wait about as long as the watch has lived, at most")
  func shortPolls() {
    var rig = Rig()
    _ = rig.begin()
    var waits: [Duration] = []
    for _ in 0..<8 {
      let wait = rig.answer("5", 1).wait ?? .zero
      waits.append(wait)
      rig.now += wait + wait / 16
    }
    #expect(waits == [1, 2, 5, 10, 20, 40, 60, 60].map { .seconds($0) })
    // Answers that come at once make nobody older.
    var busy = Rig()
    _ = busy.begin()
    for index in 1...9 { #expect(busy.answer("\(index)", UInt16(index)).wait == .seconds(1)) }
  }

  @Test("without room for a long poll it asks every few seconds, without an index")
  func overBudget() throws {
    var rig = Rig()
    _ = rig.begin()
    #expect(rig.answer("5", 1).index == 5)
    let pause = try #require(rig.query.overBudget(using: &rig.random).sleep)
    #expect(pause >= .seconds(4) && pause <= .seconds(6))
    #expect(
      rig.wake(after: pause).next == .query(index: nil, wait: nil, timeout: .seconds(4)))
    #expect(rig.answer("6", 2).index == 6, "and tries a long poll again")
  }

  @Test(
    "while no instance is known no back-off is longer than 5 s",
    arguments: [
      BlockingQuery.Failure.transport("refused"), .status(403, "403"), .status(400, "400"),
      .status(500, "500"), .malformed("x"),
    ])
  func shortBackoff(failure: BlockingQuery.Failure) {
    var rig = Rig()
    _ = rig.begin()
    for _ in 0..<30 {
      #expect(rig.fail(failure).sleep ?? .seconds(99) <= .seconds(5))
      _ = rig.wake(after: .seconds(5))
    }
    _ = rig.answer("5")
    for _ in 0..<30 { #expect(rig.fail(failure).sleep ?? .seconds(99) <= .seconds(5)) }
    _ = rig.answer("5", 1)
    for _ in 0..<30 { _ = rig.fail(failure) }
    guard case .backOff(let duration, let least) = rig.fail(failure).next else {
      Issue.record("no back-off")
      return
    }
    #expect(duration > .seconds(6), "with instances it is as patient as before")
    #expect(least == .seconds(1), "a call that finds no server ends it after a second")
  }

  @Test("back-off grows to 60 s and starts over with the first success") func backoff() {
    var rig = Rig()
    _ = rig.begin()
    _ = rig.answer("5", 1)
    var delays: [Duration] = []
    for _ in 0..<20 {
      let step = rig.fail(.transport("connection refused"))
      delays.append(step.sleep ?? .zero)
      _ = rig.wake(after: step.sleep ?? .zero)
    }
    #expect(delays[0] >= .milliseconds(50) && delays[0] <= .milliseconds(450))
    #expect(delays[3] > delays[0])
    #expect(delays[19] >= .seconds(48) && delays[19] <= .seconds(72))
    _ = rig.answer("5", 1)
    #expect(rig.fail(.transport("x")).sleep ?? .zero <= .milliseconds(450))
  }

  @Test("the last good set stays while the agent is away, and the note says so")
  func keeps() {
    var rig = Rig()
    _ = rig.begin()
    #expect(
      rig.fail(.transport("connection refused")).publish
        == .init([], "connection refused", isAnswer: false))
    _ = rig.wake(after: .seconds(1))
    _ = rig.answer("5", 1, 2)
    let lost = rig.fail(.transport("connection refused"))
    #expect(lost.ports == [1, 2])
    #expect(lost.publish?.note == "connection refused; the last 2 instances are kept")
    #expect(rig.fail(.transport("connection refused")).publish == nil, "said once")
    #expect(rig.answer("5", 1, 2).publish?.note == "2 instances, 2 passing")
  }

  @Test(
    "each status has its own patience",
    arguments: [
      (400, Duration.seconds(48)), (403, .seconds(8)), (404, .seconds(8)),
      (429, .milliseconds(800)), (500, .milliseconds(200)), (503, .milliseconds(200)),
    ])
  func statuses(status: Int, least: Duration) throws {
    var rig = Rig()
    _ = rig.begin()
    _ = rig.answer("5", 1)
    let step = rig.fail(.status(status, "\(status) why"))
    let delay = try #require(step.sleep)
    #expect(delay >= least)
    #expect(delay < least * 2)
    #expect(step.publish?.note == "\(status) why; the last instance is kept")
  }

  @Test("an empty answer without a break is published at once") func emptyAtOnce() {
    var rig = Rig()
    _ = rig.begin()
    _ = rig.answer("5", 1)
    #expect(rig.answer("6").ports == [])
    _ = rig.answer("7", 1)
    _ = rig.fail(.status(429, "429"))
    #expect(rig.answer("8").ports == [], "a 4xx is no break")
  }

  @Test("an empty answer after a transport error is believed after 30 s") func hold() {
    var rig = Rig()
    _ = rig.begin()
    _ = rig.answer("500", 1, 2)
    _ = rig.fail(.transport("reset"))
    _ = rig.wake(after: .seconds(1))
    let held = rig.answer("12")
    #expect(held.ports == [1, 2])
    #expect(held.publish?.note.contains("kept for 30s") == true)
    let start = rig.now
    var asked = 0
    while true {
      // The agent takes up to a sixteenth longer.
      guard
        case .query(_, let wait?, _) = asked == 0 ? held.next : rig.query.begin(at: rig.now).next
      else { break }
      rig.now += wait + wait / 16
      asked += 1
      let step = rig.answer("12")
      if step.ports == [] { break }
      #expect(step.publish == nil)
      if asked > 20 { break }
    }
    #expect(rig.now - start >= .seconds(30))
    #expect(rig.now - start <= .seconds(31))
    #expect(asked <= 5)
  }

  @Test("an empty answer after an index that went back is held too, and a return ends it")
  func holdAfterReset() {
    var rig = Rig()
    _ = rig.begin()
    _ = rig.answer("500", 1)
    #expect(rig.answer("12").ports == [1])
    #expect(rig.answer("12").publish == nil)
    #expect(rig.answer("14", 2).ports == [2])
    #expect(rig.answer("15").ports == [], "no break since")
  }

  @Test("a second break does not lengthen the hold") func oneHold() {
    var rig = Rig()
    _ = rig.begin()
    _ = rig.answer("500", 1)
    _ = rig.fail(.transport("x"))
    _ = rig.answer("12")
    rig.now += .seconds(29)
    _ = rig.fail(.transport("x"))
    #expect(rig.answer("12").ports == [1])
    rig.now += .seconds(1)
    #expect(rig.answer("12").ports == [])
  }

  @Test("nothing passing: one more question says why, rarely") func explains() {
    var rig = Rig(explains: true)
    _ = rig.begin()
    #expect(rig.answer("5").next == .explain(timeout: .seconds(1)))
    let step = rig.query.explained(InstanceCounts(critical: 3), at: rig.now)
    #expect(step.publish == .init([], "3 instances, 0 passing (3 critical)"))
    #expect(step.index == 5)
    #expect(rig.answer("6").publish == nil, "not asked again within 5 s")
    rig.now += .seconds(5)
    #expect(rig.answer("7").next == .explain(timeout: .seconds(1)))
    #expect(
      rig.query.explained(nil, at: rig.now).publish == .init([], "no passing instances"))
    #expect(rig.answer("8", 1).publish?.endpoints.count == 1)
    #expect(rig.answer("9").next == .explain(timeout: .seconds(1)), "a new loss is asked about")
  }

  @Test("any order of answers and failures keeps the rules") func property() {
    for seed in 0..<300 {
      var rig = Rig(explains: seed.isMultiple(of: 2), maxStale: seed % 3 == 0 ? .seconds(10) : nil)
      rig.random.state = UInt64(seed)
      var source = SplitMix(state: UInt64(seed) &+ 99)
      var step = rig.begin()
      var last: BlockingQuery.Snapshot?
      for _ in 0..<200 {
        if let published = step.publish {
          #expect(published != last)
          last = published
        }
        switch step.next {
        case .sleep(let duration), .backOff(let duration, _):
          #expect(duration > .zero && duration <= .seconds(72))
          step = rig.wake(after: duration)
        case .explain: step = rig.query.explained(nil, at: rig.now)
        case .queryLeader:
          step = Bool.random(using: &source) ? rig.answer("7", 1) : rig.fail(.status(500, "x"))
        case .query(let index, let wait, let timeout):
          #expect(index != 0)
          #expect((index == nil) == (wait == nil))
          if let wait { #expect(timeout >= wait + wait / 16 && wait >= .milliseconds(1)) }
          rig.now += .milliseconds(Int64.random(in: 0...2_000, using: &source))
          rig.info.lastContact = .seconds(Int.random(in: 0...12, using: &source))
          rig.info.knowsLeader = Bool.random(using: &source)
          switch Int.random(in: 0..<5, using: &source) {
          case 0: step = rig.fail(.transport("x"))
          case 1: step = rig.fail(.status(Int.random(in: 400...599, using: &source), "x"))
          case 2: step = rig.answer("\(Int.random(in: 0...40, using: &source))")
          default:
            step = rig.answer(
              "\(Int.random(in: 0...40, using: &source))", .random(in: 1...3, using: &source))
          }
        }
      }
    }
  }
}
