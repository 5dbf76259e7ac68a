// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// Reads the fields of one protobuf message, in order (protobuf.dev, Encoding). For the few messages
/// that the library itself receives: its core has no generated code.
package struct ProtobufReader {
  /// A field's value by its wire type.
  package enum Value {
    case varint(UInt64)
    /// A `double`, `fixed64` or `sfixed64`, as bits.
    case fixed64(UInt64)
    case fixed32(UInt32)
    /// A string, `bytes`, or a message.
    case bytes(ArraySlice<UInt8>)
  }

  private var rest: ArraySlice<UInt8>
  /// The message ends within a field, or has a field that protobuf does not allow.
  package private(set) var isMalformed = false

  package init(_ message: ArraySlice<UInt8>) { rest = message }

  /// The next field and its number; nil at the message's end, and if it is malformed.
  package mutating func next() -> (number: UInt64, value: Value)? {
    guard !isMalformed, !rest.isEmpty else { return nil }
    guard let tag = varint(), (1..<1 << 29).contains(tag >> 3), let value = value(tag & 7) else {
      isMalformed = true
      return nil
    }
    return (tag >> 3, value)
  }

  private mutating func value(_ wireType: UInt64) -> Value? {
    switch wireType {
    case 0: return varint().map { .varint($0) }
    case 1: return fixed(8).map { .fixed64($0) }
    case 2:
      guard let length = varint(), length <= UInt64(rest.count) else { return nil }
      let bytes = rest.prefix(Int(length))
      rest = rest.dropFirst(Int(length))
      return .bytes(bytes)
    case 5: return fixed(4).map { .fixed32(UInt32(truncatingIfNeeded: $0)) }
    default: return nil  // groups (3 and 4) are in no message of proto3
    }
  }

  private mutating func varint() -> UInt64? {
    var result: UInt64 = 0
    for shift in stride(from: 0 as UInt64, to: 70, by: 7) {
      guard let byte = rest.popFirst() else { return nil }
      result |= UInt64(byte & 0x7f) << shift
      if byte < 0x80 { return result }
    }
    return nil
  }

  /// Little endian.
  private mutating func fixed(_ count: Int) -> UInt64? {
    guard rest.count >= count else { return nil }
    var result: UInt64 = 0
    for byte in rest.prefix(count).reversed() { result = result << 8 | UInt64(byte) }
    rest = rest.dropFirst(count)
    return result
  }
}

/// Writes the fields of one protobuf message; proto3 leaves out values that are zero or empty.
package struct ProtobufWriter {
  package private(set) var bytes: [UInt8] = []

  package init() {}

  package mutating func write(_ number: Int, double value: Double) {
    guard value != 0 else { return }
    varint(UInt64(number) << 3 | 1)
    var bits = value.bitPattern
    for _ in 0..<8 {
      bytes.append(UInt8(truncatingIfNeeded: bits))
      bits >>= 8
    }
  }

  /// An `int32` or `int64`.
  package mutating func write(_ number: Int, integer value: Int64) {
    guard value != 0 else { return }
    varint(UInt64(number) << 3)
    varint(UInt64(bitPattern: value))
  }

  package mutating func write(_ number: Int, string value: String) {
    guard !value.isEmpty else { return }
    write(number, message: Array(value.utf8))
  }

  /// Also an empty one: a message that is there and one that is not differ.
  package mutating func write(_ number: Int, message: [UInt8]) {
    varint(UInt64(number) << 3 | 2)
    varint(UInt64(message.count))
    bytes.append(contentsOf: message)
  }

  private mutating func varint(_ value: UInt64) {
    var value = value
    while value >= 0x80 {
      bytes.append(UInt8(truncatingIfNeeded: value) | 0x80)
      value >>= 7
    }
    bytes.append(UInt8(truncatingIfNeeded: value))
  }
}
