// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Testing
import TrunkDiscovery

@testable import Trunkcall

/// A clock of its own; delays without jitter: 1 s, 1.6 s, 2.56 s.
private struct Machine {
  var perLoopConnections: PerLoopConnections
  var now: UInt64 = 100_000_000_000
  private var random = SystemRandom()

  init() {
    var backoff = Backoff()
    backoff.jitter = 0
    perLoopConnections = PerLoopConnections(backoff: backoff)
  }

  mutating func hear(_ event: PerLoopConnectionEvent, after milliseconds: UInt64 = 0)
    -> [PerLoopConnectionAction]
  {
    now += milliseconds * 1_000_000
    return perLoopConnections.handle(event, now: now, random: &random)
  }

  func pause(_ loop: Int) -> Int? {
    guard case .notBefore(let time) = perLoopConnections.availability(for: loop), time != .max
    else { return nil }
    return time <= now ? 0 : Int((time - now) / 1_000_000)
  }
}

@Suite("Per-loop connections of a connection") struct PerLoopConnectionRuleTests {
  @Test("a loop that asks gets one connection, once, and knows it when it is ready")
  func asks() {
    var machine = Machine()
    #expect(machine.hear(.opened) == [])
    #expect(machine.pause(1) == 0)
    #expect(machine.hear(.wanted(loop: 1)) == [.connect(id: 1, loop: 1), .changed])
    #expect(machine.perLoopConnections.availability(for: 1) == .notBefore(.max))
    #expect(machine.hear(.wanted(loop: 1)) == [])
    #expect(machine.hear(.wanted(loop: 2)) == [.connect(id: 2, loop: 2), .changed])
    #expect(machine.hear(.ready(id: 1)) == [.changed])
    #expect(machine.perLoopConnections.availability(for: 1) == .connected(id: 1))
    #expect(machine.perLoopConnections.availability(for: 2) == .notBefore(.max))
    #expect(machine.perLoopConnections.availability(for: 3) == .notBefore(0))
    #expect(machine.hear(.wanted(loop: 1)) == [])
  }

  @Test("without a first connection there are none, and its end is theirs")
  func lifetime() {
    var machine = Machine()
    #expect(machine.hear(.wanted(loop: 1)) == [])
    #expect(machine.hear(.closed) == [])
    _ = machine.hear(.opened)
    _ = machine.hear(.wanted(loop: 1))
    _ = machine.hear(.wanted(loop: 2))
    _ = machine.hear(.ready(id: 1))
    #expect(machine.hear(.closed) == [.drain(id: 1), .drain(id: 2), .changed])
    #expect(machine.perLoopConnections.availability(for: 1) == .notBefore(0))
    #expect(machine.hear(.ready(id: 2)) == [] && machine.hear(.ended(id: 1, use: .answered)) == [])
    #expect(machine.hear(.closed) == [])
    _ = machine.hear(.opened)
    #expect(machine.hear(.wanted(loop: 1)) == [.connect(id: 3, loop: 1), .changed])
  }

  @Test("each failure makes every loop pause for longer, and nobody asks in the pause")
  func pauses() {
    var machine = Machine()
    _ = machine.hear(.opened)
    for (id, delay) in zip(UInt32(1)..., [1_000, 1_600, 2_560]) {
      #expect(machine.hear(.wanted(loop: 1)) == [.connect(id: id, loop: 1), .changed])
      #expect(machine.hear(.failed(id: id), after: 5) == [.changed])
      #expect(machine.pause(1) == delay && machine.pause(2) == delay)
      #expect(machine.hear(.wanted(loop: 2), after: UInt64(delay - 1)) == [])
      machine.now += 1_000_000
    }
  }

