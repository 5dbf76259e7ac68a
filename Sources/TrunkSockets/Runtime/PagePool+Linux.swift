// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import CTrunkLinux
internal import Glibc

/// Slots of whole pages, zeroed, for objects of whose pages most are never written; they come from
/// the system in slabs of 64, and a returned slot's memory is the system's at once.
///
/// ```
///   slab, aligned to its size:  | slot 0 | slot 1 | … | slot 63 |     free: one bit for each
/// ```
/// It lends nothing under the address and thread sanitizers, which would not detect a use after a
/// slot's end, nor where pages are larger than 4 KiB, where it would cost memory instead of saving
/// it.
package final class PagePool: Sendable {
  package let slotSize: Int
  private static let slotsPerSlab = 64

  // Accessed under the lock only.
  private final class Slab {
    let base: UnsafeMutableRawPointer
    var free = UInt64.max
    /// In the list of slabs with free slots; -1 while it has none.
    var index = -1
    init(_ base: UnsafeMutableRawPointer) { self.base = base }
  }
  /// `@unchecked Sendable`: accessed under the lock only.
  private struct State: @unchecked Sendable {
    var slabs: [UInt: Slab] = [:]
    var open: [Slab] = []
  }
  private let state = Locked(State())
  private let isUsable: Bool

  /// - Parameter slotSize: bytes; a power of two, and whole pages.
  package init(slotSize: Int) {
    self.slotSize = slotSize
    isUsable = trunk_is_sanitized() == 0 && sysconf(Int32(_SC_PAGESIZE)) == 4096
  }

  private var slabSize: Int { slotSize * PagePool.slotsPerSlab }

  /// Slabs and slots in use.
  package var usage: (slabs: Int, slots: Int) {
    state.withLock { state in
      (state.slabs.count, state.slabs.values.reduce(0) { $0 + (~$1.free).nonzeroBitCount })
    }
  }

  /// nil: the system has no memory, or the pool lends nothing here.
  package func take() -> UnsafeMutableRawPointer? {
    guard isUsable else { return nil }
    let slot = state.withLock { state -> UInt? in
      if state.open.isEmpty, let base = map() {
        let slab = Slab(base)
        state.slabs[UInt(bitPattern: base)] = slab
        PagePool.opened(slab, &state)
      }
      guard let slab = state.open.last else { return nil }
      let number = slab.free.trailingZeroBitCount
      slab.free &= ~(1 << UInt64(number))
      if slab.free == 0 { PagePool.closed(slab, &state) }
      return UInt(bitPattern: slab.base + number * slotSize)
    }
    return slot.flatMap { UnsafeMutableRawPointer(bitPattern: $0) }
  }

  package func release(_ slot: UnsafeMutableRawPointer) {
    // Zero again at its next use.
    madvise(slot, slotSize, Int32(MADV_DONTNEED))
    let address = UInt(bitPattern: slot)
    state.withLock { state in
      guard let slab = state.slabs[address & ~UInt(slabSize - 1)] else { return }
      if slab.free == 0 { PagePool.opened(slab, &state) }
      slab.free |= 1 << UInt64((address - UInt(bitPattern: slab.base)) / UInt(slotSize))
      // An empty slab is kept, none of its pages is.
      guard slab.free == .max, state.open.count > 1 else { return }
      PagePool.closed(slab, &state)
      state.slabs[UInt(bitPattern: slab.base)] = nil
      munmap(slab.base, slabSize)
    }
  }

  private static func opened(_ slab: Slab, _ state: inout State) {
    slab.index = state.open.count
    state.open.append(slab)
  }

  private static func closed(_ slab: Slab, _ state: inout State) {
    let last = state.open.removeLast()
    if last !== slab {
      state.open[slab.index] = last
      last.index = slab.index
    }
    slab.index = -1
  }

  /// A slab that begins at a multiple of its size, so that a slot's address gives it.
  private func map() -> UnsafeMutableRawPointer? {
    let size = slabSize
    let flags = Int32(MAP_PRIVATE) | Int32(MAP_ANONYMOUS) | Int32(MAP_NORESERVE)
    guard let all = mmap(nil, 2 * size, PROT_READ | PROT_WRITE, flags, -1, 0), all != MAP_FAILED
    else { return nil }
    let head = (size - Int(bitPattern: all) & (size - 1)) & (size - 1)
    let base = all + head
    if head > 0 { munmap(all, head) }
    munmap(base + size, size - head)
    // A huge page would be allocated as a whole with its first byte.
    madvise(base, size, Int32(MADV_NOHUGEPAGE))
    return base
  }
}
