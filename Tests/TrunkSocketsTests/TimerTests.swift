// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Testing

@testable import TrunkSockets

@Suite("Timers")
struct TimerTests {
  /// A queue filled on its loop, then popped at instants of the test's choice.
  private func onLoop(_ body: @escaping @Sendable (EventLoop) -> [String]) async throws -> [String]
  {
    try await withLoop { loop in await loop.perform { body(loop) } }
  }

  @Test("what is due fires in the order of its deadlines, and nothing early")
  func order() async throws {
    let fired = try await onLoop { loop in
      var queue = TimerQueue()
      var fired: [String] = []
      var timers: [LoopTimer] = []
      for deadline in [50, 10, 40, 20, 30, 25, 15] as [UInt64] {
        let timer = LoopTimer(on: loop) { fired.append("\(deadline)") }
        queue.schedule(timer, at: deadline)
        timers.append(timer)
      }
      while let timer = queue.popDue(30) { timer.fire() }
      fired.append("left: \(timers.count { $0.isScheduled })")
      return fired
    }
    #expect(fired == ["10", "15", "20", "25", "30", "left: 2"])
  }

  @Test("a cancelled timer leaves the queue, a moved one fires at its new time")
  func cancelAndMove() async throws {
    let fired = try await onLoop { loop in
      var queue = TimerQueue()
      var fired: [String] = []
      let names = ["a", "b", "c", "d"]
      let timers = names.map { name in LoopTimer(on: loop) { fired.append(name) } }
      for (index, timer) in timers.enumerated() { queue.schedule(timer, at: UInt64(10 + index)) }
      queue.remove(timers[1])
      queue.remove(timers[1])
      queue.schedule(timers[0], at: 30)
      queue.schedule(timers[3], at: 5)
      while let timer = queue.popDue(20) { timer.fire() }
      fired.append("next in \(queue.milliseconds(from: 20))")
      while let timer = queue.popDue(30) { timer.fire() }
      fired.append("empty: \(queue.isEmpty)")
      return fired
    }
    #expect(fired == ["d", "c", "next in 1", "a", "empty: true"])
  }

  @Test("a random mix of scheduling, moving and cancelling pops sorted")
  func heap() async throws {
    let wrong = try await onLoop { loop in
      var random = SystemRandomNumberGenerator()
      for _ in 0..<50 {
        var queue = TimerQueue()
        let timers = (0..<64).map { _ in LoopTimer(on: loop) }
        var expected: [ObjectIdentifier: UInt64] = [:]
        for _ in 0..<300 {
          guard let timer = timers.randomElement(using: &random) else { continue }
          if Bool.random(using: &random) || Bool.random(using: &random) {
            let deadline = UInt64.random(in: 1...1_000, using: &random)
            queue.schedule(timer, at: deadline)
            expected[ObjectIdentifier(timer)] = deadline
          } else {
            queue.remove(timer)
            expected[ObjectIdentifier(timer)] = nil
          }
        }
        var popped: [UInt64] = []
        while let timer = queue.popDue(.max) { popped.append(timer.deadline) }
        if popped != expected.values.sorted() { return ["\(popped) is not \(expected)"] }
      }
      return []
    }
    #expect(wrong == [])
  }

  @Test("a timer that puts itself into the past fires once a tick and holds nobody up")
  func past() async throws {
    let fired = try await onLoop { loop in
      var queue = TimerQueue()
      let timer = LoopTimer(on: loop)
      queue.schedule(timer, at: 1)
      var count = 0
      while let due = queue.popDue(10), count < 5 {
        count += 1
        queue.schedule(due, at: 0)
      }
      return ["\(count)", "\(queue.milliseconds(from: 10))", "\(queue.popDue(11) === timer)"]
    }
    #expect(fired == ["1", "1", "true"])
  }

  @Test("the wait is rounded up, has no limit without timers, and takes any deadline")
  func wait() async throws {
    let waits = try await onLoop { loop in
      var queue = TimerQueue()
      var waits = ["\(queue.milliseconds(from: 0))"]
      let timer = LoopTimer(on: loop)
      for deadline in [1, 1_000_000, 1_000_001, .max] as [UInt64] {
        queue.schedule(timer, at: deadline)
        waits.append("\(queue.milliseconds(from: 0))")
      }
      return waits
    }
    #expect(waits == ["-1", "1", "1", "2", "\(Int32.max)"])
  }

  @Test("timers of a running loop fire on it, in order, and not when cancelled")
  func running() async throws {
    try await withLoop { loop in
      let notes = Notes<String>()
      await withCheckedContinuation { done in
        loop.run {
          let late = LoopTimer(on: loop) {
            notes.add("late \(loop.isCurrent)")
            done.resume()
          }
          let never = LoopTimer(on: loop) { notes.add("never") }
          let early = LoopTimer(on: loop) {
            notes.add("early \(loop.isCurrent)")
            never.cancel()
          }
          late.schedule(after: .milliseconds(4))
          never.schedule(after: .milliseconds(3))
          early.schedule(after: .milliseconds(1))
        }
      }
      #expect(notes.all == ["early true", "late true"])
    }
  }

  @Test("adding to an instant saturates at both ends")
  func saturation() {
    #expect(UInt64(5).adding(.nanoseconds(3)) == 8)
    #expect(UInt64(5).adding(.nanoseconds(-9)) == 0)
    #expect(UInt64.max.adding(.seconds(1)) == .max)
    #expect(UInt64(0).adding(.seconds(Int64.max)) == UInt64(Int64.max))
    #expect(UInt64(7).adding(.seconds(Int64.min)) == 0)
  }
}
