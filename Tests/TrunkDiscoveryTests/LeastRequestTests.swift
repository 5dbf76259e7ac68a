// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Testing

@testable import TrunkDiscovery

@Suite("least_request_experimental (gRFC A48)") struct LeastRequestTests {
  private let endpoints = (1...4 as ClosedRange<UInt16>).map { Endpoint(Address("10.0.0.1", $0)) }

  private func bench(_ json: String = "{}") throws -> PolicyBench {
    var bench = try PolicyBench("least_request_experimental", json: json)
    bench.send(.resolved(Resolution(endpoints)))
    for id in 1...4 as ClosedRange<UInt64> {
      bench.send(.subchannel(SubchannelID(id), .ready, error: nil))
    }
    return bench
  }

  /// How often each subchannel is picked in so many calls, with seeded numbers.
  private func picks(_ bench: inout PolicyBench, _ calls: Int) -> [String: Int] {
    var picker = bench.balancer.makePicker()
    var random = Seeded(3)
    var counts: [String: Int] = [:]
    for _ in 0..<calls {
      counts[picker.pick(PickContext(path: "/", random: random.next())).text, default: 0] += 1
    }
    return counts
  }

  @Test("with equal loads calls are spread evenly") func even() throws {
    var bench = try bench()
    let counts = picks(&bench, 8_000)
    #expect(counts.count == 4)
    #expect(counts.values.allSatisfy { (1_800...2_200).contains($0) }, "\(counts)")
  }

  @Test("of two random ones the less busy gets the call: a busy one of four in a sixteenth")
  func busy() throws {
    var bench = try bench()
    let first = try #require(bench.load(1))
    for _ in 0..<5 { first.callBegan(at: 0) }
    let counts = picks(&bench, 8_000)
    #expect((400...600).contains(counts["use 1"] ?? 0), "\(counts)")
    for _ in 0..<5 { first.callEnded(ended) }
    let after = picks(&bench, 8_000)
    #expect((1_800...2_200).contains(after["use 1"] ?? 0), "\(after)")
  }

  @Test("choiceCount: more choices avoid the busy one more; above 10 is 10") func choices() throws {
    var more = try bench(#"{"choiceCount": 4}"#)
    try #require(more.load(1)).callBegan(at: 0)
    let counts = picks(&more, 8_000)
    // All four samples have to be the busy one: 8,000 / 256.
    #expect((10...60).contains(counts["use 1"] ?? 0), "\(counts)")
    #expect(LeastRequest.Config(choiceCount: 99) == LeastRequest.Config(choiceCount: 10))
    let parsed = try LeastRequest.parse(Array(#"{"choiceCount": 11, "unknown": 1}"#.utf8))
    #expect(parsed.choiceCount == 10)
  }

  @Test(
    "a choiceCount below 2, or that is no number, is refused and named",
    arguments: ["1", "0", "-1", "1.5", "\"two\""])
  func refused(value: String) {
    let error = #expect(throws: ServiceConfigError.self) {
      try LeastRequest.parse(Array("{\"choiceCount\": \(value)}".utf8))
    }
    #expect(error?.path == "least_request_experimental.choiceCount", "\(error as Any)")
  }

  @Test("a new choiceCount keeps the connections") func reconfigured() throws {
    var bench = try bench()
    var balancer = try #require(bench.balancer as? LeastRequest)
    let isTaken = balancer.reconfigure(LeastRequest.Config(choiceCount: 5))
    #expect(isTaken)
    bench.balancer = balancer
    #expect(bench.open.count == 4 && bench.closed.isEmpty)
  }

  @Test("without a ready endpoint calls wait, and fail when all have failed") func none() throws {
    var bench = try PolicyBench("least_request_experimental")
    bench.send(.resolved(Resolution(endpoints)))
    #expect(bench.pick().text == "wait")
    for id in 1...4 as ClosedRange<UInt64> {
      bench.send(.subchannel(SubchannelID(id), .transientFailure, error: "refused"))
    }
    #expect(bench.pick().text == "fail unavailable refused")
  }
}
