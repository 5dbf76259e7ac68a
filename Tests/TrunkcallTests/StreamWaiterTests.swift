// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Testing

@testable import Trunkcall

@Suite("Waits of a stream's handler")
struct StreamWaiterTests {
  /// One thread's. In functions, as `#expect` copies what it looks into.
  private final class Place {
    var waiter = StreamWaiter<Int>()
    var isWaiting: Bool { waiter.isWaiting }
    var current: UInt32 { waiter.current }
    func begin(_ wait: UInt32) -> Bool { waiter.begin(wait) }
    func wait(_ continuation: UnsafeContinuation<Int, Never>, _ ticket: UInt32) -> Bool {
      waiter.wait(continuation, ticket)
    }
  }

  @Test("a value ends the wait, and one that comes too early or twice is nobody's")
  func value() async {
    let place = Place()
    place.waiter.resume(1)
    #expect(place.begin(2))
    let got = await withUnsafeContinuation { continuation in
      #expect(!place.wait(continuation, 2))
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
      #expect(!place.wait(continuation, 2))
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
      #expect(!place.wait(continuation, 2))
      place.waiter.resume(1)
    }
    #expect(place.begin(4))
    let got = await withUnsafeContinuation { continuation in
      #expect(!place.wait(continuation, 4))
      place.waiter.cancel(2, -1)
      #expect(place.isWaiting)
      place.waiter.resume(2)
    }
    #expect(got == 2)
  }

  @Test("from elsewhere, a cancellation may come before its wait")
  func early() async {
    let place = Place()
    let ticket = WaitTicket.next()
    place.waiter.cancel(ticket, -1)
    let got = await withUnsafeContinuation { continuation in
      if place.wait(continuation, ticket) { continuation.resume(returning: -2) }
    }
    #expect(got == -2 && !place.isWaiting)
    let next = await withUnsafeContinuation { continuation in
      #expect(!place.wait(continuation, WaitTicket.next()))
      place.waiter.resume(3)
    }
    #expect(next == 3)
  }

  @Test("tickets are odd, so that they are no loop's numbers, and never the same")
  func tickets() {
    let tickets = (0..<100).map { _ in WaitTicket.next() }
    #expect(tickets.allSatisfy { $0 % 2 == 1 } && Set(tickets).count == 100)
  }
}
