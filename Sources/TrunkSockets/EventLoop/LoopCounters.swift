// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import Synchronization

/// The cost of other threads for a loop since its start. Always on: a call that stays on its loop
/// writes none of them.
package struct LoopCounters: ~Copyable, Sendable {
  private let wakeupCount = Atomic<UInt64>(0)
  private let remoteJobCount = Atomic<UInt64>(0)
  private let contentionCount = Atomic<UInt64>(0)

  /// Times another thread wrote the loop's eventfd to end its wait.
  package var wakeups: UInt64 { wakeupCount.load(ordering: .relaxed) }
  /// Jobs posted by other threads, through the locked inbox.
  package var remoteJobs: UInt64 { remoteJobCount.load(ordering: .relaxed) }
  /// Times the inbox's lock was held by another thread when it was wanted.
  package var contentions: UInt64 { contentionCount.load(ordering: .relaxed) }

  // From any thread, next to a system call or a wait that costs far more.
  func wokeUp() { wakeupCount.wrappingAdd(1, ordering: .relaxed) }
  func contended() { contentionCount.wrappingAdd(1, ordering: .relaxed) }

  /// The loop alone writes it, once for all the jobs that it finds: no atomic addition is needed.
  func received(_ jobs: Int) {
    let count = remoteJobCount.load(ordering: .relaxed) &+ UInt64(truncatingIfNeeded: jobs)
    remoteJobCount.store(count, ordering: .relaxed)
  }
}
