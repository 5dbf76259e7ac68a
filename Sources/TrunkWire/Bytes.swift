// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// Compares eight bytes at a time: header names are compared several times per field of every call.
extension UnsafeRawBufferPointer {
  /// Whether these are the ASCII bytes of `text`.
  @inlinable @inline(__always) package func equals(_ text: StaticString) -> Bool {
    count == text.utf8CodeUnitCount && matches(text.utf8Start, text.utf8CodeUnitCount, at: 0)
  }

  @inlinable package func starts(with text: StaticString) -> Bool {
    count >= text.utf8CodeUnitCount && matches(text.utf8Start, text.utf8CodeUnitCount, at: 0)
  }

  @inlinable package func ends(with text: StaticString) -> Bool {
    let length = text.utf8CodeUnitCount
    return count >= length && matches(text.utf8Start, length, at: count - length)
  }

  /// Whether both hold the same bytes.
  @inlinable package func equals(_ other: UnsafeRawBufferPointer) -> Bool {
    guard count == other.count else { return false }
    guard let start = other.baseAddress else { return true }
    return matches(start, count, at: 0)
  }

  /// The caller has checked that `length` bytes lie at `offset`.
  @inlinable @inline(__always) func matches(
    _ other: UnsafeRawPointer, _ length: Int, at offset: Int
  ) -> Bool {
    guard length > 0, let base = baseAddress else { return length == 0 }
    let own = base + offset
    guard length >= 8 else {
      for index in 0..<length
      where own.load(fromByteOffset: index, as: UInt8.self)
        != other.load(fromByteOffset: index, as: UInt8.self)
      {
        return false
      }
      return true
    }
    var index = 0
    // The last eight bytes may overlap those before.
    while true {
      let at = Swift.min(index, length - 8)
      if own.loadUnaligned(fromByteOffset: at, as: UInt64.self)
        != other.loadUnaligned(fromByteOffset: at, as: UInt64.self)
      {
        return false
      }
      index += 8
      if index >= length { return true }
    }
  }

  /// A hash for tables of known names; not for keys chosen by a peer, who could make them collide.
  @inlinable package var quickHash: UInt64 {
    var hash = UInt64(truncatingIfNeeded: count) &* 0x9e37_79b9_7f4a_7c15
    guard let base = baseAddress else { return hash }
    var index = 0
    while index + 8 <= count {
      hash =
        (hash ^ base.loadUnaligned(fromByteOffset: index, as: UInt64.self))
        &* 0xff51_afd7_ed55_8ccd
      hash ^= hash >> 32
      index += 8
    }
    while index < count {
      hash =
        (hash ^ UInt64(base.load(fromByteOffset: index, as: UInt8.self)))
        &* 0xc4ce_b9fe_1a85_ec53
      hash ^= hash >> 29
      index += 1
    }
    return hash
  }
}

extension UnsafeRawBufferPointer {
  private static func isSpace(_ byte: UInt8) -> Bool {
    byte == UInt8(ascii: " ") || byte == UInt8(ascii: "\t")
  }

  /// RFC 9110 §5.5: white space around a field's value is not part of it.
  package var hasEdgeSpace: Bool {
    guard let first, let last else { return false }
    return UnsafeRawBufferPointer.isSpace(first) || UnsafeRawBufferPointer.isSpace(last)
  }

  package var withoutEdgeSpaces: UnsafeRawBufferPointer {
    guard hasEdgeSpace else { return self }
    let head = drop(while: UnsafeRawBufferPointer.isSpace)
    let count = head.reversed().drop(while: UnsafeRawBufferPointer.isSpace).count
    return UnsafeRawBufferPointer(rebasing: head.prefix(count))
  }
}
