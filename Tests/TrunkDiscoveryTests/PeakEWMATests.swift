// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Testing
import TrunkWire

@testable import TrunkDiscovery

@Suite("peak_ewma (a policy of this library)") struct PeakEWMATests {
  private func average(decay: Double = 10e9, penalty: Double = 1e9) -> LatencyAverage {
    LatencyAverage(LatencyAverage.Rules(decay: decay, failurePenalty: penalty))
  }

  /// A call that took so long and ended at that time.
  private func call(
    _ latency: LatencyAverage, _ took: UInt64, at time: UInt64, _ code: RPCError.Code? = nil
  ) {
    latency.callBegan(at: time - took)
    latency.callEnded(CallOutcome(code: code, began: time - took, ended: time))
  }

  private func isNear(_ a: Double, _ b: Double) -> Bool { abs(a - b) <= abs(b) * 1e-3 }

  @Test("a latency above the average is taken at once, one below it by the time passed")
  func peaks() {
    let latency = average()
    call(latency, 5 * millisecond, at: 1 * second)
    #expect(isNear(latency.average(at: 1 * second), 5e6))
    call(latency, 500 * millisecond, at: 2 * second)
    #expect(isNear(latency.average(at: 2 * second), 500e6))
    // 10 s later the past counts 1/e.
    call(latency, 5 * millisecond, at: 12 * second)
    #expect(isNear(latency.average(at: 12 * second), 500e6 * 0.367_88 + 5e6 * 0.632_12))
  }

  @Test("the average of many equal calls is theirs, however many there are in a second")
  func steady() {
    for rate in [1, 100, 10_000] as [UInt64] {
      let latency = average()
      call(latency, 400 * millisecond, at: second)
      var now = second
      for _ in 0..<(100 * rate) {
        now += second / rate
        call(latency, 5 * millisecond, at: now)
      }
      // Ten times the decay: e^-10 of the first call is left.
      #expect(abs(latency.average(at: now) - 5e6) < 0.05e6, "\(rate): \(latency.average(at: now))")
    }
  }

  @Test("without calls it decays, so that a slow endpoint is tried again") func decays() {
    let latency = average()
    call(latency, 500 * millisecond, at: 1 * second)
    #expect(isNear(latency.average(at: 11 * second), 500e6 * 0.367_88))
    #expect(latency.average(at: 600 * second) == 0, "below 1 ns it is forgotten")
    #expect(latency.load(at: 600 * second) == 0)
  }

  @Test("a failed call counts as failurePenalty at least and never lowers the average")
  func failures() {
    let codes: [RPCError.Code] = [
      .unknown, .deadlineExceeded, .resourceExhausted, .unimplemented, .internal, .unavailable,
      .dataLoss,
    ]
    for code in codes {
      let fast = average()
      call(fast, 1, at: second, code)
      #expect(isNear(fast.average(at: second), 1e9), "\(code)")
      call(fast, 3 * second, at: 4 * second)
      call(fast, 1, at: 5 * second, code)
      #expect(isNear(fast.average(at: 5 * second), 3e9), "\(code)")
    }
  }

  @Test("an application's refusal is an answer; a cancelled call counts if it was slower")
  func answers() {
    let latency = average()
    call(latency, 5 * millisecond, at: second, .notFound)
    #expect(isNear(latency.average(at: second), 5e6))
    call(latency, 1, at: 2 * second, .cancelled)
    #expect(isNear(latency.average(at: 2 * second), 5e6))
    call(latency, 100 * millisecond, at: 3 * second, .cancelled)
    #expect(isNear(latency.average(at: 3 * second), 100e6))
    let cold = average()
    call(cold, 1, at: second, .cancelled)
    #expect(isNear(cold.average(at: second), 1e6), "at least 1 ms where nothing is known")
  }

  @Test("load is latency times calls, the next one included; cold: one call at a time") func load()
  {
    let latency = average()
    #expect(latency.load(at: 0) == 0)
    latency.callBegan(at: 0)
    #expect(latency.load(at: 0) > 1e20, "no second call before the first has ended")
    latency.callEnded(CallOutcome(code: nil, began: 0, ended: 4 * millisecond))
    #expect(isNear(latency.load(at: 4 * millisecond), 4e6))
    for _ in 0..<3 { latency.callBegan(at: 5 * millisecond) }
    #expect(isNear(latency.load(at: 5 * millisecond), 16e6))
    latency.connected()
    #expect(
      latency.load(at: 5 * millisecond) > 1e20, "a new connection is cold; its calls are counted on"
    )
  }

  @Test("a clock that is behind, or has run for months, harms nothing") func clocks() {
    let latency = average()
    call(latency, 5 * millisecond, at: 60 * second)
    call(latency, 6 * millisecond, at: 59 * second)
    #expect(latency.average(at: 59 * second) >= 5e6)
    latency.callBegan(at: 70 * second)
    latency.callEnded(CallOutcome(code: nil, began: 71 * second, ended: 70 * second))
    #expect(latency.average(at: 70 * second) > 0)
    let wrap = UInt64(1) << 52
    let other = average()
    call(other, 5 * millisecond, at: wrap - second)
    #expect(isNear(other.average(at: wrap + 9 * second), 5e6 * 0.367_88))
  }

  private func bench(_ count: UInt16, json: String = "{}") throws -> PolicyBench {
    var bench = try PolicyBench("peak_ewma", json: json)
    bench.send(.resolved(Resolution((1...count).map { Endpoint(Address("10.0.0.1", $0)) })))
    for id in 1...UInt64(count) { bench.turn(id, .ready) }
    return bench
  }

  @Test("of two different random endpoints the one with less load gets the call") func choice()
    throws
  {
    var bench = try bench(4)
    let averages = try (1...4 as ClosedRange<UInt64>).map {
      try #require(bench.options[SubchannelID($0)]?.observer as? LatencyAverage)
    }
    for (i, latency) in averages.enumerated() {
      call(latency, UInt64(i + 1) * millisecond, at: second)
    }
    var picker = bench.balancer.makePicker()
    var random = Seeded(1)
    var counts: [String: Int] = [:]
    for _ in 0..<12_000 {
      let context = PickContext(path: "/", random: random.next(), nanoseconds: second)
      counts[picker.pick(context).text, default: 0] += 1
    }
    // Of the six pairs the first wins three, the last none.
    #expect((5_800...6_200).contains(counts["use 1"] ?? 0), "\(counts)")
    #expect((3_800...4_200).contains(counts["use 2"] ?? 0), "\(counts)")
    #expect((1_800...2_200).contains(counts["use 3"] ?? 0), "\(counts)")
    #expect(counts["use 4"] == nil)
  }

  @Test("one ready endpoint gets all calls; none: calls wait, or fail when all have failed")
  func few() throws {
    var one = try bench(1)
    #expect(one.pick().text == "use 1")
    one.turn(1, .transientFailure, "refused")
    #expect(one.pick().text == "fail unavailable refused")
    one.resolve(a, b)
    #expect(one.pick().text == "wait")
  }

  /// Calls at 500/s to five servers, as `serve` says;
  /// what each server got.
  private func simulate(
    _ bench: inout PolicyBench, seed: UInt64, seconds: UInt64,
    _ serve: (_ id: UInt64, _ now: UInt64) -> (took: UInt64, code: RPCError.Code?)
  ) throws -> [UInt64: Int] {
    var random = Seeded(seed)
    var picker = bench.balancer.makePicker()
    var running: [(end: UInt64, began: UInt64, id: UInt64, code: RPCError.Code?)] = []
    var counts: [UInt64: Int] = [:]
    var now = second
    while now < (1 + seconds) * second {
      now += 2 * millisecond
      for call in running.filter({ $0.end <= now }) {
        bench.options[SubchannelID(call.id)]?.observer?
          .callEnded(CallOutcome(code: call.code, began: call.began, ended: call.end))
      }
      running.removeAll { $0.end <= now }
      let context = PickContext(path: "/", random: random.next(), nanoseconds: now)
      guard case .use(let id, _) = picker.pick(context) else { continue }
      bench.options[id]?.observer?.callBegan(at: now)
      let (took, code) = serve(id.raw, now)
      running.append((now + took, now, id.raw, code))
      counts[id.raw, default: 0] += 1
    }
    return counts
  }

  @Test("a server that is a hundred times slower gets under 1 % of the calls", arguments: 0..<8)
  func slow(_ seed: UInt64) throws {
    var bench = try bench(5)
    let counts = try simulate(&bench, seed: seed, seconds: 60) { id, _ in
      (id == 3 ? 500 * millisecond : 5 * millisecond, nil)
    }
    #expect((1...300).contains(counts[3] ?? 0), "\(counts)")
    #expect(counts.values.reduce(0, +) == 30_000)
  }

  @Test("a server that fails at once attracts no calls: under 1 % of them", arguments: 0..<8)
  func failingFast(_ seed: UInt64) throws {
    var bench = try bench(5)
    let counts = try simulate(&bench, seed: seed, seconds: 60) { id, _ in
      id == 3 ? (millisecond / 10, .unavailable) : (5 * millisecond, nil)
    }
    #expect((counts[3] ?? 0) < 300, "\(counts)")
  }

  @Test("a server that is fast again gets its share again", arguments: 0..<4)
  func recovery(_ seed: UInt64) throws {
    var bench = try bench(5)
    _ = try simulate(&bench, seed: seed, seconds: 10) { id, _ in
      (id == 3 ? 500 * millisecond : 5 * millisecond, nil)
    }
    let counts = try simulate(&bench, seed: seed, seconds: 120) { _, _ in (5 * millisecond, nil) }
    #expect((counts[3] ?? 0) > 3_000, "\(counts)")
  }

  @Test("explain() says what each endpoint's latency counts as") func explained() throws {
    var bench = try bench(2)
    let latency = try #require(bench.options[two]?.observer as? LatencyAverage)
    call(latency, 5_250_000, at: second)
    let explanation = bench.balancer.explain(now: second)
    #expect(explanation.subchannels == [one: "no average latency yet", two: "counts as 5.2 ms"])
    bench.turn(2, .transientFailure)
    #expect(bench.balancer.explain(now: second).subchannels.count == 1)
  }

  @Test("a new config keeps connections, averages and calls in flight") func reconfigured() throws {
    var bench = try bench(2)
    let latency = try #require(bench.options[one]?.observer as? LatencyAverage)
    call(latency, 5 * millisecond, at: second)
    var balancer = try #require(bench.balancer as? PeakEWMA)
    let isTaken = balancer.reconfigure(
      try PeakEWMA.parse(Array(#"{"decay": "1s", "failurePenalty": "3s"}"#.utf8)))
    #expect(isTaken)
    #expect(isNear(latency.average(at: 2 * second), 5e6 * 0.367_88))
    call(latency, 1, at: 2 * second, .unavailable)
    #expect(isNear(latency.average(at: 2 * second), 3e9))
    bench.balancer = balancer
    bench.send(.resolved(Resolution([a])))
    let fresh = try #require(bench.options[SubchannelID(3)]?.observer as? LatencyAverage)
    call(fresh, 5 * millisecond, at: second)
    #expect(isNear(fresh.average(at: 2 * second), 5e6 * 0.367_88))
  }

  @Test(
    "durations out of range are refused and named",
    arguments: [
      (#"{"decay": "0.001s"}"#, "decay"), (#"{"decay": "0s"}"#, "decay"),
      (#"{"decay": "3601s"}"#, "decay"), (#"{"decay": 10}"#, "decay"),
      (#"{"failurePenalty": "4000s"}"#, "failurePenalty"),
    ])
  func refused(_ json: String, _ field: String) {
    let error = #expect(throws: ServiceConfigError.self) { try PeakEWMA.parse(Array(json.utf8)) }
    #expect(error?.path == "peak_ewma.\(field)", "\(error as Any)")
  }
}
