// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// Bytes gathered for one `send`. One per loop, empty between connections.
package struct OutputBuffer: ~Copyable {
  /// A driver stops adding once this many bytes are in: they are sent, then it is asked again.
  package static let mark = 128 * 1024

  private var base = UnsafeMutableRawBufferPointer(start: nil, count: 0)
  package private(set) var count = 0

  package init() {}
  deinit { base.deallocate() }

  package var isFull: Bool { count >= OutputBuffer.mark }

  package mutating func append(_ bytes: UnsafeRawBufferPointer) {
    guard let source = bytes.baseAddress, !bytes.isEmpty else { return }
    if base.count - count < bytes.count { grow(by: bytes.count) }
    base.baseAddress?.advanced(by: count).copyMemory(from: source, byteCount: bytes.count)
    count += bytes.count
  }

  package var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: base[0..<count]) }

  mutating func removeAll() { count = 0 }

  private mutating func grow(by extra: Int) {
    let larger = UnsafeMutableRawBufferPointer.allocate(
      byteCount: max(base.count * 2, count + extra, OutputBuffer.mark + 32 * 1024), alignment: 16)
    if count > 0 { larger.copyMemory(from: bytes) }
    base.deallocate()
    base = larger
  }
}
