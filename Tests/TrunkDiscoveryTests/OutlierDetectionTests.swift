// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Testing
import TrunkWire

@testable import TrunkDiscovery

extension PolicyBench {
  /// So many calls on a subchannel end, some of them with UNAVAILABLE.
  func calls(_ id: UInt64, _ count: Int, failed: Int = 0) {
    guard let observer = options[SubchannelID(id)]?.observer else { return }
    for i in 0..<count {
      observer.callBegan(at: 0)
      observer.callEnded(CallOutcome(code: i < failed ? .unavailable : nil, began: 0, ended: 0))
    }
  }
  var ejections: [Endpoint.Identity: UInt64] {
    (balancer as? OutlierDetection)?.ejections ?? [:]
  }
  /// The subchannels that calls go to.
  mutating func picked() -> Set<UInt64> {
    var picker = balancer.makePicker()
    let picks = (0..<100).map { _ in picker.pick(PickContext(path: "/", random: 0)) }
    return Set(picks.compactMap { if case .use(let id, _) = $0 { id.raw } else { nil } })
  }
}

@Suite("outlier_detection_experimental (gRFC A50, A61)") struct OutlierDetectionTests {
  let endpoints = (1...5 as ClosedRange<UInt16>).map { Endpoint(Address("10.0.0.1", $0)) }

  /// Five endpoints behind round_robin, all READY; failures above 85 % of at least 10 calls.
  private func bench(_ fields: String = "", failures: String? = #"{"requestVolume": 10}"#) throws
    -> PolicyBench
  {
    var bench = try PolicyBench(
      "outlier_detection_experimental", json: json(fields, failures: failures))
    bench.send(.resolved(Resolution(endpoints)))
    for id in 1...5 as ClosedRange<UInt64> { bench.turn(id, .ready) }
    return bench
  }
  private func json(_ fields: String, failures: String?) -> String {
    let algorithm = failures.map { #""failurePercentageEjection": \#($0), "# } ?? ""
    let rest = fields.isEmpty ? "" : fields + ", "
    return #"{\#(rest)\#(algorithm)"childPolicy": [{"round_robin": {}}]}"#
  }
  /// Gives a config as a service config that changed would.
  private func configure(_ bench: inout PolicyBench, _ json: String) throws {
    let policy = try BalancerRegistry().prepare(
      BalancerChoice("outlier_detection_experimental", json: Array(json.utf8)))
    let isTaken = policy.reconfigure(&bench.balancer)
    #expect(isTaken)
    bench.send(.resolved(Resolution(endpoints)))
  }

  @Test("what it explains: how many are ejected, and for each how long still") func explains()
    throws
  {
    var bench = try bench()
    bench.calls(1, 20, failed: 18)
    for id in 2...5 as ClosedRange<UInt64> { bench.calls(id, 20) }
    bench.advance(to: 10 * second)
    let explanation = bench.balancer.explain(now: 12 * second)
    #expect(explanation.notes == ["1 of 5 endpoints are ejected"])
    #expect(explanation.subchannels.keys.map(\.raw) == [1])
    #expect(explanation.subchannels.values.first?.hasSuffix("for another 28.0 s") == true)
    #expect(explanation.children.map(\.policy.name) == ["round_robin"])
  }

  @Test("the fields' names, defaults and bounds are A50's") func config() throws {
    func parse(_ json: String) throws -> OutlierDetectionConfig {
      try OutlierDetection.parse(Array(json.utf8))
    }
    let child = #""childPolicy": [{"round_robin": {}}]"#
    let defaults = try parse(
      #"{"successRateEjection": {}, "failurePercentageEjection": {}, \#(child)}"#)
    #expect(defaults.interval == 10 * second && defaults.baseEjectionTime == 30 * second)
    #expect(defaults.maxEjectionTime == 300 * second && defaults.maxEjectionPercent == 10)
    let rate = try #require(defaults.successRate)
    #expect(rate.stdevFactor == 1_900 && rate.enforcementPercentage == 100)
    #expect(rate.minimumHosts == 5 && rate.requestVolume == 100)
    let failures = try #require(defaults.failurePercentage)
    #expect(failures.threshold == 85 && failures.enforcementPercentage == 100)
    #expect(failures.minimumHosts == 5 && failures.requestVolume == 50)
    let none = try parse("{\(child)}")
    #expect(none.successRate == nil && none.failurePercentage == nil && !none.counts)
    let own = try parse(
      #"{"interval": "1s", "baseEjectionTime": "2.5s", "maxEjectionTime": "315576000000s", \#(child)}"#
    )
    #expect(own.interval == second && own.baseEjectionTime == 2_500_000_000)
    #expect(own.maxEjectionTime == UInt64(Int64.max))
    #expect(try parse(#"{"interval": "0s", \#(child)}"#).interval == 10_000_000)
    for bad in [
      #""interval": "-1s""#, #""maxEjectionPercent": 101"#, #""interval": 1"#,
      #""successRateEjection": {"enforcementPercentage": 101}"#,
      #""failurePercentageEjection": {"threshold": 101}"#,
      #""failurePercentageEjection": {"enforcementPercentage": -1}"#,
    ] {
      #expect(throws: ServiceConfigError.self) { try parse("{\(bad), \(child)}") }
    }
    #expect {
      try parse("{}")
    } throws: {
      "\($0)" == "service config: outlier_detection_experimental.childPolicy: missing"
    }
  }

  @Test(
    "an endpoint that fails is ejected at the interval's end, its connection kept, and comes back")
  func ejects() throws {
    var bench = try bench()
    #expect(bench.wakes == [10 * second])
    bench.calls(1, 20, failed: 18)
    for id in 2...5 as ClosedRange<UInt64> { bench.calls(id, 20) }
    bench.advance(to: 10 * second - 1)
    #expect(bench.picked() == [1, 2, 3, 4, 5])
    bench.advance(to: 10 * second)
    #expect(bench.commands == [.wake(at: 20 * second), .changed(.ready)])
    #expect(bench.picked() == [2, 3, 4, 5] && bench.closed.isEmpty)
    #expect(bench.ejections == [endpoints[0].identity: 40 * second])
    bench.advance(to: 39 * second)
    #expect(bench.picked() == [2, 3, 4, 5])
    bench.advance(to: 40 * second)
    #expect(bench.picked() == [1, 2, 3, 4, 5] && bench.ejections.isEmpty)
  }

  @Test(
    "its failures are few: threshold, volume and hosts",
    arguments: [
      (17, 20, 5), (9, 9, 5), (20, 20, 4),
    ])
  func spares(failed: Int, calls: Int, hosts: Int) throws {
    var bench = try bench()
    bench.calls(1, calls, failed: failed)
    for id in 2..<(UInt64(hosts) + 1) { bench.calls(id, 10) }
    bench.advance(to: 10 * second)
    #expect(bench.ejections.isEmpty)
  }

  @Test("success rate: far below the mean of all, by the deviation's factor") func successRate()
    throws
  {
    func ejected(_ rates: [Int], _ factor: Int) throws -> [Endpoint.Identity] {
      var bench = try bench(
        #""successRateEjection": {"stdevFactor": \#(factor)}, "maxEjectionPercent": 100"#,
        failures: nil)
      for (i, rate) in rates.enumerated() { bench.calls(UInt64(i + 1), 100, failed: 100 - rate) }
      bench.advance(to: 10 * second)
      return endpoints.map(\.identity).filter { bench.ejections[$0] != nil }
    }
    // Mean 80, deviation 40: the worst is two deviations below.
    #expect(try ejected([100, 100, 100, 100, 0], 1_900) == [endpoints[4].identity])
    #expect(try ejected([100, 100, 100, 100, 0], 2_000) == [])
    #expect(try ejected([100, 100, 100, 0, 0], 1_000) == [3, 4].map { endpoints[$0].identity })
    #expect(try ejected([90, 90, 90, 90, 90], 0) == [], "equal ones are no outliers")
  }

  @Test(
    "at most maxEjectionPercent are ejected, the worst first; one may always be",
    arguments: [
      (0, [3]), (10, [3]), (20, [3]), (40, [3, 2]), (100, [3, 2, 1]),
    ])
  func share(percent: Int, ejected: [Int]) throws {
    var bench = try bench(#""maxEjectionPercent": \#(percent)"#)
    for id in 1...5 as ClosedRange<UInt64> {
      bench.calls(id, 100, failed: id < 4 ? 90 + Int(id) : 0)
    }
    bench.advance(to: 10 * second)
    #expect(Set(bench.ejections.keys) == Set(ejected.map { endpoints[$0 - 1].identity }))
  }

  @Test("enforcementPercentage: so many of a hundred outliers are ejected") func enforcement()
    throws
  {
    for (percent, expected) in [(0, 0...0), (30, 30...90), (100, 200...200)] {
      var count = 0
      for seed in 0..<200 {
        var bench = try bench(
          failures: #"{"requestVolume": 10, "enforcementPercentage": \#(percent)}"#)
        bench.actions.random = Seeded(UInt64(seed))
        bench.calls(1, 10, failed: 10)
        for id in 2...5 as ClosedRange<UInt64> { bench.calls(id, 10) }
        bench.advance(to: 10 * second)
        count += bench.ejections.count
      }
      #expect(expected.contains(count), "\(percent) %")
    }
  }

  @Test(
    "each ejection lasts one base time longer, up to the maximum; each interval in use takes one off"
  )
  func multiplier() throws {
    var bench = try bench(#""baseEjectionTime": "20s", "maxEjectionTime": "50s""#)
    func fail(_ bench: inout PolicyBench) {
      bench.calls(1, 10, failed: 10)
      for id in 2...5 as ClosedRange<UInt64> { bench.calls(id, 10) }
    }
    var lengths: [UInt64] = []
    for _ in 0..<4 {
      fail(&bench)
      bench.advance(to: bench.wakes[0])
      let until = try #require(bench.ejections[endpoints[0].identity])
      lengths.append((until - bench.actions.now) / second)
      bench.advance(to: until)
      #expect(bench.ejections.isEmpty)
    }
    #expect(lengths == [20, 40, 50, 50])
    // Three intervals in use: from four steps to one.
    bench.advance(to: bench.actions.now + 30 * second)
    fail(&bench)
    bench.advance(to: bench.wakes[0])
    #expect(bench.ejections[endpoints[0].identity] == bench.actions.now + 40 * second)
  }

  @Test("the child sees TRANSIENT_FAILURE with the reason; the real state comes back at the end")
  func shown() throws {
    var bench = try bench(#""maxEjectionPercent": 100"#)
    for id in 1...5 as ClosedRange<UInt64> { bench.calls(id, 10, failed: 10) }
    bench.advance(to: 10 * second)
    #expect(bench.state == .transientFailure)
    #expect(!bench.commands.contains(.resolveAgain))
    #expect(
      bench.pick().text == "fail unavailable "
        + "10.0.0.1:5 is ejected by outlier detection: 10 of 10 calls failed")
    bench.turn(1, .idle)
    #expect(bench.commands == [.connect(one)], "a lost connection is made again")
    bench.turn(1, .connecting)
    bench.turn(1, .ready)
    #expect(bench.state == .transientFailure)
    bench.turn(2, .transientFailure, "refused")
    #expect(bench.commands == [.resolveAgain, .changed(.transientFailure)])
    bench.advance(to: 40 * second)
    #expect(bench.state == .ready && bench.picked() == [1, 3, 4, 5])
    #expect(bench.closed.isEmpty)
  }

  @Test("counts, ejections and the interval outlive an update; gone endpoints are forgotten")
  func updates() throws {
    var bench = try bench(#""maxEjectionPercent": 100"#)
    bench.calls(1, 6, failed: 6)
    bench.actions.now = 4 * second
    bench.send(.resolved(Resolution(endpoints.map { Endpoint($0.addresses, weight: 9) })))
    #expect(!bench.commands.contains(.wake(at: 14 * second)))
    bench.calls(1, 6, failed: 6)
    for id in 2...5 as ClosedRange<UInt64> { bench.calls(id, 12) }
    bench.advance(to: 10 * second)
    #expect(bench.ejections.count == 1)
    bench.send(.resolved(Resolution(endpoints.reversed())))
    #expect(bench.ejections.count == 1 && bench.picked() == [2, 3, 4, 5])
    bench.send(.resolved(Resolution(Array(endpoints.dropFirst()))))
    #expect(bench.ejections.isEmpty && bench.closed == [one])
    bench.send(.resolved(Resolution(endpoints)))
    bench.turn(6, .ready)
    #expect(bench.picked() == [2, 3, 4, 5, 6])
  }

  @Test("a subchannel that opens while its endpoint is ejected is shown as failed too")
  func reopened() throws {
    var bench = try bench()
    bench.calls(1, 10, failed: 10)
    for id in 2...5 as ClosedRange<UInt64> { bench.calls(id, 10) }
    bench.advance(to: 10 * second)
    try configure(
      &bench,
      json("", failures: "{}").replacing("round_robin", with: "least_request_experimental"))
    for id in 6...10 as ClosedRange<UInt64> { bench.turn(id, .ready) }
    #expect(bench.closed == Set((1...5).map { SubchannelID($0) }))
    #expect(bench.picked().isDisjoint(with: [6]))
    bench.advance(to: 40 * second)
    #expect(bench.ejections.isEmpty && bench.state == .ready)
  }

  @Test("a new config keeps the interval's start (A50)") func intervalStart() throws {
    var bench = try bench()
    bench.advance(to: 10 * second)
    bench.actions.now = 14 * second
    try configure(&bench, json(#""interval": "6s""#, failures: "{}"))
    #expect(bench.commands.contains(.wake(at: 16 * second)))
    try configure(&bench, json(#""interval": "3s""#, failures: "{}"))
    #expect(bench.commands.contains(.wake(at: 14 * second)), "past: at once")
    bench.advance(to: 14 * second)
    #expect(bench.commands.contains(.wake(at: 17 * second)))
  }

  @Test("without an algorithm nothing is counted, no timer runs and nothing stays ejected")
  func off() throws {
    var bench = try bench(failures: nil)
    #expect(bench.wakes.isEmpty)
    bench.calls(1, 50, failed: 50)
    try configure(&bench, json("", failures: #"{"requestVolume": 10}"#))
    #expect(bench.wakes == [10 * second])
    for id in 2...5 as ClosedRange<UInt64> { bench.calls(id, 10) }
    bench.advance(to: 10 * second)
    #expect(bench.ejections.isEmpty, "what ended before is not counted")
    bench.calls(1, 50, failed: 50)
    for id in 2...5 as ClosedRange<UInt64> { bench.calls(id, 10) }
    bench.advance(to: 20 * second)
    #expect(bench.ejections.count == 1)
    try configure(&bench, json("", failures: nil))
    #expect(bench.ejections.isEmpty && bench.picked() == [1, 2, 3, 4, 5])
    #expect(bench.closed.isEmpty)
    bench.calls(1, 50, failed: 50)
    bench.advance(to: 60 * second)
    #expect(bench.wakes.isEmpty && bench.ejections.isEmpty)
  }

  @Test("pick_first on its own is left alone") func pickFirst() throws {
    var bench = try PolicyBench(
      "outlier_detection_experimental",
      json:
        #"{"failurePercentageEjection": {"requestVolume": 1, "minimumHosts": 1}, "childPolicy": [{"pick_first": {}}]}"#
    )
    bench.resolve(a)
    bench.turn(1, .ready)
    #expect(bench.options[one] == alone)
    bench.advance(to: 100 * second)
    #expect(bench.state == .ready)
  }
}
