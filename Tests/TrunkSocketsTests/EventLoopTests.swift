// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Glibc
import Synchronization
import Testing

@testable import TrunkSockets

@Suite("Event loops")
struct EventLoopTests {
  @Test("jobs from many threads all run, on the loop, each sender's in its order")
  func jobsFromThreads() async throws {
    try await withLoop { loop in
      let notes = Notes<(sender: Int, number: Int, onLoop: Bool)>()
      await withTaskGroup(of: Void.self) { group in
        for sender in 0..<4 {
          group.addTask {
            for number in 0..<500 {
              loop.run { notes.add((sender, number, loop.isCurrent)) }
            }
          }
        }
      }
      await loop.perform {}
      let all = notes.all
      #expect(all.count == 2_000)
      #expect(all.filter { !$0.onLoop }.isEmpty)
      for sender in 0..<4 {
        #expect(all.filter { $0.sender == sender }.map(\.number) == Array(0..<500))
      }
    }
  }

  @Test("a sleeping loop is woken by every push")
  func wakeUps() async throws {
    try await withLoop { loop in
      let ran = Notes<Int>()
      for round in 0..<300 {
        // Now and then long enough for the loop to be asleep for sure.
        if round % 100 == 0 { try await Task.sleep(for: .milliseconds(3)) }
        await loop.perform { ran.add(round) }
        #expect(ran.all.count == round + 1)
      }
      #expect(loop.counters.wakeups >= 1, "it was asleep now and then")
    }
  }

  @Test("run is immediate on the loop, later is not")
  func runAndLater() async throws {
    try await withLoop { loop in
      let notes = Notes<String>()
      await loop.perform {
        loop.run { notes.add("run") }
        loop.later { notes.add("later") }
        notes.add("end")
      }
      await loop.perform {}
      #expect(notes.all == ["run", "end", "later"])
    }
  }

  private struct Probe {
    @concurrent static func concurrent(_ loop: EventLoop) async -> Bool { loop.isCurrent }
    nonisolated static func plain(_ loop: EventLoop) async -> Bool { loop.isCurrent }
    nonisolated(nonsending) static func callers(_ loop: EventLoop) async -> Bool { loop.isCurrent }
  }
  private actor Counter {
    func isOn(_ loop: EventLoop) -> Bool { loop.isCurrent }
  }

  @Test("a task that prefers the loop stays there: nonisolated calls, children, actors, sleep")
  func taskPreference() async throws {
    try await withLoop { loop in
      let seen = await Task(executorPreference: loop.tasks) {
        var seen: [String: Bool] = ["start": loop.isCurrent]
        seen["concurrent"] = await Probe.concurrent(loop)
        seen["plain"] = await Probe.plain(loop)
        seen["callers"] = await Probe.callers(loop)
        seen["actor"] = await Counter().isOn(loop)
        async let child = Probe.plain(loop)
        seen["child"] = await child
        seen["group"] = await withTaskGroup(of: Bool.self) { group in
          for _ in 0..<4 { group.addTask { loop.isCurrent } }
          return await group.reduce(true) { $0 && $1 }
        }
        await Task.yield()
        seen["yield"] = loop.isCurrent
        try? await Task.sleep(for: .milliseconds(1))
        seen["sleep"] = loop.isCurrent
        await withCheckedContinuation { continuation in
          EventLoopGroup.shared.next().later { continuation.resume() }
        }
        seen["continuation"] = loop.isCurrent
        // The documented exception: an unstructured task loses the preference.
        seen["unstructured stays away"] = await Task { !loop.isCurrent }.value
        return seen
      }.value
      #expect(seen.filter { !$0.value }.isEmpty)
      #expect(seen.count == 11)
    }
  }

  @Test("a task begun on the loop starts at once, before its creator goes on")
  func immediate() async throws {
    try await withLoop { loop in
      let notes = Notes<String>()
      let task = await loop.perform {
        let task = Task.immediate(executorPreference: loop.tasks) {
          notes.add("in \(loop.isCurrent)")
          await Task.yield()
          notes.add("back \(loop.isCurrent)")
        }
        notes.add("creator")
        return task
      }
      await task.value
      #expect(notes.all == ["in true", "creator", "back true"])
    }
  }

