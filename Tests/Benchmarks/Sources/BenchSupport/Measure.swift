// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import Glibc

/// Nanoseconds on the monotonic clock.
public func now() -> UInt64 {
  var time = timespec()
  clock_gettime(CLOCK_MONOTONIC, &time)
  return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
}

/// Processor time of this process, user and system, in nanoseconds.
public func cpuTime() -> UInt64 {
  var time = timespec()
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
  return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
}

/// Open descriptors of this process.
public func openDescriptors() -> Int {
  guard let folder = opendir("/proc/self/fd") else { return 0 }
  defer { closedir(folder) }
  var count = -3  // "." and ".." and the folder's own
  while readdir(folder) != nil { count += 1 }
  return count
}

/// Latencies in nanoseconds.
public struct Latencies: Sendable {
  private var values: [UInt64] = []

  public init(capacity: Int = 0) { values.reserveCapacity(capacity) }

  public var count: Int { values.count }
  public mutating func add(_ nanoseconds: UInt64) { values.append(nanoseconds) }
  public mutating func add(_ others: Latencies) { values += others.values }

  /// `"p50": 12.3, …` in microseconds, by the nearest rank.
  public func json() -> String {
    let sorted = values.sorted()
    guard !sorted.isEmpty else { return "" }
    return [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999), ("max", 1)].map {
      let rank = max(1, Int((Double(sorted.count) * $1).rounded(.up)))
      return "\"\($0)\": \(decimal(Double(sorted[rank - 1]) / 1_000))"
    }.joined(separator: ", ")
  }
}

/// Two digits behind the point: Foundation stays out.
public func decimal(_ value: Double) -> String {
  let hundredths = Int((value * 100).rounded())
  let rest = hundredths % 100
  return "\(hundredths / 100).\(rest < 10 ? "0" : "")\(rest)"
}
