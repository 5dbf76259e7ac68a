// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Glibc
import Synchronization
import Testing

@testable import TrunkSockets

@Suite("Look-ups and addresses")
struct LookupTests {
  @Test("localhost is this machine, with the port that was asked for")
  func localhost() async throws {
    let addresses = try await HostLookup.addresses(
      of: .host("localhost", 50_051), timeout: .seconds(10))
    let found = addresses.map(\.destination)
    #expect(!found.isEmpty)
    #expect(
      found.allSatisfy { [.host("127.0.0.1", 50_051), .host("::1", 50_051)].contains($0) })
  }

  @Test("a name that cannot exist (RFC 6761 .invalid) says which and why")
  func unknownName() async throws {
    let error = await #expect(throws: SocketError.self) {
      try await HostLookup.addresses(of: .host("no-such.invalid", 1), timeout: .seconds(20))
    }
    #expect(error?.description.hasPrefix("look-up of no-such.invalid: ") == true)
  }

  @Test("literals need no look-up and keep their form")
  func literals() throws {
    #expect(SocketAddress(ip: "10.1.2.3", port: 80)?.destination == .host("10.1.2.3", 80))
    #expect(SocketAddress(ip: "::1", port: 80)?.destination == .host("::1", 80))
    #expect(SocketAddress(ip: "name", port: 80) == nil)
    #expect(SocketAddress(bytes: [10, 1, 2, 3], port: 9)?.destination == .host("10.1.2.3", 9))
    let loopback = [UInt8](repeating: 0, count: 15) + [1]
    #expect(SocketAddress(bytes: loopback, port: 9)?.destination == .host("::1", 9))
    #expect(SocketAddress(bytes: [1, 2, 3], port: 9) == nil)
    #expect(try SocketAddress(unix: "/tmp/a").destination == .unix("/tmp/a"))
    #expect(try SocketAddress(unix: "a", abstract: true).destination == .unixAbstract("a"))
  }

  @Test("work that takes too long, or whose caller gives up, is not waited for")
  func blockingWork() async throws {
    let stuck = Gate()
    defer { stuck.open() }
    let slow = await #expect(throws: SocketError.self) {
      try await BlockingWork.run(timeout: .milliseconds(5), "slow work") { stuck.wait() }
    }
    #expect(slow?.description == "slow work timed out")
    let task = Task {
      try await BlockingWork.run(timeout: .seconds(60), "work") { stuck.wait() }
    }
    task.cancel()
    await #expect(throws: CancellationError.self) { try await task.value }
  }

  @Test("more work than threads all gets done")
  func manyWorks() async throws {
    let sum = try await withThrowingTaskGroup(of: Int.self) { group in
      for number in 0..<40 {
        group.addTask {
          try await BlockingWork.run(timeout: .seconds(10), "work") { number }
        }
      }
      return try await group.reduce(0, +)
    }
    #expect(sum == 780)
  }
}

/// Holds threads back until it is opened.
private final class Gate: Sendable {
  private let isOpen = Atomic<Bool>(false)
  func open() { isOpen.store(true, ordering: .relaxed) }
  func wait() { while !isOpen.load(ordering: .relaxed) { usleep(500) } }
}
