// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Testing
import TrunkDiscovery

@Suite struct BackoffTests {
  @Test("1 s, then 1.6 times as long, at most 120 s (connection-backoff.md)") func growth() {
    var backoff = Backoff()
    backoff.jitter = 0
    var random = Seeded(1)
    let delays = (0..<14).map { _ in Double(backoff.next(using: &random)) / 1e9 }
    #expect(delays.prefix(4).map { ($0 * 1000).rounded() } == [1000, 1600, 2560, 4096])
    #expect(delays.last == 120)
    #expect(backoff.attempts == 14)
    backoff.reset()
    #expect(backoff.next(using: &random) == 1_000_000_000)
  }

  @Test("jitter spreads by 20 % to both sides and no further") func jitter() {
    var random = Seeded(2)
    let delays = (0..<1000).map { _ in
      var backoff = Backoff()
      return Double(backoff.next(using: &random)) / 1e9
    }
    #expect(delays.allSatisfy { (0.8...1.2).contains($0) })
    #expect(delays.contains { $0 < 0.85 } && delays.contains { $0 > 1.15 })
  }
}
