// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

public import SwiftProtobuf
public import Trunkcall

extension Codec where Message: SwiftProtobuf.Message {
  /// Messages as Protocol Buffers in binary form, with swift-protobuf's default limits (nesting at
  /// most 100 deep, below 2 GiB).
  ///
  /// Encoding throws `BinaryEncodingError` where a required (proto2) field is missing, decoding
  /// `BinaryDecodingError` on bytes that are no such message.
  @inlinable public static var protobuf: Codec {
    Codec(
      encode: { message in
        let frame: FramedBytes = try message.serializedBytes()
        return frame.bytes
      },
      decode: { bytes in try Message(serializedBytes: bytes.span.bytes) })
  }
}

/// swift-protobuf's output buffer with the five bytes of the gRPC prefix in front: message and
/// prefix share one allocation, and nothing is copied.
@usableFromInline
struct FramedBytes: SwiftProtobufContiguousBytes {
  /// Five zero bytes, then the message.
  @usableFromInline var bytes: [UInt8]

  @inlinable init(repeating byte: UInt8, count: Int) {
    // swift-protobuf asks for the size that it has just computed and will fill in place.
    #if DEBUG
      bytes = [UInt8](repeating: byte, count: count + 5)
    #else
      // The same without looking up the array's metadata each time; only an optimised build does
      // this with one `memset`.
      bytes = Array(repeatElement(byte, count: count + 5))
    #endif
    for i in 0..<5 { bytes[i] = 0 }
  }

  @inlinable init<S: Sequence>(_ sequence: S) where S.Element == UInt8 {
    bytes = [0, 0, 0, 0, 0]
    bytes.append(contentsOf: sequence)
  }

  /// Of the message alone.
  @inlinable var count: Int { bytes.count - 5 }

  @inlinable func withUnsafeBytes<R>(
    _ body: (UnsafeRawBufferPointer) throws -> R
  ) rethrows -> R {
    try bytes.withUnsafeBytes { try body(UnsafeRawBufferPointer(rebasing: $0[5...])) }
  }

  @inlinable mutating func withUnsafeMutableBytes<R>(
    _ body: (UnsafeMutableRawBufferPointer) throws -> R
  ) rethrows -> R {
    try bytes.withUnsafeMutableBytes {
      try body(UnsafeMutableRawBufferPointer(rebasing: $0[5...]))
    }
  }
}
