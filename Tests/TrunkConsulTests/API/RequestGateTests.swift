// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Testing
import TrunkSockets
import TrunkTesting

@testable import TrunkConsul

@Suite("Short requests to one agent", .timeLimit(.minutes(1))) struct RequestGateTests {
  private final class Counted: Sendable {
    private let state = Locked((now: 0, most: 0, all: 0))
    var most: Int { state.withLock { $0.most } }
    var all: Int { state.withLock { $0.all } }
    func begin() {
      state.withLock {
        $0.now += 1
        $0.all += 1
        $0.most = max($0.most, $0.now)
      }
    }
    func end() { state.withLock { $0.now -= 1 } }
  }

  private func run(_ count: Int, through gate: RequestGate, _ counted: Counted) async {
    await withTaskGroup(of: Void.self) { group in
      for _ in 0..<count {
        group.addTask { @concurrent in
          try? await gate.pass {
            counted.begin()
            await Task.yield()
            counted.end()
          }
        }
      }
    }
  }

  @Test("no more than so many run at once, and all of them do") func bound() async {
    let (gate, counted) = (RequestGate(most: 4, patience: .seconds(60)), Counted())
    await run(300, through: gate, counted)
    #expect(counted.all == 300)
    #expect(counted.most <= 4)
  }

  @Test("one that is cancelled while it waits, or fails, takes no permit with it")
  func cancelled() async throws {
    let (gate, held) = (RequestGate(most: 1, patience: .seconds(60)), Signal())
    let holding = Counted()
    let holder = Task {
      try await gate.pass {
        holding.begin()
        _ = try await held.sleep(for: .seconds(60))
      }
    }
    #expect(try await eventually { holding.all == 1 })
    let (entered, waiter) = (
      Counted(), Task { try await gate.pass { Issue.record("it was cancelled") } }
    )
    waiter.cancel()
    await #expect(throws: CancellationError.self) { try await waiter.value }
    held.signal()
    try await holder.value
    struct Failure: Error {}
    await #expect(throws: Failure.self) { try await gate.pass { throw Failure() } }
    await run(20, through: gate, entered)
    #expect(entered.all == 20 && entered.most == 1)
  }

  @Test("who has waited for its patience goes on without a permit, and gives none back")
  func patience() async throws {
    let (gate, held) = (RequestGate(most: 1, patience: .milliseconds(1)), Signal())
    let holder = Task { try await gate.pass { _ = try await held.sleep(for: .seconds(60)) } }
    try await gate.pass {}
    try await gate.pass {}
    held.signal()
    try await holder.value
  }

  @Test("all clients of an agent have one gate, which ends with the last of them") func shared() {
    let gates = RequestGates()
    let one = gates.gate(to: "a:1")
    #expect(gates.gate(to: "a:1") === one)
    #expect(gates.gate(to: "b:1") !== one)
  }

  @Test("permits are neither lost nor made where many are cancelled at any moment") func storm()
    async throws
  {
    let gate = RequestGate(most: 4, patience: .milliseconds(5))
    await withTaskGroup(of: Void.self) { group in
      for number in 0..<600 {
        group.addTask { @concurrent in
          let task = Task {
            try await gate.pass { try await Task.sleep(for: .microseconds(50 * (number % 7))) }
          }
          if number % 3 == 0 {
            try? await Task.sleep(for: .microseconds(100 * (number % 90)))
            task.cancel()
          }
          _ = await task.result
        }
      }
    }
    // With a patience in which nobody goes on without a permit.
    let counted = Counted()
    let held = (0..<4).map { _ in Signal() }
    let holders = held.map { held in
      Task {
        try await gate.pass {
          counted.begin()
          _ = try await held.sleep(for: .seconds(60))
        }
      }
    }
    #expect(try await eventually { counted.all == 4 })
    #expect(!gate.isContended)
    for held in held { held.signal() }
    for holder in holders { try await holder.value }
  }
}
