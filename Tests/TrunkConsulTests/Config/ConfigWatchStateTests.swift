// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Logging
import Testing
import TrunkDiscovery

@testable import TrunkConsul

/// A key's watch under a clock that is moved by hand.
private struct Rig {
  var state = ConfigWatchState(wait: .seconds(60))
  var now = ContinuousClock.now
  var random = SplitMix(state: 1)

  mutating func begin() -> ConfigWatchState.Step { state.begin(at: now) }
  mutating func answer(
    _ text: String?, _ index: String? = "7", knowsLeader: Bool? = true
  ) -> ConfigWatchState.Step {
    state.answered(
      text.map { Array($0.utf8) }, isMissing: text == nil, index: index, knowsLeader: knowsLeader,
      at: now, using: &random)
  }
  mutating func fail(_ failure: PollSchedule.Failure) -> ConfigWatchState.Step {
    state.failed(failure, at: now, using: &random)
  }
}

private func value(_ text: String?, problem: String? = nil) -> ConfigWatchState.Snapshot {
  ConfigWatchState.Snapshot(.some(text.map { Array($0.utf8) }), problem: problem)
}

@Suite("The watch of a config") struct ConfigWatchStateTests {
  @Test("the first query has no index, later ones have; an answer without news publishes nothing")
  func follows() {
    var rig = Rig()
    #expect(rig.begin().next == .query(index: nil, wait: nil, timeout: .seconds(4)))
    let first = rig.answer("{}")
    #expect(first.publish == value("{}"))
    #expect(
      first.next
        == .query(
          index: 7, wait: .seconds(1), timeout: .seconds(11) + .nanoseconds(62_500_000)))
    #expect(rig.answer("{}", "9").publish == nil)
    #expect(rig.answer("[]", "10").publish == value("[]"))
  }

  @Test("a missing key has an index and is waited for; a deleted one is published at once")
  func missing() {
    var rig = Rig()
    _ = rig.begin()
    let first = rig.answer(nil, "3")
    #expect(first.publish == value(nil))
    guard case .query(index: 3, wait: _?, timeout: _) = first.next else {
      Issue.record("\(first.next)")
      return
    }
    #expect(rig.answer("{}", "4").publish == value("{}"))
    #expect(rig.answer(nil, "5").publish == value(nil))
  }

  @Test("an index that goes back, or is missing, starts over") func index() {
    var rig = Rig()
    _ = rig.begin()
    _ = rig.answer("{}", "500")
    let back = rig.answer("{}", "12")
    #expect(back.next == .query(index: nil, wait: nil, timeout: .seconds(4)))
    let none = rig.answer("{}", nil)
    #expect(
      none.publish == value("{}", problem: "an answer without a usable X-Consul-Index"))
    guard case .backOff = none.next else {
      Issue.record("\(none.next)")
      return
    }
  }

  @Test("another agent may have lost its state: a key that it lacks is held") func moved() {
    var rig = Rig()
    _ = rig.begin()
    _ = rig.answer("{}", "500")
    _ = rig.state.moved(at: rig.now)
    #expect(rig.answer(nil, "12").publish?.value == .some(Array("{}".utf8)))
  }

  @Test("after an error a missing key keeps the value for the hold, then it is believed")
  func hold() {
    var rig = Rig()
    _ = rig.begin()
    _ = rig.answer("{}", "500")
    let lost = rig.fail(.transport("reset"))
    #expect(lost.publish == value("{}", problem: "reset"))
    let kept = rig.answer(nil, "12")
    #expect(
      kept.publish
        == value("{}", problem: "is missing since the agent was lost; the last one is kept for 30s")
    )
    rig.now += .seconds(30)
    #expect(rig.answer(nil, "12").publish == value(nil))
    // And the next deletion takes effect at once.
    #expect(rig.answer("{}", "13").publish == value("{}"))
    #expect(rig.answer(nil, "14").publish == value(nil))
  }

  @Test("without a leader a missing key is kept") func leaderless() {
    var rig = Rig()
    _ = rig.begin()
    _ = rig.answer("{}", "500")
    #expect(rig.answer(nil, "501", knowsLeader: false).publish?.value == value("{}").value)
    #expect(rig.answer(nil, "502", knowsLeader: true).publish == value(nil))
  }

  @Test("while nothing is known the back-off is 5 s at most, else a refusal is 10 s at least")
  func backOff() {
    var rig = Rig()
    _ = rig.begin()
    func delay(_ step: ConfigWatchState.Step) -> Duration? {
      if case .backOff(let delay, _) = step.next { delay } else { nil }
    }
    let first = rig.fail(.status(403, "403 Permission denied"))
    #expect(first.publish == .init(nil, problem: "403 Permission denied"))
    #expect(delay(first) == .seconds(5))
    _ = rig.answer("{}")
    #expect(delay(rig.fail(.status(403, "403 Permission denied")))! >= .seconds(8))
  }

  @Test("polls beyond the budget are queries without waiting, every few seconds")
  func overBudget() {
    var rig = Rig()
    _ = rig.begin()
    _ = rig.answer("{}")
    guard case .sleep(let pause) = rig.state.overBudget(using: &rig.random).next else {
      Issue.record("no pause")
      return
    }
    #expect((.seconds(4)...(.seconds(6))).contains(pause))
    #expect(
      rig.state.timerFired(at: rig.now).next
        == .query(index: nil, wait: nil, timeout: .seconds(4)))
  }
}

