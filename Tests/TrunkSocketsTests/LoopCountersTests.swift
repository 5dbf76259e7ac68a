// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Testing

@testable import TrunkSockets

@Suite("What other threads cost a loop", .timeLimit(.minutes(1))) struct LoopCountersTests {
  @Test("jobs of other threads are counted, those that the loop gives itself are not")
  func remoteJobs() async throws {
    try await withLoop { loop in
      await loop.perform {
        for _ in 0..<100 { loop.later {} }
      }
      for _ in 0..<10 { await loop.perform {} }
      #expect(loop.counters.remoteJobs == 11)
      #expect(loop.counters.wakeups <= 11)
    }
  }

  @Test("a loop that sleeps is woken for a job, one that works is not")
  func wakeups() async throws {
    try await withLoop { loop in
      while loop.counters.wakeups == 0 {
        try await Task.sleep(for: .milliseconds(5))
        await loop.perform {}
      }
      let isDone = Locked(false)
      let begun = Notes<Int>()
      loop.later {
        begun.add(1)
        while !isDone.withLock({ $0 }) {}
      }
      while begun.all.isEmpty { try await Task.sleep(for: .milliseconds(1)) }
      let before = loop.counters.wakeups
      for _ in 0..<100 { loop.later {} }
      #expect(loop.counters.wakeups == before)
      isDone.withLock { $0 = true }
      await loop.perform {}
    }
  }

  @Test("a lock that somebody has is counted when it is wanted")
  func contention() async throws {
    try await withLoop { loop in
      try await withLoop { other in
        let wasHeld = loop.inbox.withLock { _ in
          other.later { loop.later {} }
          while loop.counters.contentions == 0 {}
          return loop.inbox.isHeld
        }
        #expect(wasHeld)
        await other.perform {}
        await loop.perform {}
        #expect(loop.counters.remoteJobs == 2)
      }
    }
  }
}
