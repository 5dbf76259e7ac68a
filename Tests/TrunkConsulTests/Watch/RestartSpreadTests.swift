// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Testing
import TrunkDiscovery

@testable import TrunkConsul

/// Many clients of one agent, which goes away from all of them in the same moment.
@Suite("After a restart of the agent") struct RestartSpreadTests {
  private static let clients = 300
  /// How long the agent, or the whole cluster, is away.
  private static let outages = [
    Duration.milliseconds(50), .milliseconds(500), .seconds(2), .seconds(5), .seconds(20),
    .seconds(120),
  ]

  /// When clients got through, counted from the agent's return.
  private struct Spread {
    var times: [Duration]
    var median: Duration { times.sorted()[times.count / 2] }
    var last: Duration { times.max() ?? .zero }
    /// The most of them in any 100 ms.
    var most: Int {
      let sorted = times.sorted()
      var (first, most) = (0, 0)
      for (index, time) in sorted.enumerated() {
        while time - sorted[first] >= .milliseconds(100) { first += 1 }
        most = max(most, index - first + 1)
      }
      return most
    }
  }

  @Test(
    "300 long polls that end at once are sent again spread out, whatever the time until then",
    arguments: outages, [nil, 500])
  func watches(outage: Duration, status: Int?) throws {
    var random = SplitMix(state: 11)
    let origin = ContinuousClock.now
    let failure: BlockingQuery.Failure =
      status.map { .status($0, "No cluster leader") } ?? .transport("connection reset")
    let endpoint = Endpoint([.host("10.0.0.1", 1)])
    var times: [Duration] = []
    for _ in 0..<Self.clients {
      var query = BlockingQuery(wait: .seconds(60), explains: true)
      _ = query.begin(at: origin)
      var mapping = InstanceMapping([HealthEntry](), for: ConsulQuery("x"))
      mapping.endpoints = [endpoint]
      _ = query.answered(.init(index: "7", mapping), at: origin, using: &random)
      var now = origin
      repeat {
        let step = query.failed(failure, at: now, using: &random)
        guard case .backOff(let pause, _) = step.next else {
          Issue.record("no back-off")
          return
        }
        now += pause
        _ = query.timerFired(at: now)
      } while now < origin + outage
      times.append(now - origin - outage)
    }
    let spread = Spread(times: times)
    #expect(spread.most <= 100, "median \(spread.median)")
    // No more than twice the outage, and the first delay at most.
    #expect(spread.last <= outage + .milliseconds(500))
  }

  @Test(
    "300 registrations that were made at once are looked at, and made again, spread out",
    arguments: outages, [Duration.zero, .milliseconds(2_300), .seconds(10), .seconds(60)])
  func registrations(outage: Duration, age: Duration) throws {
    var random = SplitMix(state: 12)
    let origin = ContinuousClock.now
    let (lost, back) = (origin + age, origin + age + outage)
    var times: [Duration] = []
    for _ in 0..<Self.clients {
      var state = RegistrationState()
      var step = state.begin()
      var now = origin
      while now < back {
        switch step.next {
        case .sleep(let pause):
          now += pause
          step = state.timerFired()
        case let next where now >= lost:
          step = state.failed(next, "connection refused", at: now, using: &random)
        case .register: step = state.registered(using: &random)
        case .confirm: step = state.confirmed(using: &random)
        }
      }
      #expect(step.next == (age == .zero ? .register : .confirm))
      times.append(now - back)
    }
    let spread = Spread(times: times)
    #expect(spread.most <= 100, "median \(spread.median)")
    #expect(spread.last <= .seconds(6))
  }
}
