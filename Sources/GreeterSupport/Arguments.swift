// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
public import ArgumentParser
public import Logging

extension Duration: @retroactive ExpressibleByArgument {
  /// `250ms`, `2s`, `1m`; a bare number is seconds. Nil for anything else, below zero included.
  public init?(argument: String) {
    let units: [(suffix: String, nanoseconds: Double)] = [
      ("ms", 1e6), ("s", 1e9), ("m", 60e9), ("h", 3600e9), ("", 1e9),
    ]
    guard let unit = units.first(where: { argument.hasSuffix($0.suffix) }) else { return nil }
    let digits = argument.dropLast(unit.suffix.count)
    guard !digits.isEmpty, digits.utf8.allSatisfy({ (0x30...0x39).contains($0) || $0 == 0x2e }),
      let number = Double(digits)
    else { return nil }
    let nanoseconds = (number * unit.nanoseconds).rounded()
    // About 292 years: the range of a Duration in nanoseconds.
    guard nanoseconds.isFinite, nanoseconds < 9.2e18 else { return nil }
    self = .nanoseconds(Int64(nanoseconds))
  }

  /// For `--help`, in the form of an argument.
  public var defaultValueDescription: String {
    let (seconds, attoseconds) = components
    let milliseconds = seconds &* 1_000 &+ attoseconds / 1_000_000_000_000_000
    if milliseconds % 60_000 == 0, milliseconds > 0 { return "\(milliseconds / 60_000)m" }
    return milliseconds % 1_000 == 0 ? "\(milliseconds / 1_000)s" : "\(milliseconds)ms"
  }
}

extension Logger.Level: @retroactive ExpressibleByArgument {}
