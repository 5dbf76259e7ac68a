// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Glibc
import Testing

@testable import TrunkSockets

@Suite("Freed memory")
struct FreeMemoryTests {
  /// `RUSAGE_THREAD`, which Glibc's module leaves out: what other threads do is none of this
  /// test's.
  private static let thisThread: Int32 = 1

  /// Page faults of taking, filling and freeing a block.
  private static func faults(_ bytes: Int) -> Int {
    var before = rusage()
    var after = rusage()
    getrusage(FreeMemoryTests.thisThread, &before)
    let block = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes, alignment: 16)
    block.initializeMemory(as: UInt8.self, repeating: 1)
    block.deallocate()
    getrusage(FreeMemoryTests.thisThread, &after)
    return after.ru_minflt - before.ru_minflt
  }

  @Test(
    "what a large block has freed serves the next one, without new pages",
    // The sanitizers bring a malloc of their own.
    .enabled(if: getenv("TRUNKCALL_SANITIZER") == nil))
  func kept() {
    FreeMemory.keep(32 << 20)
    let size = 4 << 20
    let first = FreeMemoryTests.faults(size)
    let second = FreeMemoryTests.faults(size)
    #expect(
      second < 64, "\(first) page faults, then \(second); a block of its own would cost 1,024")
  }
}
