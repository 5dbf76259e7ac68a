// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

import Testing

@testable import TrunkHTTP2

private let second: UInt64 = 1_000_000_000

@Suite("Keepalive (gRFC A8), as a value")
struct KeepaliveTests {
  private func keepalive(withoutCalls: Bool = false) -> Keepalive {
    Keepalive(.init(time: 10 * second, timeout: 20 * second, withoutCalls: withoutCalls))
  }

  @Test("the time counts from the last byte read, not from the last check")
  func fromLastRead() {
    var keepalive = keepalive()
    #expect(keepalive.check(now: 0, lastRead: 0, hasCalls: true) == .wait(until: 10 * second))
    #expect(
      keepalive.check(now: 10 * second, lastRead: 7 * second, hasCalls: true)
        == .wait(until: 17 * second))
    #expect(
      keepalive.check(now: 17 * second, lastRead: 7 * second, hasCalls: true)
        == .ping(checkAt: 27 * second))
  }

  @Test(
    "any byte after the ping is an answer; none within the timeout is death, not a moment before")
  func verdicts() {
    var silent = keepalive()
    #expect(
      silent.check(now: 10 * second, lastRead: 0, hasCalls: true) == .ping(checkAt: 20 * second))
    #expect(
      silent.check(now: 30 * second - 1, lastRead: 0, hasCalls: true)
        == .wait(until: 30 * second))
    var late = silent
    #expect(late.check(now: 21 * second, lastRead: 0, hasCalls: true) == .wait(until: 30 * second))
    #expect(
      late.check(now: 25 * second, lastRead: 11 * second, hasCalls: true)
        == .ping(checkAt: 35 * second))
    #expect(silent.check(now: 30 * second, lastRead: 0, hasCalls: true) == .dead)
    var alive = keepalive()
    _ = alive.check(now: 10 * second, lastRead: 0, hasCalls: true)
    #expect(
      alive.check(now: 30 * second, lastRead: 10 * second, hasCalls: true)
        == .ping(checkAt: 40 * second))
  }

  @Test(
    "without calls nobody is asked, unless that is wished; a ping under way is judged all the same")
  func withoutCalls() {
    var quiet = keepalive()
    #expect(quiet.check(now: 99 * second, lastRead: 0, hasCalls: false) == .dormant)
    #expect(
      quiet.check(now: 99 * second, lastRead: 0, hasCalls: true) == .ping(checkAt: 109 * second))
    #expect(quiet.check(now: 119 * second, lastRead: 0, hasCalls: false) == .dead)
    var eager = keepalive(withoutCalls: true)
    #expect(
      eager.check(now: 99 * second, lastRead: 0, hasCalls: false) == .ping(checkAt: 109 * second))
  }

  @Test("an endless time saturates")
  func endless() {
    var keepalive = Keepalive(.init(time: .max, timeout: .max, withoutCalls: true))
    #expect(keepalive.check(now: second, lastRead: second, hasCalls: true) == .wait(until: .max))
  }
}

@Suite("PING enforcement (gRFC A8), as a value")
struct PingPolicyTests {
  private func policy(permitsWithoutCalls: Bool = false) -> PingPolicy {
    PingPolicy(interval: 300 * second, permitsWithoutCalls: permitsWithoutCalls)
  }

  @Test("the first ping is fine, two that come too early are borne, the next is too many")
  func strikes() {
    var policy = policy()
    let verdicts = (0..<4).map {
      policy.pingReceived(now: UInt64($0) * second, hasCalls: true, hasSent: false)
    }
    #expect(verdicts == [.allowed, .strike, .strike, .tooMany])
  }

  @Test("five minutes with calls, two hours without")
  func intervals() {
    var busy = policy()
    var idle = policy()
    var permitted = policy(permitsWithoutCalls: true)
    for index in 0..<9 {
      let now = UInt64(index) * 300 * second
      #expect(busy.pingReceived(now: now, hasCalls: true, hasSent: false) == .allowed)
      #expect(permitted.pingReceived(now: now, hasCalls: false, hasSent: false) == .allowed)
      let verdict = idle.pingReceived(now: now, hasCalls: false, hasSent: false)
      #expect(
        verdict == [.allowed, .strike, .strike][min(index, 2)] || index > 2 && verdict == .tooMany)
    }
    var patient = policy()
    for index in 0..<9 {
      let now = UInt64(index) * 7_200 * second
      #expect(patient.pingReceived(now: now, hasCalls: false, hasSent: false) == .allowed)
    }
  }

  @Test("HEADERS or DATA sent clear the strikes: a ping for each message is fine for ever")
  func cleared() {
    var policy = policy()
    for message in 0..<10_000 {
      let now = UInt64(message) * 1_000_000
      #expect(policy.pingReceived(now: now, hasCalls: true, hasSent: true) == .allowed)
      #expect(policy.pingReceived(now: now, hasCalls: true, hasSent: false) == .strike)
    }
  }
}
