// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Testing
import TrunkDiscovery

private let v4 = Address("1.1.1.1", 1)
private let v6 = Address("::1", 1)
private let third = Address("3.3.3.3", 3)

@Suite struct SubchannelTests {
  @Test("connect starts one attempt; its SETTINGS make it READY") func connects() {
    var bench = SubchannelBench(v6, v4)
    bench.send(.connect)
    #expect(
      bench.actions == [
        .report(.connecting, error: nil),
        .attempt(id: 1, address: v6, deadline: bench.now + 20 * second),
        .timer(at: bench.now + 250 * millisecond),
      ])
    bench.send(.connect)
    #expect(bench.actions.isEmpty)
    bench.send(.ready(id: 1))
    #expect(bench.actions == [.report(.ready, error: nil)])
  }

  @Test("the next address begins after 250 ms, the losers are abandoned (RFC 8305)")
  func happyEyeballs() {
    var bench = SubchannelBench(v6, v4, third)
    bench.send(.connect)
    let start = bench.now
    bench.advance(600 * millisecond)
    #expect(bench.starts.map(\.at) == [start, start + second / 4, start + second / 2])
    bench.send(.ready(id: 2))
    #expect(bench.actions == [.abandon(id: 1), .abandon(id: 3), .report(.ready, error: nil)])
    bench.send(.ready(id: 1))
    bench.send(.failed(id: 3, error: "late"))
    #expect(bench.actions.isEmpty, "what was abandoned is not heard")
  }

  @Test("a failure lets the next address go at once") func failsOver() {
    var bench = SubchannelBench(v6, v4)
    bench.send(.connect)
    bench.advance(10 * millisecond)
    bench.send(.failed(id: 1, error: "connection refused"))
    #expect(
      bench.actions == [
        .attempt(id: 2, address: v4, deadline: bench.now + 20 * second)
      ])
    #expect(bench.core.state == .connecting)
  }

  @Test("when every address failed: TRANSIENT_FAILURE, backoff from the pass's start")
  func backoff() {
    var bench = SubchannelBench(v4)
    bench.send(.connect)
    let start = bench.now
    bench.advance(300 * millisecond)
    bench.send(.failed(id: 1, error: "connection refused"))
    #expect(
      bench.actions == [
        .timer(at: start + second),
        .report(.transientFailure, error: "1.1.1.1:1 connection refused"),
      ])
    #expect(bench.core.nextAttempt == start + second)
    bench.advance(699 * millisecond)
    #expect(bench.core.state == .transientFailure)
    bench.advance(millisecond)
    #expect(bench.reports == ["idle"], "nobody asked: idle after backoff (A61)")
  }

  @Test("a connect during backoff is remembered; delays grow 1.6 times") func grows() {
    var bench = SubchannelBench(v4)
    bench.send(.connect)
    for attempt in 1...4 {
      bench.send(.failed(id: UInt32(attempt), error: "no"))
      bench.send(.connect)
      #expect(bench.actions.isEmpty)
      bench.advance((bench.timer ?? bench.now) - bench.now)
    }
    let gaps = zip(bench.starts.dropFirst(), bench.starts).map { ($0.at - $1.at) / millisecond }
    #expect(gaps == [1000, 1600, 2560, 4096])
    #expect(
      bench.core.failures == [
        AddressFailure(address: v4, error: "no", at: bench.core.failures[0].at, attempt: 4)
      ])
  }

  @Test("an attempt may take until the backoff deadline, at least 20 s") func deadline() {
    var bench = SubchannelBench(v4)
    bench.send(.connect)
    for id in 1...8 {
      bench.send(.failed(id: UInt32(id), error: "no"))
      bench.send(.connect)
      bench.advance((bench.timer ?? bench.now) - bench.now)
    }
    // The ninth pass's delay is 1.6^8 s, about 43 s.
    guard case .attempt(9, _, let deadline)? = bench.actions.dropFirst().first else {
      Issue.record("no attempt in \(bench.actions)")
      return
    }
    #expect((42...44).contains((deadline - bench.now) / second))
  }

  @Test("only SETTINGS reset the backoff") func reset() {
    var bench = SubchannelBench(v4)
    bench.send(.connect)
    bench.send(.failed(id: 1, error: "no"))
    bench.send(.connect)
    bench.advance(second)
    bench.send(.ready(id: 2))
    #expect(bench.core.failures.isEmpty)
    bench.advance(60 * second)
    bench.send(.ended(id: 2, error: "connection reset", use: .answered))
    #expect(bench.reports == ["idle 1.1.1.1:1 connection reset"])
    bench.send(.connect)
    bench.send(.failed(id: 3, error: "no"))
    #expect(bench.core.nextAttempt == bench.now + second)
  }

  @Test("a GOAWAY makes it IDLE without an error") func goaway() {
    var bench = SubchannelBench(v4)
    bench.send(.connect)
    bench.send(.ready(id: 1))
    bench.advance(60 * second)
    bench.send(.ended(id: 1, error: nil, use: .answered))
    #expect(bench.actions == [.report(.idle, error: nil)])
    bench.send(.connect)
    #expect(bench.starts.last?.at == bench.now, "at once")
  }

  @Test("a server that hangs up after SETTINGS is not called in a tight loop") func churn() {
    var bench = SubchannelBench(v4)
    for id in 1...20 as ClosedRange<UInt32> {
      bench.send(.connect)
      if bench.live.isEmpty { bench.advance((bench.timer ?? bench.now) - bench.now) }
      bench.advance(millisecond)
      bench.send(.ready(id: id))
      bench.send(.ended(id: id, error: "hung up", use: id % 2 == 0 ? .unanswered : .unused))
    }
    let gaps = zip(bench.starts.dropFirst(), bench.starts).map { $0.at - $1.at }
    #expect(gaps[0] < second / 10, "the first time may be chance")
    #expect(gaps[1] >= second)
    #expect(gaps.last ?? 0 >= 100 * second)
    bench.send(.connect)
    #expect(bench.core.state == .transientFailure, "calls fail with the reason rather than wait")
    bench.advance(200 * second)
    bench.send(.ready(id: 21))
    bench.advance(2 * second)
    bench.send(.ended(id: 21, error: nil, use: .answered))
    bench.send(.connect)
    #expect(bench.starts.last?.at == bench.now, "a connection that answered a call is of use")
  }

  @Test(
    "a connection that answered a call is followed by the next at once, however short it lived",
    arguments: [nil, "connection reset"])
  func useful(_ error: String?) {
    var bench = SubchannelBench(v4)
    for id in 1...50 as ClosedRange<UInt32> {
      bench.send(.connect)
      #expect(bench.starts.last?.at == bench.now)
      bench.send(.ready(id: id))
      bench.advance(millisecond)
      bench.send(.ended(id: id, error: error, use: .answered))
    }
    #expect(bench.starts.count == 50)
  }

  @Test("GOAWAY with calls under way: what becomes of them decides", arguments: [true, false])
  func undecided(_ isAnswered: Bool) {
    var bench = SubchannelBench(v4)
    for id in 1...4 as ClosedRange<UInt32> {
      bench.send(.connect)
      if bench.live.isEmpty { bench.advance((bench.timer ?? bench.now) - bench.now) }
      bench.send(.ready(id: id))
      bench.advance(millisecond)
      bench.send(.ended(id: id, error: nil, use: .undecided))
      bench.send(.decided(id: id, answered: isAnswered))
    }
    let gaps = zip(bench.starts.dropFirst(), bench.starts).map { $0.at - $1.at }
    #expect(gaps == (isAnswered ? [1, 1, 1] : [1, 1000, 1600]).map { $0 * millisecond })
  }

  @Test("a connection that no call wanted counts only if it ended before one could have come")
  func unused() {
    var bench = SubchannelBench(v4)
    for id in 1...10 as ClosedRange<UInt32> {
      bench.send(.connect)
      #expect(bench.starts.last?.at == bench.now, "an idle limit of the server is no failure")
      bench.send(.ready(id: id))
      bench.advance(400 * millisecond)
      bench.send(.ended(id: id, error: nil, use: .unused))
    }
    for id in 11...12 as ClosedRange<UInt32> {
      bench.send(.connect)
      bench.send(.ready(id: id))
      bench.send(.ended(id: id, error: nil, use: .unused))
    }
    bench.send(.connect)
    #expect(bench.live.isEmpty && bench.core.state == .transientFailure)
    #expect(
      bench.reports == [
        "transientFailure 1.1.1.1:1 ended the connection with GOAWAY before it answered a call"
      ])
    #expect(bench.core.nextAttempt == bench.now + second)
    #expect(
      bench.core.failures.map(\.error) == [
        "ended the connection with GOAWAY before it answered a call"
      ])
    #expect(bench.core.failures.map(\.attempt) == [2])
    bench.send(.resetBackoff)
    #expect(bench.live.count == 1, "the network changed: no reason to wait")
  }

  /// One that ends each connection without an answer, `times` times.
  private func useless(
    _ bench: inout SubchannelBench, _ address: Address, times: Int
  ) {
    for _ in 0..<times {
      bench.send(.connect)
      for (id, other) in bench.live where other != address {
        bench.send(.failed(id: id, error: "no"))
      }
      guard let id = bench.live.first(where: { $0.value == address })?.key else {
        Issue.record("\(address) was not tried")
        return
      }
      bench.send(.ready(id: id))
      bench.send(.ended(id: id, error: nil, use: .unanswered))
    }
  }

  @Test("an address that is of no use holds up no other one") func othersFirst() {
    var bench = SubchannelBench(v4, v6)
    useless(&bench, v4, times: 2)
    bench.send(.connect)
    #expect(bench.starts.last?.address == v6 && bench.starts.last?.at == bench.now)
    #expect(
      bench.core.state == .connecting && bench.live.values.sorted { "\($0)" < "\($1)" } == [v6])
    bench.send(.ready(id: bench.live.first?.key ?? 0))
    bench.advance(60 * second)
    bench.send(.ended(id: bench.connected.first ?? 0, error: nil, use: .answered))
    bench.send(.connect)
    #expect(bench.starts.last?.address == v6, "its rest is over, and it goes last")
  }

  @Test("what becomes of a connection's calls counts for that connection")
  func decidedByConnection() {
    var bench = SubchannelBench(v4)
    for id in 1...2 as ClosedRange<UInt32> {
      bench.send(.connect)
      bench.send(.ready(id: id))
      bench.send(.ended(id: id, error: nil, use: .undecided))
    }
    bench.send(.decided(id: 2, answered: false))
    bench.send(.decided(id: 1, answered: false))
    bench.send(.connect)
    #expect(bench.live.isEmpty && bench.core.state == .transientFailure, "both count")
  }

  @Test("an update during a pass does not wake an address that rests") func updateAndRest() {
    var bench = SubchannelBench(v4, v6)
    useless(&bench, v4, times: 2)
    bench.send(.connect)
    bench.send(.update(Endpoint(v4, v6, third)))
    bench.advance(300 * millisecond)
    #expect(Set(bench.live.values) == [v6, third])
  }

  @Test("an address that is new does not wait for the rest of an old one") func newAddress() {
    var bench = SubchannelBench(v4)
    useless(&bench, v4, times: 2)
    bench.send(.connect)
    #expect(bench.live.isEmpty)
    bench.send(.update(Endpoint(v6)))
    #expect(bench.live.values.map { $0 } == [v6])
  }

  @Test("the wait after useless connections runs from the last one's start") func waitFromStart() {
    var bench = SubchannelBench(v4)
    for id in 1...2 as ClosedRange<UInt32> {
      bench.send(.connect)
      bench.send(.ready(id: id))
      bench.advance(5 * second)
      bench.send(.ended(id: id, error: "connection reset", use: .unanswered))
    }
    bench.send(.connect)
    #expect(bench.starts.last?.at == bench.now)
  }

  @Test("update keeps a READY connection whose address stays, drains another") func update() {
    var bench = SubchannelBench(v4, v6)
    bench.send(.connect)
    bench.send(.ready(id: 1))
    bench.send(.update(Endpoint(v6, v4)))
    #expect(bench.actions.isEmpty)
    bench.send(.update(Endpoint(v6)))
    #expect(bench.actions == [.drain(id: 1), .report(.idle, error: nil)])
    bench.send(.connect)
    #expect(bench.starts.last?.address == v6)
  }

  @Test("update during a pass goes on with the new list, tries nothing twice") func updateInPass() {
    var bench = SubchannelBench(v4, v6)
    bench.send(.connect)
    bench.send(.failed(id: 1, error: "no"))
    bench.send(.update(Endpoint(v4, v6, third)))
    #expect(bench.live == [2: v6])
    bench.send(.update(Endpoint(v4, third)))
    #expect(bench.actions.first == .abandon(id: 2))
    #expect(bench.live == [3: third])
    bench.send(.update(Endpoint(v4)))
    #expect(bench.reports == ["transientFailure 1.1.1.1:1 no"])
  }

  @Test("an address never tried need not wait for the others' backoff") func freshAddress() {
    var bench = SubchannelBench(v4)
    bench.send(.connect)
    bench.send(.failed(id: 1, error: "no"))
    bench.send(.update(Endpoint(v4, third)))
    #expect(bench.reports == ["connecting"])
    #expect(bench.live == [2: third])
    bench.send(.failed(id: 2, error: "no"))
    #expect(bench.core.nextAttempt == 101 * second, "the backoff goes on as it was")
  }

  @Test("resetBackoff tries again now") func networkChange() {
    var bench = SubchannelBench(v4)
    bench.send(.connect)
    bench.send(.failed(id: 1, error: "no"))
    bench.send(.connect)
    bench.send(.resetBackoff)
    #expect(bench.live == [2: v4])
    bench.send(.failed(id: 2, error: "no"))
    #expect(bench.core.nextAttempt == bench.now + second)
  }

  @Test("close lets go of everything, and nothing happens after it") func close() {
    var bench = SubchannelBench(v4, v6)
    bench.send(.connect)
    bench.advance(second / 4)
    bench.send(.close)
    #expect(
      bench.actions == [.abandon(id: 1), .abandon(id: 2), .report(.shutdown, error: nil)])
    for event in [SubchannelEvent.connect, .timer, .ready(id: 1), .close, .resetBackoff] {
      bench.send(event)
      #expect(bench.actions.isEmpty)
    }
  }

  @Test("an endpoint without addresses fails instead of hanging") func empty() {
    var bench = SubchannelBench()
    bench.send(.connect)
    #expect(bench.reports == ["connecting", "transientFailure no address to connect to"])
  }

  @Test(
    "any order of events: each attempt ends once, no more connections than allowed, none of them early",
    arguments: 0..<60)
  func property(_ seed: Int) {
    var random = Seeded(UInt64(seed))
    var bench = SubchannelBench(v4, v6, third, jitter: 0.2)
    bench.random = Seeded(UInt64(seed) + 1000)
    let pool = [v4, v6, third, Address("4.4.4.4", 4)]
    var most: UInt32 = 1
    for _ in 0..<400 {
      let id = UInt32.random(in: 0...4, using: &random)
      let known = bench.live.keys.sorted().randomElement(using: &random) ?? id
      switch Int.random(in: 0..<(seed % 2 == 0 ? 12 : 15), using: &random) {
      case 0...2: bench.send(.connect)
      case 3...4: bench.send(.failed(id: known, error: "no"))
      case 5: bench.send(.ready(id: known))
      case 6:
        bench.send(
          .ended(
            id: bench.connected.sorted().randomElement(using: &random) ?? known, error: nil,
            use: [.answered, .undecided, .unanswered, .unused][Int(known) % 4]))
      case 7:
        bench.send(.update(Endpoint(pool.filter { _ in Bool.random(using: &random) })))
      case 8: bench.send(.timer)
      case 12...13: bench.send(.streamsWanted(Bool.random(using: &random)))
      case 14:
        most = max(most, known % 4 + 1)
        bench.send(.maximumConnections(Int(known % 4 + 1)))
      default: bench.advance(UInt64.random(in: 0...second, using: &random))
      }
      #expect(bench.connected.count <= most)
      // Whatever waits, waits for a time that will come.
      switch bench.core.state {
      case .connecting: #expect(!bench.live.isEmpty || bench.timer != nil)
      case .transientFailure: #expect(bench.core.nextAttempt != nil && bench.timer != nil)
      default: break
      }
    }
    bench.send(.close)
    #expect(bench.live.isEmpty && bench.connected.isEmpty)
  }
}
