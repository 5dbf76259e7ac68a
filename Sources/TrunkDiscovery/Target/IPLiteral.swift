// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// Distinguishes IP addresses from names, without a look-up and without the C library.
package enum IPLiteral {
  /// Four decimal numbers of 0...255 (RFC 3986 §3.2.2, IPv4address; no octal, no leading zeros).
  package static func isV4(_ text: some StringProtocol) -> Bool {
    let parts = text.utf8.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
    return parts.count == 4
      && parts.allSatisfy { part in
        guard (1...3).contains(part.count), part.allSatisfy({ (0x30...0x39).contains($0) }) else {
          return false
        }
        let value = part.reduce(0) { $0 * 10 + Int($1 - 0x30) }
        return value <= 255 && (part.count == 1 || part.first != 0x30)
      }
  }

  /// RFC 4291 §2.2, all three forms, and a zone (`fe80::1%eth0`, RFC 4007 §11; letters as RFC 6874
  /// §2 has them, so that a zone can stand between brackets).
  package static func isV6(_ text: some StringProtocol) -> Bool {
    let zoned = text.split(separator: "%", maxSplits: 1, omittingEmptySubsequences: false)
    guard let address = zoned.first, address.utf8.count <= 45, address.contains(":") else {
      return false
    }
    if zoned.count == 2, zoned[1].isEmpty || !zoned[1].utf8.allSatisfy(isUnreserved) {
      return false
    }

    let halves = splitAtDoubleColon(String(address))
    guard halves.count <= 2 else { return false }
    var groups = 0
    for (i, half) in halves.enumerated() where !half.isEmpty {
      guard let count = groupCount(half, mayEndInV4: i == halves.count - 1) else { return false }
      groups += count
    }
    return halves.count == 2 ? groups <= 7 : groups == 8
  }

  private static func isUnreserved(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"): true
    case UInt8(ascii: "0")...UInt8(ascii: "9"): true
    default:
      [UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "~")].contains(byte)
    }
  }

  private static func splitAtDoubleColon(_ address: String) -> [String] {
    var halves: [String] = [""]
    var previousColon = false
    for character in address {
      if character == ":", previousColon {
        halves[halves.count - 1].removeLast()
        halves.append("")
        previousColon = false
      } else {
        halves[halves.count - 1].append(character)
        previousColon = character == ":"
      }
    }
    return halves
  }

  /// How many 16-bit groups `a:b:c` is; nil if it is none.
  private static func groupCount(_ half: String, mayEndInV4: Bool) -> Int? {
    let groups = half.split(separator: ":", omittingEmptySubsequences: false)
    var count = 0
    for (i, group) in groups.enumerated() {
      if i == groups.count - 1, mayEndInV4, isV4(group) {
        count += 2
      } else if (1...4).contains(group.count),
        group.allSatisfy({ $0.isASCII && $0.isHexDigit })
      {
        count += 1
      } else {
        return nil
      }
    }
    return count
  }
}
