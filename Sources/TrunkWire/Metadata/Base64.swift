// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// Base64 for `-bin` metadata (RFC 4648 §4): sent unpadded, accepted padded and unpadded
/// (PROTOCOL-HTTP2.md, Custom-Metadata).
package enum Base64 {
  package static func encode(_ bytes: [UInt8]) -> String {
    let whole = bytes.count / 3
    let rest = bytes.count % 3
    let capacity = whole * 4 + (rest == 0 ? 0 : rest + 1)
    return String(unsafeUninitializedCapacity: capacity) { text in
      var out = 0
      func put(_ sextet: UInt32) {
        text[out] = letter(UInt8(truncatingIfNeeded: sextet & 63))
        out += 1
      }
      var i = 0
      while i + 2 < bytes.count {
        let bits = UInt32(bytes[i]) << 16 | UInt32(bytes[i + 1]) << 8 | UInt32(bytes[i + 2])
        put(bits >> 18)
        put(bits >> 12)
        put(bits >> 6)
        put(bits)
        i += 3
      }
      switch rest {
      case 1:
        let bits = UInt32(bytes[i]) << 4
        put(bits >> 6)
        put(bits)
      case 2:
        let bits = UInt32(bytes[i]) << 10 | UInt32(bytes[i + 1]) << 2
        put(bits >> 12)
        put(bits >> 6)
        put(bits)
      default: break
      }
      return out
    }
  }

  /// The bytes that `text` encodes; nil if it is not base64.
  ///
  /// Padding is complete or absent. Unused bits of the last letter are ignored, as in other gRPC
  /// stacks.
  package static func decode(_ text: UnsafeRawBufferPointer) -> [UInt8]? {
    guard let count = lettersBeforePadding(text) else { return nil }
    var valid = true
    let decoded = [UInt8](unsafeUninitializedCapacity: count / 4 * 3 + 2) { bytes, filled in
      var bits: UInt32 = 0
      var held = 0
      for i in 0..<count {
        let sextet = value(text[i])
        if sextet > 63 {
          valid = false
          return
        }
        bits = bits << 6 | UInt32(sextet)
        held += 6
        if held >= 8 {
          held -= 8
          bytes[filled] = UInt8(truncatingIfNeeded: bits >> UInt32(held))
          filled += 1
        }
      }
    }
    return valid ? decoded : nil
  }

  /// Whether `decode` would accept `text`.
  package static func isValid(_ text: UnsafeRawBufferPointer) -> Bool {
    guard let count = lettersBeforePadding(text) else { return false }
    for i in 0..<count where value(text[i]) > 63 { return false }
    return true
  }

  /// The number of letters before the padding; nil if no base64 text has this length or padding.
  private static func lettersBeforePadding(_ text: UnsafeRawBufferPointer) -> Int? {
    let pad = UInt8(ascii: "=")
    var count = text.count
    if count > 0, count % 4 == 0, text[count - 1] == pad {
      count -= text[count - 2] == pad ? 2 : 1
    }
    return count % 4 == 1 ? nil : count
  }

  private static func letter(_ sextet: UInt8) -> UInt8 {
    switch sextet {
    case 0..<26: UInt8(ascii: "A") + sextet
    case 26..<52: UInt8(ascii: "a") + (sextet - 26)
    case 52..<62: UInt8(ascii: "0") + (sextet - 52)
    case 62: UInt8(ascii: "+")
    default: UInt8(ascii: "/")
    }
  }

  /// The six bits of a letter, 255 if it is none.
  private static func value(_ letter: UInt8) -> UInt8 {
    switch letter {
    case UInt8(ascii: "A")...UInt8(ascii: "Z"): letter - UInt8(ascii: "A")
    case UInt8(ascii: "a")...UInt8(ascii: "z"): letter - UInt8(ascii: "a") + 26
    case UInt8(ascii: "0")...UInt8(ascii: "9"): letter - UInt8(ascii: "0") + 52
    case UInt8(ascii: "+"): 62
    case UInt8(ascii: "/"): 63
    default: 255
    }
  }
}
