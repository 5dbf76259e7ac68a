// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Testing

@testable import TrunkSockets

@Suite("Spinning", .timeLimit(.minutes(1))) struct BusyPollTests {
  @Test("a loop looks while waits are short, and sleeps at once when they are long")
  func adapts() {
    var busyPoll = BusyPoll(limit: 50_000)
    #expect(!busyPoll.isWorthwhile, "nothing is known yet")
    busyPoll.waited(100_000)
    #expect(busyPoll.isWorthwhile)
    busyPoll.waited(100_002)
    #expect(!busyPoll.isWorthwhile)
    var never = BusyPoll(limit: 0)
    never.waited(0)
    #expect(!never.isWorthwhile)
  }

  @Test("jobs from elsewhere reach a loop that spins, and one that has gone to sleep")
  func jobs() async throws {
    let loop = try EventLoop(busyPoll: .microseconds(200))
    for round in 0..<300 {
      let answer = await loop.perform { round }
      #expect(answer == round)
      if round % 50 == 0 { try await Task.sleep(for: .milliseconds(2)) }
    }
    loop.shutdown()
  }
}
