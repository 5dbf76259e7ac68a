// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// The prefix of a message to send: one byte of flag, four of length, big endian
/// (PROTOCOL-HTTP2.md, Length-Prefixed-Message).
///
/// Encoders leave the first five bytes free, so that prefix and message share one allocation.
package enum MessageFrame {
  package static let prefixLength = 5

  /// The flag byte of a frame without prefix that must not be compressed.
  package static let uncompressedMark: UInt8 = 2

  /// Whether a frame without prefix must not be compressed.
  package static func isMarkedUncompressed(_ frame: [UInt8]) -> Bool {
    frame.first == uncompressedMark
  }

  /// Writes flag and length into the first five bytes of `frame`; the message is the rest.
  ///
  /// A frame without room for the prefix, or with more than 4 GiB behind it, is a fault of this
  /// side's encoder that the send limit did not catch: it traps.
  package static func seal(_ frame: inout [UInt8], compressed: Bool = false) {
    precondition(frame.count >= prefixLength, "an encoder must leave 5 bytes free for the prefix")
    let length = frame.count - prefixLength
    precondition(length <= 0xffff_ffff, "a gRPC message is at most 4 GiB - 1 long")
    frame.withUnsafeMutableBytes { bytes in
      bytes[0] = compressed ? 1 : 0
      bytes[1] = UInt8(truncatingIfNeeded: length >> 24)
      bytes[2] = UInt8(truncatingIfNeeded: length >> 16)
      bytes[3] = UInt8(truncatingIfNeeded: length >> 8)
      bytes[4] = UInt8(truncatingIfNeeded: length)
    }
  }
}
