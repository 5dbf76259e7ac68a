// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Testing

@testable import TrunkConsul

@Suite("What long polls an agent has to keep") struct PollBudgetTests {
  private let now = ContinuousClock.now

  @Test("an abandoned poll counts until its wait is over, an answered one no longer")
  func abandoned() {
    var budget = PollBudget()
    func begin(after time: Duration = .zero) -> Bool { budget.begin(limit: 2, at: now + time) }
    #expect(begin())
    #expect(begin())
    #expect(!begin())
    budget.abandoned(until: now + .seconds(10))
    #expect(!begin(after: .seconds(9)))
    #expect(begin(after: .seconds(10)))
    budget.ended()
    budget.ended()
    #expect(budget.isEmpty)
  }

  @Test("whatever limit is set, the last connections of the agent's 200 are left to others")
  func most() {
    var budget = PollBudget()
    var begun = 0
    while budget.begin(limit: .max, at: now) { begun += 1 }
    #expect(begun == 160)
  }

  @Test("every way a poll can end gives back what it took")
  func ends() async {
    let counter = PollCounter(budgets: PollBudgets(), agent: { "a" }, limit: 1, clock: .system)
    func poll(_ wait: Duration, _ error: (any Error)?) async -> Bool {
      do {
        return try await counter.poll(for: wait) { if let error { throw error } } != nil
      } catch { return true }
    }
    #expect(await poll(.seconds(60), nil))
    #expect(await poll(.seconds(60), ConsulError.unreachable(agent: "a", reason: "reset")))
    #expect(await poll(.seconds(60), ConsulError.refused(agent: "a", status: 500, text: "")))
    #expect(await poll(.seconds(60), ConsulError.malformed(agent: "a", reason: "")))
    #expect(await poll(.zero, ConsulError.timedOut(agent: "a", after: .zero)))
    #expect(await poll(.seconds(60), CancellationError()))
    #expect(await !poll(.seconds(60), nil), "the agent still waits for a minute")
  }
}
