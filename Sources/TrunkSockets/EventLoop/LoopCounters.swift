// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import Synchronization

/// What other threads have cost a loop since its start. Always on: a call that stays on its loop
/// touches none of them.
package struct LoopCounters: ~Copyable, Sendable {
  private let wakeupCount = Atomic<UInt64>(0)
  private let remoteJobCount = Atomic<UInt64>(0)
  private let contentionCount = Atomic<UInt64>(0)

  /// Times another thread wrote the loop's eventfd to end its sleep.
  package var wakeups: UInt64 { wakeupCount.load(ordering: .relaxed) }
  /// Jobs that other threads brought, through the locked inbox.
  package var remoteJobs: UInt64 { remoteJobCount.load(ordering: .relaxed) }
  /// Times the inbox's lock was wanted while somebody had it.
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
