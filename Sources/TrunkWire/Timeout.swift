// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// `grpc-timeout`: one to eight digits and a unit (PROTOCOL-HTTP2.md, Timeout).
package enum GRPCTimeout {
  /// Nanoseconds, saturating at `UInt64.max` (584 years); nil if malformed.
  ///
  /// The grammar requires a positive number; 0 is accepted as an expired deadline, as in other
  /// stacks, since refusing it would only replace one failure by another.
  package static func parse(_ bytes: UnsafeRawBufferPointer) -> UInt64? {
    guard (2...9).contains(bytes.count) else { return nil }
    guard let unit = nanoseconds(perUnit: bytes[bytes.count - 1]) else { return nil }
    var amount: UInt64 = 0
    for byte in bytes.dropLast() {
      guard (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) else { return nil }
      amount = amount * 10 + UInt64(byte - UInt8(ascii: "0"))  // 8 digits: below 10^8
    }
    let (total, overflow) = amount.multipliedReportingOverflow(by: unit)
    return overflow ? .max : total
  }

  /// The finest unit in which the timeout has at most eight digits, rounded down: the timeout for
  /// the next hop must never be longer than the rest. It is shorter by less than 0.1 %. The grammar
  /// has no 0, so that is written as `1n`.
  package static func encode(nanoseconds: UInt64) -> [UInt8] {
    for unit in "numSM".utf8 {
      guard let size = self.nanoseconds(perUnit: unit) else { continue }
      let amount = nanoseconds / size
      if amount < 100_000_000 { return text(max(amount, 1), unit) }
    }
    return text(nanoseconds / 3_600_000_000_000, UInt8(ascii: "H"))  // at most 5,124,095
  }

  private static func nanoseconds(perUnit unit: UInt8) -> UInt64? {
    switch unit {
    case UInt8(ascii: "n"): 1
    case UInt8(ascii: "u"): 1_000
    case UInt8(ascii: "m"): 1_000_000
    case UInt8(ascii: "S"): 1_000_000_000
    case UInt8(ascii: "M"): 60_000_000_000
    case UInt8(ascii: "H"): 3_600_000_000_000
    default: nil
    }
  }

  private static func text(_ amount: UInt64, _ unit: UInt8) -> [UInt8] {
    [UInt8](unsafeUninitializedCapacity: 9) { bytes, count in
      var digits = 1
      var rest = amount / 10
      while rest > 0 {
        digits += 1
        rest /= 10
      }
      rest = amount
      for i in stride(from: digits - 1, through: 0, by: -1) {
        bytes[i] = UInt8(ascii: "0") + UInt8(truncatingIfNeeded: rest % 10)
        rest /= 10
      }
      bytes[digits] = unit
      count = digits + 1
    }
  }
}
