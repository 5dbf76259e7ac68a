// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Testing
import TrunkWire

@testable import TrunkDiscovery

@Suite("outlier_detection_experimental, whatever happens") struct OutlierDetectionPropertyTests {
  private let all = (1...12 as ClosedRange<UInt16>).map { Endpoint(Address("10.0.0.1", $0)) }

  /// A policy, what was resolved, and the subchannels that are READY.
  private struct Run {
    var bench: PolicyBench
    var resolved: [Endpoint] = []
    var ready: Set<SubchannelID> = []
    var maxPercent: Int

    var inUse: Set<SubchannelID> {
      let ejected = bench.ejections
      return ready.filter { id in bench.open[id].map { ejected[$0.identity] == nil } ?? false }
    }
  }

  private func config(_ random: inout Seeded) -> (json: String, maxPercent: Int) {
    let percent = [0, 10, 30, 50, 100].randomElement(using: &random) ?? 10
    let interval = ["0.3s", "0.7s", "1s"].randomElement(using: &random) ?? "1s"
    var fields = [
      #""interval": "\#(interval)", "baseEjectionTime": "3s", "maxEjectionTime": "8s""#,
      #""maxEjectionPercent": \#(percent)"#,
    ]
    // A few configs have none of the two.
    let algorithms = Int.random(in: 0..<10, using: &random)
    if (1...5).contains(algorithms) {
      fields.append(
        #""successRateEjection": {"minimumHosts": 2, "requestVolume": 5, "stdevFactor": 1000}"#)
    }
    if algorithms >= 4 {
      fields.append(
        #"""
        "failurePercentageEjection": {"minimumHosts": 2, "requestVolume": 5, "threshold": 50,
          "enforcementPercentage": 80}
        """#)
    }
    fields.append(#""childPolicy": [{"round_robin": {}}]"#)
    return ("{\(fields.joined(separator: ", "))}", percent)
  }

  private func start(_ random: inout Seeded) throws -> Run {
    let (json, percent) = config(&random)
    var bench = try PolicyBench("outlier_detection_experimental", json: json)
    bench.actions.random = Seeded(random.next())
    var run = Run(bench: bench, maxPercent: percent)
    resolve(&run, all)
    return run
  }

  private func reconfigure(_ run: inout Run, _ random: inout Seeded) throws {
    let (json, percent) = config(&random)
    let choice = BalancerChoice("outlier_detection_experimental", json: Array(json.utf8))
    let isTaken = try BalancerRegistry().prepare(choice).reconfigure(&run.bench.balancer)
    #expect(isTaken)
    run.maxPercent = percent
    let counts = json.contains("Ejection\": {")
    run.bench.send(.resolved(Resolution(run.resolved)))
    #expect(counts || run.bench.ejections.isEmpty)
  }

  private func resolve(_ run: inout Run, _ endpoints: [Endpoint]) {
    run.resolved = endpoints
    let kept = Set(endpoints.map(\.identity))
    let ejections = run.bench.ejections.filter { kept.contains($0.key) }
    run.bench.send(.resolved(Resolution(endpoints)))
    #expect(run.bench.ejections == ejections)
    run.ready.formIntersection(run.bench.open.keys)
  }

  private func step(_ run: inout Run, _ random: inout Seeded) throws {
    if Int.random(in: 0..<20, using: &random) == 0 { try reconfigure(&run, &random) }
    let ids = run.bench.open.keys.sorted { $0.raw < $1.raw }
    switch Int.random(in: 0..<10, using: &random) {
    case 0:
      resolve(
        &run, all.filter { _ in Int.random(in: 0..<5, using: &random) > 0 }.shuffled(using: &random)
      )
    case 1...5:
      guard let id = ids.randomElement(using: &random) else { return }
      let states: [ConnectivityState] = [.idle, .connecting, .ready, .ready, .transientFailure]
      let state = states.randomElement(using: &random) ?? .ready
      run.bench.send(.subchannel(id, state, error: nil))
      if state == .ready { run.ready.insert(id) } else { run.ready.remove(id) }
    default:
      for id in ids {
        let bad = id.raw % 3 == 0 ? 10 : Int.random(in: 0..<3, using: &random)
        run.bench.calls(id.raw, 10, failed: bad)
      }
      let before = run.bench.ejections.count
      let time = UInt64.random(in: 1..<(2 * second), using: &random)
      run.bench.advance(to: run.bench.actions.now + time)
      let now = run.bench.ejections.count
      let isAllowed = now <= 1 || (now - 1) * 100 < run.maxPercent * run.resolved.count
      #expect(now <= before || isAllowed, "\(now) of \(run.resolved.count) ejected")
    }
  }

  @Test(
    "calls go to connected endpoints in use, no more than allowed are ejected, all come back",
    arguments: 0..<60)
  func property(_ seed: Int) throws {
    var random = Seeded(UInt64(seed))
    var run = try start(&random)
    var ejections = 0
    for _ in 0..<150 {
      try step(&run, &random)
      ejections = max(ejections, run.bench.ejections.count)
      #expect(Set(run.bench.open.values) == Set(run.resolved))
      #expect(Set(run.bench.ejections.keys).isSubset(of: Set(run.resolved.map(\.identity))))
      #expect((run.bench.state == .ready) == !run.inUse.isEmpty)
      #expect(run.bench.picked() == Set(run.inUse.map(\.raw)))
    }
    #expect(ejections > 0)
    // Without further calls nothing is ejected: the longest time, and the interval it may end in.
    run.bench.advance(to: run.bench.actions.now + 10 * second)
    #expect(run.bench.ejections.isEmpty)
    #expect(run.bench.picked() == Set(run.ready.map(\.raw)))
  }
}
