// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Glibc
import Testing

@testable import TrunkSockets

@Suite("Pages for sessions")
struct PagePoolTests {
  private static let size = 32 << 10
  /// Under the sanitizers, and with pages of more than 4 KiB, there are none.
  private static let lends = PagePool(slotSize: size).take() != nil

  private func bytes(_ slot: UnsafeMutableRawPointer) -> UnsafeMutableRawBufferPointer {
    UnsafeMutableRawBufferPointer(start: slot, count: Self.size)
  }

  @Test("a pool lends pages where that saves memory and hides nothing from a sanitizer")
  func usable() {
    let isSanitized = getenv("TRUNKCALL_SANITIZER") != nil
    #expect(Self.lends == (!isSanitized && sysconf(Int32(_SC_PAGESIZE)) == 4096))
  }

  @Test(
    "slots are zero, also those that were used before, begin a page, and do not overlap",
    .enabled(if: lends))
  func zeroed() throws {
    let pool = PagePool(slotSize: Self.size)
    for round in 0..<3 {
      var slots: [UnsafeMutableRawPointer] = []
      for number in 0..<200 {
        let slot = try #require(pool.take())
        #expect(UInt(bitPattern: slot) % 4096 == 0)
        let isZero = bytes(slot).allSatisfy { $0 == 0 }
        #expect(isZero, "slot \(number) of round \(round)")
        _ = bytes(slot).initializeMemory(as: UInt8.self, repeating: UInt8(number + 1))
        slots.append(slot)
      }
      for (number, slot) in slots.enumerated() {
        let isOwn = bytes(slot).allSatisfy { $0 == UInt8(number + 1) }
        #expect(isOwn, "slot \(number) of round \(round)")
      }
      for slot in slots.shuffled() { pool.release(slot) }
    }
  }

  @Test("memory goes back: of slabs without a slot in use one is kept", .enabled(if: lends))
  func givenBack() throws {
    let pool = PagePool(slotSize: Self.size)
    var slots: [UnsafeMutableRawPointer] = []
    for _ in 0..<640 { slots.append(try #require(pool.take())) }
    #expect(pool.usage == (slabs: 10, slots: 640))
    // One of each slab stays in use, then none.
    let last = Dictionary(grouping: slots) { UInt(bitPattern: $0) / UInt(64 * Self.size) }
      .values.map { $0[0] }
    for slot in slots where !last.contains(slot) { pool.release(slot) }
    #expect(pool.usage == (slabs: 10, slots: 10))
    for slot in last { pool.release(slot) }
    #expect(pool.usage == (slabs: 1, slots: 0))
    let again = try #require(pool.take())
    #expect(pool.usage == (slabs: 1, slots: 1))
    pool.release(again)
  }

  @Test("threads take and give back at once, and never share a slot", .enabled(if: lends))
  func threads() async {
    let pool = PagePool(slotSize: Self.size)
    let wrong = await withTaskGroup(of: Int.self) { group in
      for worker in 1...8 {
        group.addTask {
          var wrong = 0
          for _ in 0..<50 {
            let slots = (0..<20).compactMap { _ in pool.take() }
            for slot in slots { slot.storeBytes(of: worker, as: Int.self) }
            for slot in slots where slot.load(as: Int.self) != worker { wrong += 1 }
            for slot in slots { pool.release(slot) }
            wrong += 20 - slots.count
          }
          return wrong
        }
      }
      return await group.reduce(0, +)
    }
    #expect(wrong == 0)
    #expect(pool.usage.slots == 0 && pool.usage.slabs <= 1)
  }
}