  @Test("attempts that fail together are one failure; then there is one attempt at a time")
  func caution() {
    var machine = Machine()
    _ = machine.hear(.opened)
    for loop in 1...3 { _ = machine.hear(.wanted(loop: loop), after: 1) }
    for id in UInt32(1)...3 { #expect(machine.hear(.failed(id: id), after: 10) == [.changed]) }
    #expect(machine.pause(1) == 980)
    #expect(machine.hear(.wanted(loop: 2), after: 1_000) == [.connect(id: 4, loop: 2), .changed])
    #expect(machine.perLoopConnections.availability(for: 1) == .notBefore(.max))
    #expect(machine.hear(.wanted(loop: 1)) == [])
    #expect(machine.hear(.ready(id: 4)) == [.changed])
    #expect(machine.hear(.wanted(loop: 1)) == [.connect(id: 5, loop: 1), .changed])
    #expect(machine.hear(.wanted(loop: 3)) == [.connect(id: 6, loop: 3), .changed])
  }

  @Test("SETTINGS alone reset no pause, an answered call does")
  func shortLives() {
    var machine = Machine()
    _ = machine.hear(.opened)
    for (id, delay) in zip(UInt32(1)..., [1_000, 1_600]) {
      _ = machine.hear(.wanted(loop: 1))
      _ = machine.hear(.ready(id: id))
      #expect(machine.hear(.ended(id: id, use: .unanswered), after: 100) == [.changed])
      #expect(machine.pause(1) == delay)
      machine.now += UInt64(delay) * 1_000_000
    }
    _ = machine.hear(.wanted(loop: 1))
    _ = machine.hear(.ready(id: 3))
    #expect(machine.hear(.ended(id: 3, use: .answered), after: 100) == [.changed])
    #expect(machine.pause(1) == 0)
    #expect(machine.hear(.wanted(loop: 1)) == [.connect(id: 4, loop: 1), .changed])
    _ = machine.hear(.ready(id: 4))
    #expect(machine.hear(.ended(id: 4, use: .undecided)) == [.changed])
    #expect(machine.hear(.decided(answered: false)) == [.changed])
    #expect(machine.pause(1) == 1_000)
  }

  @Test("a server that takes one more connection and no third is asked ever more rarely")
  func full() {
    var machine = Machine()
    _ = machine.hear(.opened)
    _ = machine.hear(.wanted(loop: 1))
    _ = machine.hear(.ready(id: 1))
    machine.now += 60_000_000_000
    for (id, delay) in zip(UInt32(2)..., [1_000, 1_600, 2_560]) {
      #expect(machine.hear(.wanted(loop: 2)) == [.connect(id: id, loop: 2), .changed])
      _ = machine.hear(.failed(id: id))
      #expect(machine.pause(2) == delay)
      machine.now += UInt64(delay) * 1_000_000
    }
    #expect(machine.perLoopConnections.availability(for: 1) == .connected(id: 1))
  }

  @Test("a pause outlives the first connection, and ends when the network changes")
  func resetBackoff() {
    var machine = Machine()
    _ = machine.hear(.opened)
    _ = machine.hear(.wanted(loop: 1))
    _ = machine.hear(.failed(id: 1))
    #expect(machine.hear(.closed) == [.changed])
    #expect(machine.hear(.opened, after: 400) == [.changed])
    #expect(machine.pause(1) == 600)
    #expect(machine.hear(.resetBackoff) == [.changed])
    #expect(machine.pause(1) == 0)
    #expect(machine.hear(.resetBackoff) == [])
    #expect(machine.hear(.wanted(loop: 1)) == [.connect(id: 2, loop: 1), .changed])
  }

  @Test("a loop asks once until it hears something, and not where there are many endpoints")
  func board() {
    let id = SubchannelID(7)
    var board = PerLoopConnectionRegistry(loops: 4, .automatic)
    #expect(board.loops.count == 4)
    #expect(board.count(16) == true)
    var loop = board.loops[1]
    #expect(loop.asks(for: id, now: 10) == true)
    #expect(loop.asks(for: id, now: 11) == false)
    #expect(loop.asks(for: SubchannelID(8), now: 11) == true)
    board.update(of: id) { (nil, notBefore: $0 == 1 ? 20 : 0) }
    loop = board.loops[1]
    #expect(loop.asks(for: id, now: 19) == false)
    #expect(loop.asks(for: id, now: 20) == true)
    #expect(board.count(1) == false)
    #expect(board.count(17) == true)
    loop = board.loops[2]
    #expect(loop.asks(for: id, now: 30) == false)
  }

  @Test("one loop, or `.one`: nobody asks", arguments: [(1, true), (2, false)])
  func notOffered(_ loops: Int, _ isAutomatic: Bool) {
    var board = PerLoopConnectionRegistry(loops: loops, isAutomatic ? .automatic : .one)
    #expect(board.count(1) == false)
    #expect(!board.isOffered)
    var loop = board.loops[0]
    #expect(loop.asks(for: SubchannelID(1), now: 1) == false)
  }
}
