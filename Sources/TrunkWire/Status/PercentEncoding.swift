// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// The escaping of `grpc-message` (PROTOCOL-HTTP2.md, Status-Message): UTF-8, in which every byte
/// outside 0x20...0x7E, and `%` itself, is written `%XX`. So are spaces at the edges, which HTTP
/// would not keep (RFC 9110 §5.5).
package enum PercentEncoding {
  /// - Parameter limit: of the result, in bytes. A message that is too long is cut before the
  ///   character (Unicode scalar) that would not fit.
  package static func encode(_ message: String, limit: Int = .max) -> [UInt8] {
    let bytes = message.utf8
    var encoded: [UInt8] = []
    encoded.reserveCapacity(min(limit, bytes.count))
    let last = bytes.count - 1
    // The start of the current character.
    var start = 0
    for (offset, byte) in bytes.enumerated() {
      if byte & 0xc0 != 0x80 { start = encoded.count }
      let isEdgeSpace = byte == UInt8(ascii: " ") && (offset == 0 || offset == last)
      let needed = isPlain(byte) && !isEdgeSpace ? 1 : 3
      guard encoded.count + needed <= limit else {
        encoded.removeSubrange(start...)
        // The cut must not leave a space at the end.
        while encoded.last == UInt8(ascii: " ") { encoded.removeLast() }
        return encoded
      }
      if needed == 1 {
        encoded.append(byte)
      } else {
        encoded.append(UInt8(ascii: "%"))
        encoded.append(hex(byte >> 4))
        encoded.append(hex(byte & 15))
      }
    }
    return encoded
  }

  /// Never fails and drops nothing (PROTOCOL-HTTP2.md, Status-Message): a `%` without two hex
  /// digits stays; bytes that are not UTF-8 become U+FFFD.
  package static func decode(_ encoded: UnsafeRawBufferPointer) -> String {
    guard encoded.contains(UInt8(ascii: "%")) else {
      return String(decoding: encoded, as: UTF8.self)
    }
    var bytes: [UInt8] = []
    bytes.reserveCapacity(encoded.count)
    var i = 0
    while i < encoded.count {
      if encoded[i] == UInt8(ascii: "%"), i + 2 < encoded.count,
        let high = digit(encoded[i + 1]), let low = digit(encoded[i + 2])
      {
        bytes.append(high << 4 | low)
        i += 3
      } else {
        bytes.append(encoded[i])
        i += 1
      }
    }
    return String(decoding: bytes, as: UTF8.self)
  }

  private static func isPlain(_ byte: UInt8) -> Bool {
    (0x20...0x7e).contains(byte) && byte != UInt8(ascii: "%")
  }

  private static func hex(_ digit: UInt8) -> UInt8 {
    digit < 10 ? UInt8(ascii: "0") + digit : UInt8(ascii: "A") + (digit - 10)
  }

  private static func digit(_ letter: UInt8) -> UInt8? {
    switch letter {
    case UInt8(ascii: "0")...UInt8(ascii: "9"): letter - UInt8(ascii: "0")
    case UInt8(ascii: "A")...UInt8(ascii: "F"): letter - UInt8(ascii: "A") + 10
    case UInt8(ascii: "a")...UInt8(ascii: "f"): letter - UInt8(ascii: "a") + 10
    default: nil
    }
  }
}
