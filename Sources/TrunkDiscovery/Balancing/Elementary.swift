// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// The two functions that policies need of a mathematical library, without one: this module imports
/// no operating system.
enum Elementary {
  private static let log2 = 0.693_147_180_559_945_3

  /// e^-x for x of at least 0, to nine digits; 0 from x = 700 on.
  static func decay(_ x: Double) -> Double {
    guard x > 0 else { return 1 }
    guard x < 700 else { return 0 }
    // e^-x = 2^-n * e^-r with r below ln 2; the rest is its Taylor series.
    let whole = (x / log2).rounded(.down)
    let rest = x - whole * log2
    var sum = 1.0
    for divisor in stride(from: 11.0, through: 1, by: -1) { sum = 1 - rest / divisor * sum }
    return Double(sign: .plus, exponent: -Int(whole), significand: sum)
  }

  /// The natural logarithm of a positive finite number, to nine digits.
  static func logarithm(_ x: Double) -> Double {
    // x = 2^n * m with m in 1..<2; ln m = 2 artanh((m - 1) / (m + 1)).
    let ratio = (x.significand - 1) / (x.significand + 1)
    let square = ratio * ratio
    var sum = 0.0
    for odd in stride(from: 19.0, through: 1, by: -2) { sum = sum * square + 1 / odd }
    return 2 * ratio * sum + Double(x.exponent) * log2
  }
}
