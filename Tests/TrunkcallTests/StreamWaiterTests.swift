// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Testing
import TrunkSockets
import TrunkTesting

@testable import Trunkcall

@Suite("Waits of a stream's handler")
struct StreamWaiterTests {
  /// One thread's. In functions, as `#expect` copies what it looks into.
  private final class Place {
    var waiter = StreamWaiter<Int>()
    var isWaiting: Bool { waiter.isWaiting }
    var current: UInt32 { waiter.current }
    func begin(_ wait: UInt32) -> Bool { waiter.begin(wait) }
    func wait(_ continuation: UnsafeContinuation<Int, Never>, _ wait: UInt32) {
      waiter.wait(continuation, wait)
    }
    func wait(_ continuation: UnsafeContinuation<Int, Never>, _ ticket: WaitTicket) -> Bool {
      waiter.wait(continuation, ticket)
    }
  }

  @Test("a value ends the wait, and one that comes too early or twice is nobody's")
  func value() async {
    let place = Place()
    place.waiter.resume(1)
    #expect(place.begin(2))
    let got = await withUnsafeContinuation { continuation in
      place.wait(continuation, 2 as UInt32)
      #expect(place.isWaiting)
      place.waiter.resume(2)
      place.waiter.resume(3)
    }
    #expect(got == 2 && !place.isWaiting)
  }

  @Test("a second wait beside the first is refused, and takes nothing from it")
  func second() async {
    let place = Place()
    #expect(place.begin(2))
    let got = await withUnsafeContinuation { continuation in
      place.wait(continuation, 2 as UInt32)
      #expect(!place.begin(4))
      #expect(place.current == 2, "a cancellation finds the first")
      place.waiter.cancel(place.current, -1)
    }
    #expect(got == -1)
  }

  @Test("a cancellation that comes when its wait is over does not end the next one")
  func late() async {
    let place = Place()
    #expect(place.begin(2))
    _ = await withUnsafeContinuation { continuation in
      place.wait(continuation, 2 as UInt32)
      place.waiter.resume(1)
    }
    #expect(place.begin(4))
    let got = await withUnsafeContinuation { continuation in
      place.wait(continuation, 4 as UInt32)
      place.waiter.cancel(2, -1)
      #expect(place.isWaiting)
      place.waiter.resume(2)
    }
    #expect(got == 2)
  }

  @Test("from elsewhere, a cancellation may come before its wait")
  func early() async {
    let place = Place()
    let ticket = WaitTicket()
    ticket.cancel()
    place.waiter.cancel(ticket.number, -1)
    let got = await withUnsafeContinuation { continuation in
      if place.wait(continuation, ticket) { continuation.resume(returning: -2) }
    }
    #expect(got == -2 && !place.isWaiting)
    let next = await withUnsafeContinuation { continuation in
      #expect(!place.wait(continuation, WaitTicket()))
      place.waiter.resume(3)
    }
    #expect(next == 3)
  }

  @Test("tickets are odd, so that they are no loop's numbers, and never the same")
  func tickets() {
    let tickets = (0..<100).map { _ in WaitTicket().number }
    #expect(tickets.allSatisfy { $0 % 2 == 1 } && Set(tickets).count == 100)
  }

  @Test("a number that comes again is not cancelled by what cancelled it before")
  func again() async {
    let place = Place()
    let ticket = WaitTicket()
    _ = await withUnsafeContinuation { continuation in
      #expect(!place.wait(continuation, ticket))
      ticket.cancel()
      place.waiter.cancel(ticket.number, -1)
      place.waiter.cancel(ticket.number, -1)
    }
    #expect(place.begin(ticket.number))
    let got = await withUnsafeContinuation { continuation in
      place.wait(continuation, ticket.number)
      place.waiter.resume(4)
    }
    #expect(got == 4)
  }

  @Test("a stream waits whatever number its loop has come to")
  func wrapping() async throws {
    var options = ServerOptions()
    options.loops = 1
    try await withServer([ProbeService()], options: options) { server, port in
      let loop = try #require(server.loops.first)
      await loop.loop.perform { loop.lastWait = .max - 5 }
      let peer = try await ScriptedPeer.connect(port: port)
      try await peer.send(.headers(1, ScriptedPeer.request("/t.Probe/Chat")))
      for round in 0..<8 as Range<UInt8> {
        try await peer.send(.data(1, ScriptedPeer.message([round])))
        #expect(try await peer.message(on: 1) == [round])
      }
      let passed = await loop.loop.perform { loop.lastWait < .max / 2 }
      #expect(passed)
      await peer.close()
    }
  }
}