  @Test("the loop is the isolation of an actor that names it as its executor")
  func serialExecutor() async throws {
    actor OnLoop {
      let loop: EventLoop
      init(_ loop: EventLoop) { self.loop = loop }
      nonisolated var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }
      func isThere() -> Bool {
        loop.checkIsolated()
        return loop.isCurrent && loop.isIsolatingCurrentContext() == true
      }
    }
    try await withLoop { loop in
      #expect(await OnLoop(loop).isThere())
      #expect(loop.isIsolatingCurrentContext() == false)
    }
  }

  @Test("a loop-bound value opens on its loop")
  func loopBound() async throws {
    final class Plain { var count = 0 }
    try await withLoop { loop in
      let bound = LoopBound(Plain(), on: loop)
      let counts = await loop.perform {
        bound.value.count += 1
        return bound.value.count
      }
      #expect(counts == 1)
    }
  }

  @Test("shutdown runs the jobs at hand, joins, and later jobs still run")
  func shutdown() async throws {
    let group = try EventLoopGroup(loops: 3)
    let notes = Notes<Int>()
    for (index, loop) in group.loops.enumerated() {
      loop.run {
        // A chain longer than the loop's rounds in one tick.
        @Sendable func again(_ left: Int) {
          if left == 0 { notes.add(index) } else { loop.later { again(left - 1) } }
        }
        again(60)
      }
    }
    group.shutdown()
    group.shutdown()
    #expect(notes.all.sorted() == [0, 1, 2])

    let task = Task(executorPreference: group.loops[0].tasks) { 7 }
    #expect(await task.value == 7)
    #expect(await group.loops[1].perform { 8 } == 8)
  }

  @Test("whoever brings a job after the end is the loop's thread while it runs, one at a time")
  func afterTheEnd() async throws {
    let group = try EventLoopGroup(loops: 1)
    let loop = group.loops[0]
    group.shutdown()
    /// The loop's alone: two at once would lose counts.
    final class Count { var value = 0 }
    let count = LoopBound(Count(), on: loop)
    let finished = Notes<Int>()
    await withTaskGroup(of: Void.self) { tasks in
      for number in 0..<8 {
        tasks.addTask {
          for _ in 0..<200 {
            loop.later {
              #expect(loop.isCurrent)
              count.value.value += 1
              // Jobs of jobs, and what is at once when one is there.
              loop.run { count.value.value += 1 }
              loop.later { count.value.value += 1 }
            }
          }
          finished.add(number)
        }
      }
    }
    #expect(finished.all.count == 8)
    #expect(await loop.perform { count.value.value } == 8 * 200 * 3)
    #expect(!loop.isCurrent)
    // From within one of these the end is nothing new.
    loop.later { group.shutdown() }
  }

  @Test("a group hands out its loops in turn")
  func turns() throws {
    let group = try EventLoopGroup(loops: 2)
    defer { group.shutdown() }
    let four = (0..<4).map { _ in ObjectIdentifier(group.next()) }
    #expect(four[0] == four[2] && four[1] == four[3] && four[0] != four[1])
  }

  @Test("a group that fails half-way leaves no loop behind")
  func halfWay() async throws {
    final class Weak { weak var loop: EventLoop? }
    let made = [Weak(), Weak(), Weak()]
    #expect(throws: SocketError.self) {
      _ = try EventLoopGroup(loops: 5) { (index) throws(SocketError) in
        if index == 3 { throw SocketError("eventfd", errno: EMFILE) }
        let loop = try EventLoop(name: "half-\(index)")
        made[index].loop = loop
        return loop
      }
    }
    #expect(made.allSatisfy { $0.loop == nil }, "their threads have ended, or they would be there")
  }

  @Test("a connection that is closed after its loop's end is closed, no more")
  func closedAfterTheEnd() async throws {
    let group = try EventLoopGroup(loops: 1)
    let loop = group.loops[0]
    final class Driver: ConnectionDriver {
      func received(_ bytes: UnsafeRawBufferPointer) {}
      func fill(_ output: inout OutputBuffer) {}
      func closed(_ error: SocketError?) {}
    }
    final class Place {
      var listener: Listener?
      var connection: SocketConnection?
    }
    let place = LoopBound(Place(), on: loop)
    let port = await loop.perform { () -> UInt16 in
      guard let address = SocketAddress(ip: "127.0.0.1", port: 0) else { return 0 }
      let listener = try? Listener(on: address, loop: loop) { socket in
        place.value.connection = socket.adopt(on: loop)
        place.value.connection?.start(Driver())
      }
      try? listener?.start()
      place.value.listener = listener
      return listener?.address.port ?? 0
    }
    let client = try await ByteStream.connect(
      to: .host("127.0.0.1", port), on: EventLoopGroup.shared.next(), timeout: .seconds(10))
    while await loop.perform({ place.value.connection == nil }) { await Task.yield() }
    group.shutdown()
    // Who runs it is the loop's thread for as long.
    let isClosed = await loop.perform { () -> Bool in
      place.value.connection?.close()
      place.value.listener?.close()
      return place.value.connection?.isClosed == true && place.value.listener?.isClosed == true
    }
    #expect(isClosed)
    client.close()
  }
}
