// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Foundation
import Synchronization
import Testing

@testable import TrunkServices

@Suite("Watches of health that are cancelled") struct HealthCancellationTests {
  private final class Progress: Sendable {
    let ended = Atomic<Int>(0)
    private let arrived = Atomic<Int>(0)

    /// Two threads meet at each round.
    func meet(_ round: Int) {
      arrived.wrappingAdd(1, ordering: .acquiringAndReleasing)
      while arrived.load(ordering: .acquiring) < 2 * (round + 1) {}
    }
  }

  /// Cancelling a task holds its status while its cancellation handlers run, resuming it needs that.
  @Test("a cancellation handler may use the service while another thread sets a status")
  func cancelledWhileSet() async throws {
    let rounds = 5_000
    let service = HealthService()
    let progress = Progress()
    let readers = (0..<rounds).map { round in
      Task {
        await withTaskCancellationHandler {
          let (id, changes) = service.watch("\(round)")
          for await _ in changes {}
          service.removeWatcher("\(round)", id)
        } onCancel: {
          _ = service.isServing("other")
        }
        progress.ended.wrappingAdd(1, ordering: .relaxed)
      }
    }
    // Threads of their own: two tasks that hold up each other would hold up the test as well.
    Thread.detachNewThread {
      for round in 0..<rounds {
        progress.meet(round)
        service.setServing("\(round)", true)
      }
    }
    Thread.detachNewThread {
      for round in 0..<rounds {
        progress.meet(round)
        readers[round].cancel()
      }
    }
    for _ in 0..<400 where progress.ended.load(ordering: .relaxed) < rounds {
      try await Task.sleep(for: .milliseconds(50))
    }
    #expect(progress.ended.load(ordering: .relaxed) == rounds)
  }
}
