// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Testing

@testable import TrunkSockets

@Suite("Deadlines that any thread sets", .timeLimit(.minutes(1)))
struct DeadlineQueueTests {
  private final class Owner: DeadlineOwner {
    let entry = DeadlineQueue.Entry()
    let name: Int
    let passed: @Sendable (Int) -> Void

    init(_ name: Int, _ passed: @escaping @Sendable (Int) -> Void) {
      self.name = name
      self.passed = passed
    }
    func deadlinePassed() { passed(name) }
  }

  private final class Counter: Sendable { let count = Locked(0) }

  @Test("what is due passes once, in order and not early; what was taken back does not")
  func order() async throws {
    let queue = DeadlineQueue()
    let start = Clock.now()
    let delays = [40, 10, 30, 20, 50] as [UInt64]
    let (passed, source) = AsyncStream.makeStream(of: (delay: UInt64, at: UInt64).self)
    let owners = delays.map { delay in
      Owner(Int(delay)) { source.yield((UInt64($0), Clock.now() - start)) }
    }
    for (owner, delay) in zip(owners, delays) {
      queue.add(owner.entry, of: owner, at: start + delay * 1_000_000)
    }
    queue.remove(owners[2].entry)
    queue.remove(owners[2].entry)
    var seen: [UInt64] = []
    for await (delay, at) in passed {
      #expect(at >= delay * 1_000_000)
      seen.append(delay)
      if delay == 50 { break }
    }
    #expect(seen == [10, 20, 40, 50])
    #expect(queue.count == 0)
  }

  @Test("an earlier deadline than all before moves the timer; a later one finds its turn")
  func earlier() async {
    let queue = DeadlineQueue()
    let start = Clock.now()
    let (passed, source) = AsyncStream.makeStream(of: Int.self)
    let owners = (0..<4).map { name in Owner(name) { source.yield($0) } }
    queue.add(owners[0].entry, of: owners[0], at: start + 3_600_000_000_000)
    queue.add(owners[1].entry, of: owners[1], at: start + 20_000_000)
    var turns = passed.makeAsyncIterator()
    #expect(await turns.next() == 1)
    queue.add(owners[2].entry, of: owners[2], at: Clock.now() + 10_000_000)
    #expect(await turns.next() == 2)
    // In the past already.
    queue.add(owners[3].entry, of: owners[3], at: start)
    #expect(await turns.next() == 3)
    #expect(queue.count == 1)
    queue.remove(owners[0].entry)
    #expect(queue.count == 0)
  }

  @Test(
    "an owner is kept while its deadline is set, and no longer; a queue goes with its timer set")
  func release() async {
    var queue: DeadlineQueue? = DeadlineQueue()
    let queueIsThere = { [weak queue] in queue != nil }
    weak var owner: Owner?
    let entry: DeadlineQueue.Entry
    do {
      let made = Owner(1) { _ in }
      entry = made.entry
      owner = made
      queue?.add(entry, of: made, at: Clock.now() + 3_600_000_000_000)
    }
    #expect(owner != nil)
    queue?.remove(entry)
    #expect(owner == nil)
    queue = nil
    let end = Clock.now() + 10_000_000_000
    while queueIsThere(), Clock.now() < end { await Task.yield() }
    #expect(!queueIsThere())
  }

  @Test("set and taken back by many at once, each passes or is taken back, never both")
  func manyThreads() async {
    let queue = DeadlineQueue()
    let passed = Counter()
    await withTaskGroup(of: Void.self) { group in
      for worker in 0..<8 {
        group.addTask {
          for turn in 0..<500 {
            let late = turn % 4 == 0
            let owner = Owner(worker) { _ in passed.count.withLock { $0 += 1 } }
            queue.add(
              owner.entry, of: owner,
              at: Clock.now() + (late ? 1_000_000 : 600_000_000_000 - UInt64(turn)))
            if !late { queue.remove(owner.entry) }
          }
        }
      }
    }
    let end = Clock.now() + 10_000_000_000
    while queue.count > 0, Clock.now() < end { await Task.yield() }
    // The last owners are told after they have left the queue.
    while passed.count.withLock({ $0 }) < 8 * 125, Clock.now() < end { await Task.yield() }
    #expect(passed.count.withLock { $0 } == 8 * 125)
  }
}
