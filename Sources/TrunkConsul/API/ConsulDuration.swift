// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// Durations as Consul reads and writes them (Go's `time.ParseDuration`).
package enum ConsulDuration {
  /// The shortest exact form in one unit: `1m`, `10s`, `90s`, `250ms`. At least `1ms`, because zero
  /// means "the default" to the agent (Consul, Blocking Queries; measured with 1.8.7).
  package static func text(_ duration: Duration) -> String {
    let milliseconds = max(1, whole(duration))
    for (unit, size) in [("h", Int64(3_600_000)), ("m", 60_000), ("s", 1_000)]
    where milliseconds.isMultiple(of: size) {
      return "\(milliseconds / size)\(unit)"
    }
    return "\(milliseconds)ms"
  }

  /// Milliseconds alone, as the `wait` of a query is sent (Consul, Blocking Queries).
  package static func milliseconds(_ duration: Duration) -> String {
    "\(max(1, whole(duration)))ms"
  }

  /// `500ms`, `30s`, `1.5m`, `1h30m`; nil for anything else, or for more than a year.
  package static func parse(_ text: String) -> Duration? {
    let units: [(String, Double)] = [("ms", 0.001), ("s", 1), ("m", 60), ("h", 3_600)]
    var rest = text[...]
    var seconds = 0.0
    guard !rest.isEmpty else { return nil }
    while !rest.isEmpty {
      let number = rest.prefix { ($0.isASCII && $0.isNumber) || $0 == "." }
      rest = rest.dropFirst(number.count)
      guard let value = Double(number), let unit = units.first(where: { rest.hasPrefix($0.0) })
      else { return nil }
      rest = rest.dropFirst(unit.0.count)
      seconds += value * unit.1
    }
    return seconds <= 31_536_000 ? .milliseconds(Int64((seconds * 1_000).rounded())) : nil
  }

  private static func whole(_ duration: Duration) -> Int64 {
    let (seconds, attoseconds) = duration.components
    let (milliseconds, overflow) = seconds.multipliedReportingOverflow(by: 1_000)
    if overflow { return seconds < 0 ? 0 : .max }
    let (sum, carried) = milliseconds.addingReportingOverflow(
      attoseconds / 1_000_000_000_000_000)
    return carried ? .max : sum
  }
}
