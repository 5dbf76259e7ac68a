// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

import FoundationEssentials
import Glibc
import ProcessSupport
import Testing
import TrunkSockets
import TrunkTesting
import TrunkWire
import Trunkcall

/// A server in a process of its own, and what can be seen of it.
struct Victim: Sendable {
  let process: ChildProcess
  let port: UInt16

  /// - Parameter descriptors: how many the process may have.
  static func start(_ arguments: String..., descriptors: Int? = nil) async throws -> Victim {
    let program = ChildProcess.built("attack-server")
    let limit = descriptors.map { "ulimit -n \($0); " } ?? ""
    let process = try ChildProcess(
      "/bin/sh", ["-c", "\(limit)exec \"$0\" \"$@\"", program] + arguments)
    let line = try #require(
      try await process.line(containing: "listening on", within: .seconds(20)), "\(process.text)")
    let port = try #require(line.split(separator: ":").last.flatMap { UInt16($0) })
    return Victim(process: process, port: port)
  }

  var target: String { "ipv4:127.0.0.1:\(port)" }

  /// Resident memory in bytes.
  var memory: Int { Victim.memory(of: process.pid) }

  static func memory(of pid: pid_t) -> Int {
    guard let file = fopen("/proc/\(pid)/statm", "r") else { return 0 }
    defer { fclose(file) }
    var bytes = [UInt8](repeating: 0, count: 256)
    let count = fread(&bytes, 1, bytes.count, file)
    let text = String(decoding: bytes.prefix(count), as: UTF8.self).split(separator: " ")
    return text.count > 1 ? (Int(text[1]) ?? 0) * Int(sysconf(Int32(_SC_PAGESIZE))) : 0
  }

  var descriptors: Int {
    (try? FileManager.default.contentsOfDirectory(atPath: "/proc/\(process.pid)/fd").count) ?? -1
  }

  static func method(_ name: String) -> MethodDescriptor<[UInt8], [UInt8]> {
    MethodDescriptor(service: "t.Attacked", method: name, request: .bytes, response: .bytes)
  }

  func statistics(_ channel: GRPCChannel) async throws -> [String: Int] {
    let reply = try await channel.unary(
      Victim.method("Statistics"), [], CallOptions(timeout: .seconds(10)))
    var figures: [String: Int] = [:]
    for part in String(decoding: reply, as: UTF8.self).split(separator: " ") {
      let pair = part.split(separator: "=")
      if pair.count == 2 { figures[String(pair[0])] = Int(pair[1]) }
    }
    return figures
  }
}

/// Calls that go on beside an attack.
struct Neighbour: Sendable {
  var calls = 0
  var failures: [String] = []
  var worst: Duration = .zero

  /// One call after the other until `isOver`.
  static func run(_ channel: GRPCChannel, until isOver: @Sendable () -> Bool) async -> Neighbour {
    var neighbour = Neighbour()
    while !isOver() {
      let begin = ContinuousClock.now
      do {
        let payload = [UInt8(truncatingIfNeeded: neighbour.calls)]
        let reply = try await channel.unary(
          Victim.method("Echo"), payload, CallOptions(timeout: .seconds(5)))
        if reply != payload { neighbour.failures.append("wrong reply") }
      } catch {
        neighbour.failures.append("\(error)")
      }
      neighbour.calls += 1
      neighbour.worst = max(neighbour.worst, ContinuousClock.now - begin)
      try? await Task.sleep(for: .milliseconds(2))
    }
    return neighbour
  }
}

/// True as soon as `condition` holds.
func holds(within: Duration = .seconds(10), _ condition: () async throws -> Bool) async throws
  -> Bool
{
  let end = ContinuousClock.now + within
  while ContinuousClock.now < end {
    if try await condition() { return true }
    try await Task.sleep(for: .milliseconds(10))
  }
  return false
}
