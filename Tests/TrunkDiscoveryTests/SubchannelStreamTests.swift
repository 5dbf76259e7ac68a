// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Testing
import TrunkDiscovery
import TrunkWire

@Suite("A stream on a subchannel's connection (gRFC A51, A17)") struct SubchannelStreamTests {
  private var random = Seeded(1)
  private var stream: SubchannelStream = {
    var backoff = Backoff()
    backoff.jitter = 0
    return SubchannelStream(backoff: backoff)
  }()

  private mutating func send(
    _ event: SubchannelStream.Event, at now: UInt64 = 0
  ) -> [SubchannelStream.Action] {
    stream.handle(event, now: now, random: &random)
  }

  @Test("it starts with the connection and is cancelled with it") mutating func life() {
    #expect(send(.timer).isEmpty)
    #expect(send(.connected) == [.start(1)])
    #expect(send(.connected).isEmpty)
    #expect(send(.disconnected) == [.cancel])
    #expect(send(.disconnected).isEmpty)
    #expect(send(.ended(1, .cancelled)).isEmpty)
    #expect(send(.connected) == [.start(2)])
  }

  @Test("after an end it is started again, later each time") mutating func backsOff() {
    #expect(send(.connected) == [.start(1)])
    #expect(send(.ended(1, .unavailable)) == [.timer(at: second)])
    #expect(send(.timer, at: second - 1) == [.timer(at: second)])
    #expect(send(.timer, at: second) == [.start(2)])
    #expect(send(.ended(2, nil), at: second) == [.timer(at: second * 26 / 10)])
    #expect(send(.disconnected).isEmpty)
    #expect(send(.timer, at: 9 * second).isEmpty, "of the former connection")
    #expect(send(.connected) == [.start(3)])
    #expect(send(.ended(3, .internal)) == [.timer(at: second)], "a new connection begins anew")
  }

  @Test("one that brought a message is started again at once, and resets the back-off")
  mutating func resets() {
    #expect(send(.connected) == [.start(1)])
    #expect(send(.ended(1, .unavailable)) == [.timer(at: second)])
    #expect(send(.timer, at: second) == [.start(2)])
    #expect(send(.message(2)).isEmpty)
    #expect(send(.message(1)).isEmpty, "of an earlier stream")
    #expect(send(.ended(2, .unavailable), at: 2 * second) == [.start(3)])
    #expect(send(.ended(3, .unavailable), at: 2 * second) == [.timer(at: 3600 * second / 1000)])
  }

  @Test("a server that ends each stream behind its first message is not called in a tight loop")
  mutating func tightLoop() {
    #expect(send(.connected) == [.start(1)])
    for number in 1...5 as ClosedRange<UInt32> {
      let began = UInt64(number - 1) * second
      #expect(send(.message(number), at: began + 1).isEmpty)
      #expect(send(.ended(number, nil), at: began + 2) == [.timer(at: began + second)])
      #expect(send(.timer, at: began + second) == [.start(number + 1)])
    }
  }

  @Test("UNIMPLEMENTED is final for the connection, not for the next one")
  mutating func unimplemented() {
    #expect(send(.connected) == [.start(1)])
    #expect(send(.ended(1, .unimplemented)) == [.unimplemented])
    #expect(send(.timer, at: 100 * second).isEmpty)
    #expect(send(.changed).isEmpty)
    #expect(send(.disconnected).isEmpty)
    #expect(send(.connected) == [.start(2)])
  }

  @Test("a changed request cancels the stream and starts another; its end does not count")
  mutating func changed() {
    #expect(send(.changed).isEmpty)
    #expect(send(.connected) == [.start(1)])
    #expect(send(.changed) == [.cancel, .start(2)])
    #expect(send(.ended(1, .cancelled)).isEmpty)
    #expect(send(.ended(2, .unavailable)) == [.timer(at: second)])
    #expect(send(.changed).isEmpty, "the next one has the new request")
  }
}
