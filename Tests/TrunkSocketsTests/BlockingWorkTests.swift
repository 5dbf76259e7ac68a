// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Glibc
import Synchronization
import Testing

@testable import TrunkSockets

@Suite("Work on helper threads")
struct BlockingWorkTests {
  @Test("work that takes too long, or whose caller gives up, is not waited for")
  func blockingWork() async throws {
    let stuck = Gate()
    defer { stuck.open() }
    let slow = await #expect(throws: SocketError.self) {
      try await BlockingWork.lookUps.run(timeout: .milliseconds(5), "slow work") { stuck.wait() }
    }
    #expect(slow?.description == "slow work timed out")
    let task = Task {
      try await BlockingWork.lookUps.run(timeout: .seconds(60), "work") { stuck.wait() }
    }
    task.cancel()
    await #expect(throws: CancellationError.self) { try await task.value }
  }

  @Test("more work than threads all gets done")
  func manyWorks() async throws {
    let sum = try await withThrowingTaskGroup(of: Int.self) { group in
      for number in 0..<40 {
        group.addTask {
          try await BlockingWork.lookUps.run(timeout: .seconds(10), "work") { number }
        }
      }
      return try await group.reduce(0, +)
    }
    #expect(sum == 780)
  }

  @Test("work whose caller has gone before a thread was free is never run")
  func abandoned() async throws {
    let threads = BlockingWork(threads: 1)
    let stuck = Gate()
    let ran = Notes<String>()
    async let first: Void = threads.run(timeout: .seconds(60), "first") { stuck.wait() }
    #expect(await eventually { stuck.isWaitedFor })
    await #expect(throws: SocketError.self) {
      try await threads.run(timeout: .milliseconds(5), "timed out") { ran.add("timed out") }
    }
    let cancelled = Task {
      try await threads.run(timeout: .seconds(60), "cancelled") { ran.add("cancelled") }
    }
    #expect(await eventually { threads.waiting == 1 })
    cancelled.cancel()
    await #expect(throws: CancellationError.self) { try await cancelled.value }
    #expect(threads.waiting == 0)
    stuck.open()
    try await first
    try await threads.run(timeout: .seconds(60), "last") { ran.add("last") }
    #expect(ran.all == ["last"])
  }

  @Test("what waits is bounded, and the error says so; who leaves makes room")
  func bounded() async throws {
    let threads = BlockingWork(threads: 1, waiting: 2)
    let stuck = Gate()
    let works = (0..<3).map { _ in
      Task { try await threads.run(timeout: .seconds(60), "work") { stuck.wait() } }
    }
    #expect(await eventually { stuck.isWaitedFor && threads.waiting == 2 })
    let error = await #expect(throws: SocketError.self) {
      try await threads.run(timeout: .seconds(60), "look-up of a.example") {}
    }
    #expect(error?.description == "look-up of a.example: 2 others wait already")
    for work in works { work.cancel() }
    #expect(await eventually { threads.waiting == 0 })
    stuck.open()
    try await threads.run(timeout: .seconds(60), "work") {}
  }

  @Test("look-ups that hang hold up neither the other family nor files")
  func apart() async throws {
    let stuck = Gate()
    defer { stuck.open() }
    let hanging = (0..<8).map { _ in
      Task { try await BlockingWork.lookUps.run(timeout: .seconds(60), "work") { stuck.wait() } }
    }
    #expect(await eventually { stuck.isWaitedFor && BlockingWork.lookUps.waiting >= 4 })
    for threads in [BlockingWork.lookUpsIPv4, .lookUpsIPv6, .files] {
      #expect(try await threads.run(timeout: .seconds(60), "work") { 7 } == 7)
    }
    for work in hanging { work.cancel() }
  }
}

@Suite("Address families asked for apart")
struct FamilyAnswersTests {
  private let v4 = [SocketAddress(ip: "10.0.0.1", port: 7)].compactMap { $0 }
  private let v6 = [SocketAddress(ip: "::5", port: 7)].compactMap { $0 }
  private let failed = FamilyAnswers.Answer.failure(SocketError.timedOut("look-up"))

  private func said(_ events: FamilyAnswers.Event...) -> [String] {
    var answers = FamilyAnswers()
    var said = events.map { "\(answers.receive($0))" }
    if case .success(let found) = answers.result {
      said.append(found.map { "\($0.destination)" }.joined(separator: " "))
    } else {
      said.append("error")
    }
    return said.map { $0.hasPrefix("partial") ? "partial" : $0 }
  }

  @Test("one family's addresses wait a moment for the other's, IPv6 comes first (RFC 8305 §3)")
  func order() {
    let both = "[::5]:7 10.0.0.1:7"
    #expect(
      said(.answered(.v4, .success(v4)), .answered(.v6, .success(v6)))
        == ["waitBriefly", "complete", both])
    #expect(
      said(.answered(.v4, .success(v4)), .delayPassed, .answered(.v6, .success(v6)))
        == ["waitBriefly", "partial", "complete", both])
    #expect(
      said(.answered(.v6, .success(v6)), .answered(.v4, .success(v4)), .delayPassed)
        == ["waitBriefly", "complete", "wait", both])
  }

  @Test("no address, or an error, does not hurry: the other family is waited for")
  func nothing() {
    #expect(
      said(.answered(.v4, .success([])), .answered(.v6, .success(v6)))
        == ["wait", "complete", "[::5]:7"])
    #expect(
      said(.answered(.v6, failed), .answered(.v4, .success(v4)))
        == ["wait", "complete", "10.0.0.1:7"])
    #expect(said(.answered(.v6, failed), .answered(.v4, failed)) == ["wait", "complete", "error"])
    #expect(
      said(.answered(.v6, .success([])), .answered(.v4, .success([]))) == ["wait", "complete", ""])
  }
}

/// Holds threads back until it is opened.
private final class Gate: Sendable {
  private let isOpen = Atomic<Bool>(false)
  private let waiters = Atomic<Int>(0)
  var isWaitedFor: Bool { waiters.load(ordering: .relaxed) > 0 }
  func open() { isOpen.store(true, ordering: .relaxed) }
  func wait() {
    waiters.add(1, ordering: .relaxed)
    while !isOpen.load(ordering: .relaxed) { usleep(500) }
  }
}
