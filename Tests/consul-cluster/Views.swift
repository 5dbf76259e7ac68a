// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import FoundationEssentials
import Glibc
import ProcessSupport
import TrunkConsul
import TrunkDiscovery
import TrunkSockets

/// CLOCK_MONOTONIC in nanoseconds, which is the same in all processes.
func monotonic() -> UInt64 {
  var time = timespec()
  clock_gettime(CLOCK_MONOTONIC, &time)
  return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
}

/// Sets of addresses in the order in which they were seen.
struct Sightings: Sendable {
  var all: [(time: UInt64, addresses: Set<String>)] = []

  /// When the address was first seen, or seen to be missing, at or after `time`.
  func first(_ address: String, isThere: Bool, since time: UInt64) -> UInt64? {
    all.first { $0.time >= time && $0.addresses.contains(address) == isThere }?.time
  }
}

/// A blocking query in a process of its own, on the client's host.
final class BareQuery: Sendable {
  private let process: ChildProcess

  init(_ service: String, agent: String = "127.0.0.1:8500") throws {
    process = try ChildProcess(
      "/usr/bin/env", ["python3", script("bare-query.py"), agent, service])
  }

  var sightings: Sightings {
    var found = Sightings()
    for line in process.lines {
      let words = line.split(separator: " ").map(String.init)
      guard let time = words.first.flatMap({ UInt64($0) }) else { continue }
      found.all.append((time, Set(words.dropFirst())))
    }
    return found
  }
}

/// Consul's resolver, and when it reported what.
struct RecordingResolver: Resolver {
  final class Record: Sendable {
    private let seen = Locked(Sightings())
    var sightings: Sightings { seen.withLock { $0 } }
    func append(_ resolution: Resolution) {
      let addresses = Set(resolution.endpoints.flatMap(\.addresses).map { "\($0)" })
      let now = monotonic()
      seen.withLock { $0.all.append((now, addresses)) }
    }
  }
  let record = Record()
  private let resolver: ConsulResolver

  init(_ options: ConsulOptions = ConsulOptions()) { resolver = ConsulResolver(options) }

  var scheme: String { resolver.scheme }
  var refreshInterval: Duration? { resolver.refreshInterval }
  func validate(_ target: Target) throws(TargetError) { try resolver.validate(target) }
  func resolve(_ target: Target, _ session: ResolverSession) async throws {
    try await resolver.resolve(
      target,
      session.mapping {
        record.append($0)
        return $0
      })
  }
}

/// A Python program of this folder.
func script(_ name: String) -> String {
  "/" + #filePath.split(separator: "/").dropLast().joined(separator: "/") + "/Python/\(name)"
}
