// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Testing
import TrunkDiscovery

@Suite("Further connections of a subchannel (gRFC A105)") struct SubchannelScalingTests {
  private let address = Address("1.1.1.1", 1)

  private func ready(_ maximum: Int) -> SubchannelBench {
    var bench = SubchannelBench(address)
    bench.send(.maximumConnections(maximum))
    bench.send(.connect)
    bench.send(.ready(id: 1))
    bench.advance(10 * second)
    return bench
  }

  @Test("queued calls begin one attempt at a time, up to the maximum; the oldest stays first")
  func grows() {
    var bench = ready(3)
    bench.send(.streamsWanted(true))
    #expect(
      bench.actions == [.attempt(id: 2, address: address, deadline: bench.now + 20 * second)])
    bench.send(.streamsWanted(true))
    #expect(bench.actions.isEmpty)
    // The calls that were queued take its streams; the group tells if there are too few.
    bench.send(.ready(id: 2))
    #expect(bench.actions == [.joined(id: 2)])
    bench.send(.streamsWanted(true))
    #expect(
      bench.actions == [.attempt(id: 3, address: address, deadline: bench.now + 20 * second)])
    bench.send(.ready(id: 3))
    #expect(bench.actions == [.joined(id: 3)])
    bench.send(.streamsWanted(true))
    #expect(bench.actions.isEmpty)
    #expect(bench.core.state == .ready)
  }

  @Test("by default there is one connection, whatever is queued") func one() {
    var bench = ready(1)
    bench.send(.streamsWanted(true))
    #expect(bench.actions.isEmpty)
  }

  @Test("a failed attempt is followed by the back-off, and by another if calls are queued still")
  func backsOff() {
    var bench = ready(2)
    bench.send(.streamsWanted(true))
    let began = bench.now
    bench.advance(100 * millisecond)
    bench.send(.failed(id: 2, error: "connection refused"))
    #expect(bench.actions == [.timer(at: began + second)])
    #expect(bench.core.state == .ready)
    bench.advance(900 * millisecond)
    #expect(bench.core.state == .ready)
    #expect(bench.starts.count == 3)
  }

  @Test(
    "connections on which no call was answered are made again with the address's back-off",
    arguments: [ConnectionUse.unused, .unanswered])
  func unproductive(_ use: ConnectionUse) {
    var bench = ready(3)
    let began = bench.now
    bench.send(.streamsWanted(true))
    // The server sends SETTINGS and GOAWAY at once, for a minute.
    while bench.now < began + 60 * second {
      for id in Array(bench.live.keys) {
        bench.send(.ready(id: id))
        bench.send(.streamsWanted(true))
        bench.send(.ended(id: id, error: nil, use: use))
      }
      bench.advance(100 * millisecond)
    }
    #expect(bench.core.state == .ready)
    // At 0 s twice, then after 1, 1.6, 2.6, 4.1, 6.6, 10.5 and 16.8 s.
    #expect((6...12).contains(bench.starts.count), "\(bench.starts.count) attempts in a minute")
  }

  @Test("when the first ends, the oldest takes its place and the state stays READY")
  func promotes() {
    var bench = ready(2)
    bench.send(.streamsWanted(true))
    bench.send(.ready(id: 2))
    bench.send(.streamsWanted(false))
    bench.send(.ended(id: 1, error: nil, use: .answered))
    #expect(bench.actions == [.promoted(id: 2)])
    bench.send(.ended(id: 2, error: nil, use: .answered))
    #expect(bench.actions == [.report(.idle, error: nil)])
  }

  @Test("READY becomes CONNECTING if an attempt is under way, TRANSIENT_FAILURE in its back-off")
  func newTransitions() {
    var bench = ready(2)
    bench.send(.streamsWanted(true))
    bench.send(.ended(id: 1, error: "reset", use: .answered))
    #expect(bench.actions == [.report(.connecting, error: nil)])
    bench.send(.ready(id: 2))
    #expect(bench.actions == [.report(.ready, error: nil)])

    var other = ready(2)
    other.send(.streamsWanted(true))
    let began = other.now
    other.send(.failed(id: 2, error: "connection refused"))
    other.send(.ended(id: 1, error: "reset", use: .answered))
    #expect(
      other.actions == [
        .timer(at: began + second),
        .report(.transientFailure, error: "1.1.1.1:1 connection refused"),
      ])
  }

  @Test("with other addresses, what follows READY is a pass over all of them (pick_first of A105)")
  func passOverAll() {
    let second = Address("2.2.2.2", 2)
    func ready() -> SubchannelBench {
      var bench = SubchannelBench(address, second)
      bench.send(.maximumConnections(2))
      bench.send(.connect)
      bench.send(.ready(id: 1))
      bench.advance(10 * TrunkDiscoveryTests.second)
      bench.send(.streamsWanted(true))
      return bench
    }
    var connecting = ready()
    connecting.send(.ended(id: 1, error: "reset", use: .answered))
    #expect(
      connecting.actions == [
        .report(.connecting, error: nil),
        .timer(at: connecting.now + SubchannelCore.attemptDelay),
      ])
    connecting.send(.failed(id: 2, error: "refused"))
    #expect(connecting.starts.last?.address == second)
    connecting.send(.ready(id: 3))
    #expect(connecting.actions == [.report(.ready, error: nil)])

    var backingOff = ready()
    backingOff.send(.failed(id: 2, error: "refused"))
    backingOff.send(.ended(id: 1, error: "reset", use: .answered))
    #expect(backingOff.actions.first == .report(.connecting, error: nil))
    #expect(backingOff.starts.last?.address == second)
    let end = backingOff.now + TrunkDiscoveryTests.second
    backingOff.send(.failed(id: 3, error: "refused"))
    #expect(
      backingOff.actions == [
        .timer(at: end), .report(.transientFailure, error: "2.2.2.2:2 refused"),
      ])
  }

  @Test("all connections to an address that is no longer listed are drained") func readdressed() {
    var bench = ready(2)
    bench.send(.streamsWanted(true))
    bench.send(.ready(id: 2))
    bench.send(.update(Endpoint(Address("2.2.2.2", 2))))
    #expect(bench.actions == [.drain(id: 2), .drain(id: 1), .report(.idle, error: nil)])
  }
}
