// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Glibc
import Synchronization

@testable import TrunkSockets

/// Runs `body` with a loop of its own, ended and joined afterwards.
func withLoop<R: Sendable>(_ body: (EventLoop) async throws -> R) async throws -> R {
  let loop = try EventLoop(name: "test-loop")
  do {
    let result = try await body(loop)
    loop.shutdown()
    return result
  } catch {
    loop.shutdown()
    throw error
  }
}

/// Values noted from any thread.
final class Notes<Value: Sendable>: Sendable {
  private let values = Locked<[Value]>([])
  func add(_ value: Value) { values.withLock { $0.append(value) } }
  var all: [Value] { values.withLock { $0 } }
}

/// A file name that nobody has yet, short enough for a socket.
func freshPath() -> String { "/tmp/trunk-\(getpid())-\(UInt64.random(in: 0 ... .max)).sock" }

/// Reads until the end of the stream, or `count` bytes.
func readAll(_ stream: ByteStream, count: Int = .max) async throws -> [UInt8] {
  var bytes: [UInt8] = []
  while bytes.count < count {
    let chunk = try await stream.read(timeout: .seconds(10))
    if chunk.isEmpty { break }
    bytes += chunk
  }
  return bytes
}

/// Waits for something that has no event to wait on.
func eventually(_ condition: () -> Bool) async -> Bool {
  for _ in 0..<2_000 {
    if condition() { return true }
    try? await Task.sleep(for: .milliseconds(2))
  }
  return condition()
}

private let period = (0..<65_536).map { UInt8(truncatingIfNeeded: ($0 &* 31) ^ ($0 >> 8)) }

/// Bytes in which a lost or moved stretch shows.
func pattern(_ count: Int) -> [UInt8] {
  var bytes: [UInt8] = []
  bytes.reserveCapacity(count)
  // It comes again after 64 KiB, and copies are cheap.
  while bytes.count < count { bytes += period.prefix(count - bytes.count) }
  return bytes
}