@Suite("A config's value") struct ConfigReaderTests {
  private func reader(percentile: Int = 30) -> ConfigReader {
    ConfigReader("a/b", choice: ServiceConfigChoice(hostname: "me", percentile: percentile))
  }

  @Test("a good value is the config; a bad one is an error, and one warning") func bad() throws {
    var reader = reader()
    let good = reader.read(value(#"{"loadBalancingPolicy": "round_robin"}"#))
    #expect(good.snapshot.config?.balancer == "round_robin")
    #expect(good.snapshot.note == "config from kv:a/b")
    #expect(good.log.isEmpty)
    let bad = reader.read(value("{,"))
    #expect(bad.snapshot.config == nil)
    #expect(bad.snapshot.error?.path.hasPrefix("kv:a/b") == true)
    #expect(bad.snapshot.note == "config at kv:a/b refused")
    #expect(bad.log.map(\.level) == [.warning])
    #expect(reader.read(value("{,", problem: "reset")).log.isEmpty, "the same value")
  }

  @Test("a field that is wrong is named with the key") func field() {
    var reader = reader()
    let read = reader.read(value(#"{"retryThrottling": {"maxTokens": -1, "tokenRatio": 1}}"#))
    #expect(read.snapshot.error?.path == "kv:a/b: retryThrottling.maxTokens")
  }

  @Test("deleted: no config, with a line; never there: no config, without one; empty: refused")
  func gone() {
    var reader = reader()
    #expect(reader.read(value(nil)).snapshot == ConfigSnapshot(note: "no config at kv:a/b"))
    #expect(reader.read(value(nil)).log.isEmpty)
    #expect(reader.read(value("{}")).log.map(\.text) == ["kv:a/b has a new config"])
    let empty = reader.read(value(""))
    #expect(empty.snapshot.error?.reason == "the value is empty")
    let gone = reader.read(value(nil))
    #expect(gone.snapshot == ConfigSnapshot(note: "no config at kv:a/b"))
    #expect(
      gone.log.map(\.text) == ["kv:a/b was deleted, the channels' own defaults hold"])
  }

  @Test("more than 512 KiB are refused") func size() {
    var reader = reader()
    let largest = "{" + String(repeating: " ", count: 512 * 1024 - 2) + "}"
    #expect(reader.read(value(largest)).snapshot.error == nil)
    #expect(
      reader.read(value(largest + " ")).snapshot.error?.reason
        == "524289 bytes; at most 524288 are allowed")
  }

  @Test("a list of choices is chosen from as in a TXT record (gRFC A2)") func choices() {
    let list = """
      [{"clientLanguage": ["go"], "serviceConfig": {"loadBalancingPolicy": "a"}},
       {"percentage": 30, "serviceConfig": {"loadBalancingPolicy": "b"}},
       {"clientHostname": ["me"], "serviceConfig": {"loadBalancingPolicy": "c"}}]
      """
    var above = reader(percentile: 30)
    var below = reader(percentile: 29)
    #expect(above.read(value(list)).snapshot.config?.balancer == "c")
    #expect(below.read(value(list)).snapshot.config?.balancer == "b")
    let none = below.read(value(#"[{"percentage": 0, "serviceConfig": {}}]"#)).snapshot
    #expect(none == ConfigSnapshot(note: "no config for this client at kv:a/b"))
    let broken = below.read(value("[{}]")).snapshot
    #expect(broken.error?.path == "kv:a/b: [0].serviceConfig")
  }

  @Test("a key's percentile stays for the life of the process") func percentile() {
    let one = ConfigReader.percentile(of: "a")
    #expect((0..<100).contains(one))
    #expect(ConfigReader.percentile(of: "a") == one)
    #expect(Set((0..<200).map { ConfigReader.percentile(of: "key-\($0)") }).count > 50)
  }
}

@Suite("A service's reports with its config") struct ConfiguredReportsTests {
  private let found = Resolution([Endpoint(.host("h", 1))], note: "1 instance")
  private let known = ConfigSnapshot(config: ServiceConfig(), note: "config from kv:k")

  @Test("instances wait for the config, and are reported with it") func waits() {
    var reports = ConfiguredReports("k")
    #expect(reports.found(found) == nil)
    let report = reports.configured(known)
    #expect(report?.serviceConfig == ServiceConfig())
    #expect(report?.endpoints == found.endpoints)
    #expect(report?.note == "1 instance; config from kv:k")
    #expect(reports.configured(known) == nil, "nothing new")
    #expect(reports.delayPassed() == nil)
  }

  @Test("after the delay they are reported without it") func late() {
    var reports = ConfiguredReports("k")
    _ = reports.found(found)
    let report = reports.delayPassed()
    #expect(report?.note == "1 instance; the config at kv:k is not known yet")
    #expect(report?.serviceConfig == nil)
    #expect(reports.configured(known)?.serviceConfig == ServiceConfig())
  }

  @Test("a refusal that comes with the config's answer does not hold them back") func refused() {
    var reports = ConfiguredReports("k")
    let error = ServiceConfigError(path: "kv:k", "x")
    #expect(reports.configured(ConfigSnapshot(error: error, note: "refused")) == nil)
    #expect(reports.found(found)?.serviceConfigError == error)
  }

  @Test("a report keeps what else the resolver said") func keeps() {
    var reports = ConfiguredReports("k")
    _ = reports.configured(known)
    var kept = found
    kept.isAnswer = false
    #expect(reports.found(kept)?.isAnswer == false)
  }
}
