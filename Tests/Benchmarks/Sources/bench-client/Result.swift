// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import BenchSupport

/// Both clocks at the start of what is measured.
struct Mark {
  let wall = now()
  let cpu = cpuTime()
}

struct Result: Sendable {
  var wall: UInt64
  var cpu: UInt64
  var units: Int
  var bytes: Int
  var latencies: Latencies

  init(since start: Mark, _ latencies: Latencies, units: Int? = nil, bytes: Int = 0) {
    wall = now() - start.wall
    cpu = cpuTime() - start.cpu
    self.units = units ?? latencies.count
    self.bytes = bytes
    self.latencies = latencies
  }

  func json(_ mode: String) -> String {
    let seconds = Double(wall) / 1e9
    var fields = [
      "\"mode\": \"\(mode)\"", "\"calls\": \(units)", "\"wall_s\": \(decimal(seconds))",
      "\"per_s\": \(decimal(Double(units) / seconds))",
      "\"cpu_us_per_call\": \(decimal(Double(cpu) / 1_000 / Double(max(1, units))))",
    ]
    if bytes > 0 { fields.append("\"mb_per_s\": \(decimal(Double(bytes) / 1e6 / seconds))") }
    let percentiles = latencies.json()
    if !percentiles.isEmpty { fields.append("\"latency_us\": {\(percentiles)}") }
    return "{\(fields.joined(separator: ", "))}"
  }
}
