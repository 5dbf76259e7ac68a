// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Foundation
import Synchronization
import Testing

@testable import Trunkcall

@Suite("Pipes within the process") struct MessagePipeTests {
  /// Two threads meet at each round.
  private final class Meeting: Sendable {
    private let arrived = Atomic<Int>(0)
    func meet(_ round: Int) {
      arrived.wrappingAdd(1, ordering: .acquiringAndReleasing)
      while arrived.load(ordering: .acquiring) < 2 * (round + 1) {}
    }
  }

  /// Cancelling a task holds its status while its cancellation handlers run, resuming it needs that.
  @Test("a reader that is cancelled while it is resumed holds up neither side")
  func cancelledWhileResumed() async throws {
    let rounds = 20_000
    let pipes = (0..<rounds).map { _ in MessagePipe() }
    let ended = Counter()
    let readers = pipes.map { pipe in
      Task {
        _ = try? await pipe.next()
        ended.value.wrappingAdd(1, ordering: .relaxed)
      }
    }
    let meeting = Meeting()
    // Threads of their own: two tasks that hold up each other would hold up the test as well.
    Thread.detachNewThread {
      for round in 0..<rounds {
        meeting.meet(round)
        pipes[round].finish()
      }
    }
    Thread.detachNewThread {
      for round in 0..<rounds {
        meeting.meet(round)
        readers[round].cancel()
      }
    }
    #expect(
      try await holds(within: .seconds(20)) { ended.value.load(ordering: .relaxed) == rounds })
  }

  private final class Counter: Sendable { let value = Atomic<Int>(0) }
}
