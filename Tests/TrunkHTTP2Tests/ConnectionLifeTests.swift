// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

import Testing

@testable import TrunkHTTP2

private let second: UInt64 = 1_000_000_000

/// Always the same draw: 0 is the lower end of a range, `.max` the upper.
private struct Fixed: RandomNumberGenerator {
  let value: UInt64
  mutating func next() -> UInt64 { value }
}

@Suite("Idle, age and grace of a connection (gRFC A9), as a value")
struct ConnectionLifeTests {
  private func life(
    idle: UInt64? = nil, age: UInt64? = nil, grace: UInt64? = nil, draw: UInt64 = 0
  ) -> ConnectionLife {
    var random = Fixed(value: draw)
    return ConnectionLife(
      .init(
        maxIdle: idle.map { $0 * second }, maxAge: age.map { $0 * second },
        grace: grace.map { $0 * second }), born: 0, random: &random)
  }

  @Test("nothing is for ever by default, and costs no timer")
  func endless() {
    #expect(ConnectionLife.Settings().isEndless)
    var life = life()
    #expect(life.check(now: .max, idleSince: 0) == .done)
  }

  @Test("an idle connection is drained; one with calls is not")
  func idle() {
    var life = life(idle: 10)
    #expect(life.check(now: 0, idleSince: 0) == .wait(until: 10 * second))
    #expect(life.check(now: 10 * second, idleSince: nil) == .wait(until: 20 * second))
    #expect(life.check(now: 20 * second, idleSince: 15 * second) == .wait(until: 25 * second))
    #expect(life.check(now: 25 * second, idleSince: 15 * second) == .drain(.maxIdle))
    #expect(life.check(now: 26 * second, idleSince: 15 * second) == .done)
  }

  @Test("age ends between 90 % and 110 % of what is set, whether there are calls or not")
  func age() {
    var early = life(age: 100, draw: 0)
    var late = life(age: 100, draw: .max)
    #expect(early.check(now: 0, idleSince: nil) == .wait(until: 90 * second))
    #expect(early.check(now: 90 * second, idleSince: nil) == .drain(.maxAge))
    guard case .wait(let until) = late.check(now: 0, idleSince: nil) else {
      Issue.record("no wait")
      return
    }
    #expect(until > 109 * second && until <= 110 * second)
  }

  @Test("what runs after the grace is cut off, once")
  func grace() {
    var life = life(age: 100, grace: 5)
    #expect(life.check(now: 90 * second, idleSince: nil) == .drain(.maxAge))
    #expect(life.check(now: 90 * second, idleSince: nil) == .wait(until: 95 * second))
    #expect(life.check(now: 95 * second, idleSince: nil) == .close)
    #expect(life.check(now: 96 * second, idleSince: nil) == .done)
  }
}
