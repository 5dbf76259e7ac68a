// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Testing
import TrunkWire

@testable import TrunkDiscovery

/// A report from which the weight is `rate / utilization`.
private func report(
  rate: Double = 100, cpu: Double = 0, application: Double = 0, errors: Double = 0
) -> LoadReport {
  var report = LoadReport()
  report.requestsPerSecond = rate
  report.cpuUtilization = cpu
  report.applicationUtilization = application
  report.errorsPerSecond = errors
  return report
}

@Suite("weighted_round_robin (gRFC A58)") struct WeightedRoundRobinTests {
  private let endpoints = (1...3 as ClosedRange<UInt16>).map { Endpoint(Address("10.0.0.1", $0)) }

  private func bench(
    _ json: String = "{}", _ endpoints: [Endpoint]? = nil
  ) throws -> PolicyBench {
    var bench = try PolicyBench("weighted_round_robin", json: json)
    bench.actions.now = second
    let endpoints = endpoints ?? self.endpoints
    bench.send(.resolved(Resolution(endpoints)))
    for id in 1...UInt64(endpoints.count) { bench.turn(id, .ready) }
    return bench
  }

  /// Ends a call with a report.
  private func end(_ bench: PolicyBench, _ id: UInt64, _ report: LoadReport) {
    bench.options[SubchannelID(id)]?.observer?.callEnded(
      CallOutcome(
        code: nil, began: bench.actions.now, ended: bench.actions.now,
        trailingMetadata: report.metadata))
  }

  /// Reports of these utilizations with calls, every second until `time`.
  private func run(
    _ bench: inout PolicyBench, until time: UInt64, _ utilizations: [UInt64: Double]
  ) {
    while bench.actions.now < time {
      bench.advance(to: bench.actions.now + second)
      for (id, cpu) in utilizations { end(bench, id, report(cpu: cpu)) }
    }
    bench.advance(to: bench.actions.now + second)
  }

  private func shares(_ bench: inout PolicyBench, _ calls: Int) -> [Int] {
    var picker = bench.balancer.makePicker()
    var random = Seeded(3)
    var counts = [Int](repeating: 0, count: bench.open.count)
    for _ in 0..<calls {
      if case .use(let id, _) = picker.pick(PickContext(path: "/", random: random.next())) {
        counts[Int(id.raw) - 1] += 1
      }
    }
    return counts
  }

  @Test("it is round_robin until reports have come for the blackout period") func blackout() throws
  {
    var bench = try bench()
    #expect(bench.options[one]?.loadReportInterval == nil)
    run(&bench, until: 9 * second, [1: 0.2, 2: 0.4, 3: 0.4])
    #expect(shares(&bench, 300) == [100, 100, 100])
    run(&bench, until: 15 * second, [1: 0.2, 2: 0.4, 3: 0.4])
    let counts = shares(&bench, 4_000)
    #expect(abs(counts[0] - 2_000) <= 3 && abs(counts[1] - 1_000) <= 3, "\(counts)")
  }

  @Test("a weight expires after 180 s without reports; the blackout then begins anew")
  func expires() throws {
    var bench = try bench()
    run(&bench, until: 20 * second, [1: 0.2, 2: 0.4, 3: 0.4])
    let last = bench.actions.now
    bench.advance(to: last + 170 * second)
    #expect(shares(&bench, 300)[0] > 140)
    bench.advance(to: last + 181 * second)
    #expect(shares(&bench, 300) == [100, 100, 100])
    run(&bench, until: bench.actions.now + 5 * second, [1: 0.2, 2: 0.4, 3: 0.4])
    #expect(shares(&bench, 300) == [100, 100, 100])
    run(&bench, until: bench.actions.now + 6 * second, [1: 0.2, 2: 0.4, 3: 0.4])
    #expect(shares(&bench, 300)[0] > 140)
  }

  @Test("a new connection begins the blackout anew; that endpoint gets the mean meanwhile")
  func reconnects() throws {
    var bench = try bench()
    run(&bench, until: 20 * second, [1: 0.2, 2: 0.4, 3: 0.4])
    bench.turn(1, .idle)
    bench.turn(1, .connecting)
    bench.turn(1, .ready)
    #expect(shares(&bench, 300) == [100, 100, 100], "the mean of two that are equal")
    run(&bench, until: bench.actions.now + 11 * second, [1: 0.2, 2: 0.4, 3: 0.4])
    #expect(shares(&bench, 300)[0] > 140)
  }

  @Test("fewer than two weights: round robin; an endpoint without one gets the mean")
  func unknown() throws {
    var bench = try bench(#"{"blackoutPeriod": "0s"}"#)
    run(&bench, until: 3 * second, [1: 0.2])
    #expect(shares(&bench, 300) == [100, 100, 100])
    run(&bench, until: 5 * second, [1: 0.2, 2: 0.6])
    let counts = shares(&bench, 6_000)
    // 500, 167 and their mean.
    for (count, share) in zip(counts, [3_000, 1_000, 2_000]) {
      #expect(abs(count - share) <= 3, "\(counts)")
    }
  }

  @Test("the weight is rps / (utilization + eps / rps * penalty), application's before CPU's")
  func formula() {
    func weight(_ report: LoadReport, _ penalty: Double = 1) -> Double? {
      EndpointWeight.weight(of: report, errorPenalty: penalty)
    }
    #expect(weight(report(rate: 100, cpu: 0.5)) == 200)
    #expect(weight(report(rate: 100, cpu: 0.5, application: 0.25)) == 400)
    #expect(weight(report(rate: 100, cpu: 0.5, errors: 50)) == 100)
    #expect(weight(report(rate: 100, cpu: 0.5, errors: 50), 0) == 200)
    #expect(weight(report(rate: 100, cpu: 0.5, errors: 50), 3) == 50)
    #expect(weight(report(rate: 0, cpu: 0.5)) == nil)
    #expect(weight(report(rate: 100)) == nil)
    #expect(weight(report(rate: .nan, cpu: 1)) == nil)
    #expect(weight(report(rate: 100, cpu: -1)) == nil)
    #expect(weight(report(rate: .infinity, cpu: 1)) == nil)
    #expect(weight(report(rate: 100, cpu: 1, errors: .infinity)) == nil)
    #expect(weight(report(rate: 100, cpu: 1, errors: -7)) == 100)
  }

  @Test("weights are computed once per update period, and published only if they changed")
  func updates() throws {
    var bench = try bench(#"{"blackoutPeriod": "0s", "weightUpdatePeriod": "2s"}"#)
    let first = bench.actions.now
    end(bench, 1, report(cpu: 0.2))
    end(bench, 2, report(cpu: 0.4))
    #expect(bench.wakes == [first + 2 * second])
    bench.advance(to: first + 2 * second)
    #expect(bench.commands == [.wake(at: first + 4 * second), .changed(.ready)])
    _ = bench.pick()
    bench.advance(to: first + 4 * second)
    #expect(bench.commands == [.wake(at: first + 6 * second)], "nothing has changed")
  }

  @Test("an update period below 100 ms is 100 ms") func shortest() throws {
    let bench = try bench(#"{"weightUpdatePeriod": "0.01s"}"#)
    #expect(bench.wakes.first == second + 100_000_000)
  }

  @Test("out of band: the stream is asked for, and reports with calls are not looked at")
  func outOfBand() throws {
    var bench = try bench(#"{"enableOobLoadReport": true, "blackoutPeriod": "0s"}"#)
    #expect(bench.options[one]?.loadReportInterval == .seconds(10))
    run(&bench, until: 5 * second, [1: 0.2, 2: 0.4, 3: 0.4])
    #expect(shares(&bench, 300) == [100, 100, 100])
    for (id, cpu) in [(1, 0.2), (2, 0.4), (3, 0.4)] as [(UInt64, Double)] {
      bench.options[SubchannelID(id)]?.observer?.loadReported(
        report(cpu: cpu), at: bench.actions.now)
    }
    bench.advance(to: bench.actions.now + second)
    #expect(shares(&bench, 300)[0] > 140)
  }

  @Test("a config turns the stream on, off and to another period; connections stay")
  func reconfigured() throws {
    var bench = try bench()
    func reconfigure(_ json: String) throws {
      let policy = try BalancerRegistry().prepare(
        BalancerChoice("weighted_round_robin", json: Array(json.utf8)))
      #expect(policy.reconfigure(&bench.balancer))
      bench.send(.resolved(Resolution(endpoints)))
    }
    try reconfigure(#"{"enableOobLoadReport": true}"#)
    #expect(bench.commands.contains(.reportLoad(one, every: .seconds(10))))
    try reconfigure(#"{"enableOobLoadReport": true, "oobReportingPeriod": "3s"}"#)
    #expect(bench.options[two]?.loadReportInterval == .seconds(3))
    bench.send(.resolved(Resolution(endpoints + [a])))
    #expect(bench.options[SubchannelID(4)]?.loadReportInterval == .seconds(3))
    try reconfigure(#"{"oobReportingPeriod": "3s"}"#)
    #expect(bench.options[one]?.loadReportInterval == nil)
    #expect(bench.closed == [SubchannelID(4)])
  }

  @Test("useEndpointWeights: the resolver's weights count until reports come")
  func endpointWeights() throws {
    let endpoints = [1, 2, 5].map { (n: UInt16) in
      Endpoint(Address("10.0.0.1", n), weight: UInt32(n))
    }
    var plain = try bench("{}", endpoints)
    #expect(shares(&plain, 300) == [100, 100, 100], "gRFC A58 knows no weights of resolvers")
    var bench = try bench(#"{"useEndpointWeights": true, "blackoutPeriod": "0s"}"#, endpoints)
    for (count, share) in zip(shares(&bench, 8_000), [1_000, 2_000, 5_000]) {
      #expect(abs(count - share) <= 3)
    }
    run(&bench, until: 3 * second, [1: 0.25])
    #expect(abs(shares(&bench, 8_000)[2] - 5_000) <= 3, "one report is not enough")
    run(&bench, until: 5 * second, [1: 0.25, 2: 0.25])
    // 400 and 400 for 1 and 2 of the resolver's: 5 of them count as 1,333.
    for (count, share) in zip(shares(&bench, 6_400), [1_200, 1_200, 4_000]) {
      #expect(abs(count - share) <= 3)
    }
  }

  @Test("useEndpointWeights: reports of any size are taken without a trap")
  func hugeReports() throws {
    let endpoints = (1...3 as ClosedRange<UInt16>).map { Endpoint(Address("10.0.0.1", $0)) }
    for rate in [Double.greatestFiniteMagnitude, .leastNonzeroMagnitude] {
      var bench = try bench(#"{"useEndpointWeights": true, "blackoutPeriod": "0s"}"#, endpoints)
      for id in [1, 2] as [UInt64] { end(bench, id, report(rate: rate, cpu: 1)) }
      bench.advance(to: bench.actions.now + 2 * second)
      for share in shares(&bench, 300) { #expect(share > 0) }
    }
  }

  @Test("slowStart: a new endpoint, and one that failed, begins with a part of its weight")
  func slowStart() throws {
    var bench = try bench(#"{"slowStart": {"window": "10s"}}"#)
    #expect(shares(&bench, 300) == [100, 100, 100], "those that come together are equal")
    bench.advance(to: bench.actions.now + 20 * second)
    let four = endpoints + [Endpoint(Address("10.0.0.1", 4))]
    bench.send(.resolved(Resolution(four)))
    bench.turn(4, .ready)
    func share(of id: Int, _ bench: inout PolicyBench) -> Double {
      Double(shares(&bench, 4_000)[id - 1]) * 4 / 4_000
    }
    // Of the weights 1, 1, 1 and 0.1.
    #expect(abs(share(of: 4, &bench) - 4 * 0.1 / 3.1) < 0.01)
    bench.advance(to: bench.actions.now + 5 * second)
    #expect(abs(share(of: 4, &bench) - 4 * 0.5 / 3.5) < 0.01)
    // A new connection to the same server.
    bench.turn(4, .idle)
    bench.turn(4, .connecting)
    bench.turn(4, .ready)
    #expect(abs(share(of: 4, &bench) - 4 * 0.5 / 3.5) < 0.01)
    bench.advance(to: bench.actions.now + 6 * second)
    #expect(shares(&bench, 400) == [100, 100, 100, 100])
    // A server that was restarted.
    bench.turn(2, .idle)
    bench.turn(2, .connecting)
    bench.turn(2, .transientFailure, "refused")
    bench.turn(2, .connecting)
    bench.turn(2, .ready)
    #expect(abs(share(of: 2, &bench) - 4 * 0.1 / 3.1) < 0.01)
  }

  @Test("slowStart: it multiplies the weights of resolvers and of reports, along its curve")
  func slowStartOfWeights() throws {
    let endpoints = [1, 1, 2].map { (weight: UInt32) in weight }.enumerated().map {
      Endpoint(Address("10.0.0.1", UInt16($0.offset + 1)), weight: $0.element)
    }
    let json = #"{"useEndpointWeights": true, "blackoutPeriod": "0s", "slowStart": "#
    var bench = try bench(
      json + #"{"window": "100s", "aggression": 2, "minWeightPercent": 1}}"#,
      Array(endpoints.prefix(2)))
    bench.advance(to: bench.actions.now + 100 * second)
    bench.send(.resolved(Resolution(endpoints)))
    bench.turn(3, .ready)
    bench.advance(to: bench.actions.now + 25 * second)
    // The root of a quarter.
    #expect(abs(shares(&bench, 9_000)[2] - 3_000) <= 30)
    for id in 1...3 as ClosedRange<UInt64> { end(bench, id, report(cpu: id == 3 ? 0.25 : 0.5)) }
    bench.advance(to: bench.actions.now + 11 * second)
    // 200, 200 and 400 * 0.6.
    #expect(abs(shares(&bench, 6_400)[2] - 2_400) <= 30)
  }

  @Test("slowStart: no value of a config made in Swift stops the process")
  func slowStartOfAnyNumber() {
    let ids = [SubchannelID(1)]
    let numbers = [
      .nan, .infinity, -.infinity, 0, -0.0, -1, 1e308, -1e308, .leastNonzeroMagnitude, 1, 100, 101,
    ]
    for window in [Duration.zero, .seconds(-1), .nanoseconds(1), .seconds(60), .seconds(Int64.max)]
    {
      for aggression in numbers {
        for least in numbers {
          var slowStart = WeightedRoundRobin.SlowStart(window: window)
          slowStart.aggression = aggression
          slowStart.minWeightPercent = least
          var starting = StartingEndpoints()
          starting.handle(.subchannel(ids[0], .ready, error: nil), at: 5)
          for now in [0, 5, 1_000_000_000, 30_000_000_000, .max] as [UInt64] {
            let factor = starting.factor(of: ids[0], at: now, slowStart)
            #expect((0...1).contains(factor), "\(window) \(aggression) \(least) \(now)")
          }
        }
      }
    }
  }

  @Test(
    "slowStart: what cannot be is refused",
    arguments: [
      ("{}", "window"), (#"{"window": "0s"}"#, "window"),
      (#"{"window": "1s", "aggression": 0}"#, "aggression"),
      (#"{"window": "1s", "minWeightPercent": 101}"#, "minWeightPercent"),
      (#"{"window": "1s", "minWeightPercent": 0}"#, "minWeightPercent"),
    ]) func slowStartRefused(value: String, field: String)
  {
    let error = #expect(throws: ServiceConfigError.self) {
      try WeightedRoundRobin.parse(Array("{\"slowStart\": \(value)}".utf8))
    }
    #expect(error?.path == "weighted_round_robin.slowStart.\(field)", "\(error as Any)")
  }

  @Test("without a ready endpoint calls wait, and fail when all have failed") func none() throws {
    var bench = try PolicyBench("weighted_round_robin")
    bench.resolve(a, b)
    #expect(bench.pick().text == "wait")
    bench.turn(1, .transientFailure, "refused")
    bench.turn(2, .transientFailure, "refused")
    #expect(bench.pick().text == "fail unavailable refused")
    #expect(bench.wakes.isEmpty)
  }

  @Test(
    "a config that is wrong is refused with the path of its field",
    arguments: [
      ("errorUtilizationPenalty", "-0.5"), ("errorUtilizationPenalty", "\"x\""),
      ("blackoutPeriod", "10"), ("weightUpdatePeriod", "\"1\""), ("oobReportingPeriod", "\"-1s\""),
      ("weightExpirationPeriod", "true"), ("enableOobLoadReport", "1"),
      ("useEndpointWeights", "\"yes\""),
    ])
  func refused(field: String, value: String) {
    let error = #expect(throws: ServiceConfigError.self) {
      try WeightedRoundRobin.parse(Array("{\"\(field)\": \(value)}".utf8))
    }
    #expect(error?.path == "weighted_round_robin.\(field)", "\(error as Any)")
  }

  @Test("defaults are those of gRFC A58") func defaults() throws {
    let config = try WeightedRoundRobin.parse(Array(#"{"other": 1, "blackoutPeriod": null}"#.utf8))
    #expect(config == WeightedRoundRobin.Config())
    #expect(!config.enableOobLoadReport && !config.useEndpointWeights)
    #expect(config.oobReportingPeriod == .seconds(10) && config.blackoutPeriod == .seconds(10))
    #expect(config.weightExpirationPeriod == .seconds(180))
    #expect(config.weightUpdatePeriod == .seconds(1) && config.errorUtilizationPenalty == 1)
  }
}

@Suite("The static stride scheduler of weighted_round_robin") struct StaticStrideTests {
  private func picker(_ weights: [UInt16]) -> StridePicker {
    StridePicker(StrideTable((1...UInt64(weights.count)).map { SubchannelID($0) }, weights))
  }

  @Test(
    "shares follow any weights, from any start, within a few picks",
    arguments: 0..<60 as Range<UInt64>)
  func shares(seed: UInt64) throws {
    var random = Seeded(seed)
    let count = Int.random(in: 2...40, using: &random)
    let given = (0..<count).map { _ in
      Double.random(in: 0...1, using: &random) < 0.2
        ? nil : Double.random(in: 0.5...4, using: &random) * 1e3
    }
    guard let weights = StaticStride.scale(given) else {
      #expect(given.count { $0 != nil } < 2)
      return
    }
    #expect(weights.max() == .max)
    let known = given.compactMap { $0 }
    let mean = known.reduce(0, +) / Double(known.count)
    let wanted = given.map { $0 ?? mean }
    let sum = wanted.reduce(0, +)
    var picker = picker(weights)
    let rounds = 2_000
    let calls = rounds * count
    var counts = [Int](repeating: 0, count: count)
    for _ in 0..<calls {
      guard case .use(let id, _) = picker.pick(PickContext(path: "/", random: random.next())) else {
        continue
      }
      counts[Int(id.raw) - 1] += 1
    }
    for (i, weight) in wanted.enumerated() {
      let expected = Double(calls) * weight / sum
      // A stride is off by one pick at most at either end; weights are rounded to one in 65,535.
      #expect(abs(Double(counts[i]) - expected) <= 4 + expected * 0.001, "\(i): \(counts[i])")
    }
  }

  @Test("the first pick of a copy follows the weights as well") func first() {
    let table: [UInt16] = [65_535, 32_768, 6_554]
    var counts = [0, 0, 0]
    var random = Seeded(9)
    for _ in 0..<20_000 {
      var copy = picker(table)
      if case .use(let id, _) = copy.pick(PickContext(path: "/", random: random.next())) {
        counts[Int(id.raw) - 1] += 1
      }
    }
    let expected = [20_000 * 10 / 16, 20_000 * 5 / 16, 20_000 / 16]
    for (count, expected) in zip(counts, expected) { #expect(abs(count - expected) < 400) }
  }

  @Test("extremes are brought to 10 times and a hundredth of the mean") func extremes() throws {
    // 10 times the mean of what comes out: 11 times each of the 99 others.
    let large = try #require(StaticStride.scale([1e9] + Array(repeating: 1, count: 99)))
    #expect(large[0] == 65_535 && large[1...].allSatisfy { $0 == 5_958 })
    let mean = try #require(StaticStride.scale([1e9, nil] + Array(repeating: 1, count: 99)))
    #expect((6_553...6_554).contains(mean[1]))
    let two = try #require(StaticStride.scale([1e9, 1e6] + Array(repeating: 1, count: 98)))
    #expect(two[0] == 65_535 && two[1] == 65_535 && two[2] == 5_350)
    let small = try #require(StaticStride.scale([1e-9] + Array(repeating: 1, count: 99)))
    #expect(small[0] == 649 && small[1] == 65_535)
    // Whatever the greatest is beside the others.
    for greatest in [1e20, 1e300] {
      let huge = try #require(StaticStride.scale([greatest] + Array(repeating: 1, count: 99)))
      #expect(huge == large)
    }
    // Up to ten, none is over 10 times the mean.
    let few = try #require(StaticStride.scale([1, 1e9, 1]))
    #expect(few == [218, 65_535, 218])
  }

  @Test("a pick visits at most ten endpoints on average, however many there are, and ends")
  func bounded() throws {
    for count in [100, 10_000] {
      let weights = try #require(
        StaticStride.scale([1e6] + Array(repeating: 1, count: count - 1)))
      var visits = 0
      var picks = 0
      for round in 0..<(1_000_000 / UInt32(count)) {
        for (i, weight) in weights.enumerated() {
          visits += 1
          if StaticStride.isPicked(UInt32(i), weight, round: round) { picks += 1 }
        }
      }
      #expect(visits <= picks * 10 + count, "\(visits) for \(picks)")
      var picker = picker(weights)
      for i in 0..<200 as Range<UInt64> {
        if case .use = picker.pick(PickContext(path: "/", random: i)) { continue }
        Issue.record("no pick")
      }
    }
  }

  @Test("numbers of any size are scaled without a trap", arguments: 0..<100 as Range<UInt64>)
  func hostile(seed: UInt64) {
    var random = Seeded(seed)
    let weights: [Double?] = (0..<Int.random(in: 0...40, using: &random)).map { _ in
      let exponent = Double.random(in: -1_074...1_023.9, using: &random)
      return [nil, .greatestFiniteMagnitude, .leastNonzeroMagnitude, exp2(exponent), 1]
        .randomElement(using: &random) ?? nil
    }
    if let scaled = StaticStride.scale(weights) {
      #expect(scaled.allSatisfy { $0 > 0 } && scaled.contains(.max))
    }
  }

  @Test("weights that are nothing beside the greatest are scaled without a trap")
  func vanishing() throws {
    let vanishing = Array(repeating: Double.leastNonzeroMagnitude, count: 19)
    let scaled = try #require(StaticStride.scale([.greatestFiniteMagnitude] + vanishing))
    #expect(scaled[0] == .max && scaled.allSatisfy { $0 > 0 })
  }

  /// Without Foundation.
  private func exp2(_ exponent: Double) -> Double {
    Double(sign: .plus, exponent: Int(exponent.rounded(.down)), significand: 1.5)
  }

  @Test("equal weights are round robin") func equal() {
    #expect(StaticStride.scale([3, 3, nil]) == nil)
    #expect(StaticStride.scale([]) == nil && StaticStride.scale([nil, nil]) == nil)
    #expect(StaticStride.scale([1, nil]) == nil && StaticStride.scale([1, 2]) != nil)
  }
}
