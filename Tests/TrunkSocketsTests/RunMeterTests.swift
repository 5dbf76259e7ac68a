// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Glibc
import Testing

@testable import TrunkSockets

@Suite("Run meter")
struct RunMeterTests {
  private static func burn(_ nanoseconds: UInt64) {
    let start = ThreadUsage.now().cpu
    while ThreadUsage.now().cpu &- start < nanoseconds {}
  }
  private static func block(_ microseconds: UInt32) { usleep(microseconds) }

  @Test("a run that burns the CPU makes a suspect, the second one a hog")
  func burning() {
    var told: [UInt64] = []
    let meter = RunMeter { told.append($0) }
    meter.measure { RunMeterTests.burn(1_500_000) }
    #expect(meter.verdicts == 0 && meter.longRuns == 1)
    meter.measure { RunMeterTests.burn(1_500_000) }
    #expect(meter.verdicts == 1)
    meter.measure { RunMeterTests.burn(1_500_000) }
    #expect(meter.verdicts == 2, "whoever comes back after a verdict is a suspect at once")
    #expect(told.count == 2 && told[0] >= RunMeter.longRun)
  }

  @Test("a run that blocks its thread counts as well, though it burns nothing")
  func blocking() {
    var told = 0
    let meter = RunMeter { _ in told += 1 }
    for _ in 0..<2 { meter.measure { RunMeterTests.block(2_000) } }
    #expect(meter.verdicts == 1 && told == 1)
  }

  @Test("what a busy machine does to a run is not held against it")
  func preempted() {
    let before = ThreadUsage(cpu: 5_000_000, voluntarySwitches: 3)
    let length: UInt64 = 37_000_000
    // A lock that was held for a moment, then the wait for a processor.
    let locked = ThreadUsage(cpu: 5_200_000, voluntarySwitches: 4)
    #expect(!locked.isHogging(since: before, length, waited: 36_700_000))
    // It slept for 2 ms of them.
    #expect(locked.isHogging(since: before, length, waited: 34_800_000))
    // A kernel that does not say how long threads wait.
    #expect(locked.isHogging(since: before, length, waited: nil))
    // It did not give the CPU up, and did not have it.
    let preempted = ThreadUsage(cpu: 5_200_000, voluntarySwitches: 3)
    #expect(!preempted.isHogging(since: before, length, waited: 0))
    // It computed.
    let burnt = ThreadUsage(cpu: 6_000_000, voluntarySwitches: 3)
    #expect(burnt.isHogging(since: before, length, waited: 36_000_000))
    #expect(ThreadUsage.runQueueWait() != nil || access("/proc/thread-self/schedstat", R_OK) != 0)
  }

  @Test("a suspicion ends after 1,000 short runs")
  func probation() {
    let meter = RunMeter { _ in }
    meter.measure { RunMeterTests.block(2_000) }
    // A busy machine may stretch a short run, which begins the probation anew.
    var before = meter.longRuns
    var short = 0
    while short < RunMeter.probation {
      meter.measure {}
      short = meter.longRuns == before ? short + 1 : 0
      before = meter.longRuns
    }
    meter.measure { RunMeterTests.block(2_000) }
    #expect(meter.verdicts == 0)
    // A busy machine may hide one of them.
    for _ in 0..<5 where meter.verdicts == 0 { meter.measure { RunMeterTests.block(2_000) } }
    #expect(meter.verdicts == 1)
  }

  @Test("tasks on a metered face of a loop are measured, others are not")
  func face() async throws {
    try await withLoop { loop in
      let notes = Notes<UInt64>()
      let tasks = await loop.perform {
        LoopTasks(of: loop, meter: RunMeter { notes.add($0) })
      }
      await Task(executorPreference: loop.tasks) {
        for _ in 0..<3 {
          RunMeterTests.block(1_500)
          await Task.yield()
        }
      }.value
      #expect(notes.all.isEmpty)
      let stayed = await Task(executorPreference: tasks) {
        for _ in 0..<3 {
          RunMeterTests.block(1_500)
          await Task.yield()
        }
        return loop.isCurrent
      }.value
      #expect(stayed && notes.all.count == 2)
    }
  }
}
