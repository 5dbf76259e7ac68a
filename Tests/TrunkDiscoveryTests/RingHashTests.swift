// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Testing
import TrunkWire

@testable import TrunkDiscovery

@Suite("ring_hash_experimental (gRFC A42, A61, A76)") struct RingHashTests {
  private let endpoints = (1...5).map { Endpoint(Address("10.0.0.\($0)", 80)) }
  private let byUser = #"{"requestHashHeader": "X-User"}"#

  private func bench(
    _ count: Int = 5, json: String? = nil, ready: [UInt64] = []
  ) throws -> PolicyBench {
    var bench = try PolicyBench("ring_hash_experimental", json: json ?? byUser)
    bench.send(.resolved(Resolution(Array(endpoints.prefix(count)))))
    for id in ready { bench.turn(id, .ready) }
    return bench
  }

  private func pick(
    _ bench: inout PolicyBench, _ user: String..., random: UInt64 = 0
  ) -> Pick {
    var picker = bench.balancer.makePicker()
    var metadata: Metadata = ["other": "1"]
    for value in user { metadata.add(value, for: "x-user") }
    return picker.pick(PickContext(path: "/a/b", metadata: metadata, random: random))
  }

  @Test("no endpoint is connected before a call meets it; that call waits") func lazy() throws {
    var bench = try bench()
    #expect(bench.commands.count == 6 && bench.state == .idle)
    #expect(bench.open.count == 5 && !bench.commands.contains(.connect(one)))
    #expect(pick(&bench, "alice").text == "connect 2")
    bench.turn(2, .connecting)
    #expect(bench.state == .connecting)
    #expect(pick(&bench, "alice").text == "wait")
    bench.turn(2, .ready)
    #expect(bench.commands == [.changed(.ready)])
    #expect(pick(&bench, "alice").text == "use 2")
    #expect(pick(&bench, "bob").text == "connect 1", "READY elsewhere is not its endpoint")
  }

  @Test("calls go where xxHash and the ring of the other stacks place them") func placed() throws {
    var bench = try bench(ready: [1, 2, 3, 4, 5])
    let known = ["alice": 2, "bob": 1, "carol": 4, "dave": 2, "eve": 1, "mallory": 2]
    for (user, id) in known { #expect(pick(&bench, user).text == "use \(id)", "\(user)") }
  }

  @Test("several values are joined by commas; without a value the place is random") func header()
    throws
  {
    var bench = try bench(ready: [1, 2, 3, 4, 5])
    #expect(pick(&bench, "a", "b").text == pick(&bench, "a,b").text)
    #expect(pick(&bench, "", "b").text == pick(&bench, ",b").text)
    var random = Seeded(1)
    var seen: Set<String> = []
    for _ in 0..<100 { seen.insert(pick(&bench, random: random.next()).text) }
    #expect(seen.count == 5)
    for _ in 0..<100 { seen.insert(pick(&bench, "", random: random.next()).text) }
    #expect(seen.count == 5, "an empty value is none")
    var none = try self.bench(json: "{}", ready: [1, 2, 3, 4, 5])
    let places = Set((0..<100).map { _ in pick(&none, "alice", random: random.next()).text })
    #expect(places.count == 5, "without requestHashHeader every place is random")
  }

  @Test("a call without the header uses a READY endpoint, and has one it met connected")
  func randomHash() throws {
    var bench = try bench(ready: [3])
    var random = Seeded(2)
    var tokens: Set<UInt64> = []
    for _ in 0..<100 {
      guard case .use(let id, let token) = pick(&bench, random: random.next()) else {
        Issue.record("a READY endpoint is used")
        continue
      }
      #expect(id.raw == 3)
      if let token { tokens.insert(token) }
    }
    #expect(tokens == [1, 2, 4, 5])
    let outcome = PickOutcome(
      subchannel: SubchannelID(3), token: 4, code: nil, latency: .zero)
    bench.send(.completed([outcome, outcome]))
    #expect(bench.commands == [.connect(SubchannelID(4)), .changed(.ready)], "once")
    for _ in 0..<100 {
      let answer = pick(&bench, random: random.next())
      #expect(answer.text == "use 3")
      if case .use(_, let token) = answer { #expect(token == nil, "one is connecting already") }
    }
  }

  @Test("a call without the header connects at most one endpoint, and none beside a connecting one")
  func randomConnects() throws {
    var bench = try bench()
    guard case .connect(let id) = pick(&bench, random: 1) else {
      Issue.record("one is connected")
      return
    }
    bench.send(.subchannel(id, .connecting, error: nil))
    for i in 0..<50 { #expect(pick(&bench, random: UInt64(i)).text == "wait") }
  }

  @Test("a failed endpoint is passed over; if all are failed calls fail") func failures() throws {
    var bench = try bench(ready: [1, 3, 4, 5])
    bench.turn(2, .transientFailure, "refused")
    #expect(bench.commands.contains(.resolveAgain))
    let next = pick(&bench, "alice")
    #expect(next.text.hasPrefix("use") && next.text != "use 2")
    bench.turn(2, .idle)
    #expect(bench.commands == [.connect(two)], "after its back-off it is tried again")
    bench.turn(2, .connecting)
    #expect(bench.commands.isEmpty, "failed until READY (A62)")
    bench.turn(2, .ready)
    #expect(pick(&bench, "alice").text == "use 2")
    for id in 1...5 as ClosedRange<UInt64> { bench.turn(id, .transientFailure, "no route") }
    #expect(bench.state == .transientFailure)
    #expect(pick(&bench, "alice").text == "fail unavailable no route")
    #expect(pick(&bench).text == "fail unavailable no route")
  }

  @Test(
    "READY, two failed, CONNECTING, one of several failed, IDLE, failed: in this order (A42)",
    arguments: [
      ("rffff", ConnectivityState.ready), ("ffcii", .transientFailure),
      ("ffiii", .transientFailure),
      ("ciiii", .connecting), ("fciii", .connecting), ("fiiii", .connecting), ("iiiii", .idle),
      ("f", .transientFailure), ("i", .idle), ("fi", .connecting), ("ff", .transientFailure),
    ])
  func aggregate(_ phases: String, _ expected: ConnectivityState) throws {
    var bench = try bench(phases.count)
    for (i, phase) in phases.enumerated() {
      switch phase {
      case "r": bench.turn(UInt64(i + 1), .ready)
      case "f": bench.turn(UInt64(i + 1), .transientFailure)
      case "c": bench.turn(UInt64(i + 1), .connecting)
      default: break
      }
    }
    #expect(bench.state == expected)
  }

  @Test("in CONNECTING and TRANSIENT_FAILURE one idle endpoint is connected without a call (A61)")
  func recovers() throws {
    var bench = try bench()
    bench.turn(1, .connecting)
    #expect(bench.commands == [.changed(.connecting)])
    var tried: Set<SubchannelID> = []
    var failing: UInt64 = 1
    for round in 1...4 {
      bench.turn(failing, .transientFailure, "refused")
      let connected = bench.commands.compactMap {
        if case .connect(let id) = $0 { id } else { nil }
      }
      #expect(connected.count == 1 && tried.insert(connected[0]).inserted, "round \(round)")
      #expect(bench.state == (round == 1 ? .connecting : .transientFailure))
      failing = connected.first?.raw ?? 0
    }
    bench.turn(failing, .ready)
    #expect(bench.state == .ready && tried.count == 4)
    bench.turn(failing, .idle)
    #expect(bench.state == .transientFailure)
    #expect(bench.commands.contains(.connect(SubchannelID(failing))))
  }

  @Test("a READY endpoint that loses its connection is IDLE until a call meets it") func idle()
    throws
  {
    var bench = try bench(ready: [1])
    bench.turn(1, .idle)
    #expect(bench.commands == [.resolveAgain, .changed(.idle)])
    #expect(pick(&bench, "bob").text == "connect 1")
  }

  @Test("READY -> CONNECTING (gRFC A105) asks the resolver, as READY -> IDLE does") func scaled()
    throws
  {
    var bench = try bench(ready: [1])
    bench.turn(1, .connecting)
    #expect(bench.commands == [.resolveAgain, .changed(.connecting)])
  }

  @Test("connect() connects one endpoint, unless a call has by then (A117)") func exitIdle() throws
  {
    var asked = try bench()
    asked.send(.exitIdle)
    asked.send(.exitIdle)
    #expect(asked.wakes == [RingHash.exitIdleDelay])
    asked.advance(to: RingHash.exitIdleDelay)
    #expect(asked.commands.count == 2 && asked.state == .connecting)

    var called = try bench()
    called.send(.exitIdle)
    called.turn(2, .connecting)
    called.advance(to: RingHash.exitIdleDelay)
    #expect(called.commands.isEmpty)

    var core = ChannelCore(options("ring_hash_experimental"), random: Seeded(1))
    _ = core.handle(.exitIdle, now: 0)
    let actions = core.handle(.resolution(Resolution(endpoints)), now: 5)
    #expect(actions.contains(.wake(at: 5 + RingHash.exitIdleDelay)), "asked before it was resolved")
  }
  private func options(_ policy: String) -> ChannelCore.Options {
    var options = ChannelCore.Options()
    options.balancer = policy
    return options
  }

  @Test("endpoints are placed by hash_key, and stay there when their address changes (A76)")
  func hashKey() throws {
    var bench = try bench(0)
    func list(_ net: Int) -> Resolution {
      Resolution(
        (1...5).map {
          Endpoint([Address("10.\(net).0.\($0)", 80)], attributes: ["hash_key": "10.0.0.\($0):80"])
        })
    }
    for net in 1...3 {
      bench.send(.resolved(list(net)))
      for id in bench.open.keys { bench.send(.subchannel(id, .ready, error: nil)) }
      guard case .use(let id, _) = pick(&bench, "alice") else {
        Issue.record("all are READY")
        return
      }
      #expect(bench.open[id]?.addresses == [Address("10.\(net).0.2", 80)])
    }
  }

  @Test("updates keep connections; duplicates add their weights; no change publishes nothing")
  func updates() throws {
    var bench = try bench(ready: [1, 2, 3, 4, 5])
    bench.send(.resolved(Resolution(endpoints.reversed())))
    #expect(bench.commands == [.changed(.ready)])
    #expect(pick(&bench, "alice").text == "use 2")
    bench.send(.resolved(Resolution(endpoints.reversed())))
    #expect(bench.commands.isEmpty)
    let more = endpoints + Array(repeating: endpoints[2], count: 200)
    bench.send(.resolved(Resolution(more)))
    #expect(bench.commands == [.changed(.ready)] && bench.open.count == 5)
    let thirds = (0..<200).count { pick(&bench, "user\($0)").text == "use 3" }
    #expect(thirds > 180, "\(thirds)")
    bench.send(.resolved(Resolution([], note: "0 passing")))
    #expect(bench.open.isEmpty && bench.commands.contains(.resolveAgain))
    #expect(bench.pick().text == "fail unavailable 0 passing")
  }

  @Test("the ring is at most the channel's cap, whatever the config says") func capped() throws {
    func sizes(_ json: String, cap: Int? = nil) throws -> ClosedRange<Int> {
      var registry = BalancerRegistry()
      if let cap { registry.maxRingSize = cap }
      return try RingHash.parse(Array(json.utf8), policies: registry).sizes
    }
    #expect(try sizes("{}") == 1024...4096)
    #expect(try sizes(#"{"minRingSize": 5000, "maxRingSize": "8388608"}"#) == 4096...4096)
    #expect(try sizes(#"{"maxRingSize": 2000}"#) == 1024...2000)
    #expect(try sizes(#"{"minRingSize": 5000}"#, cap: 65_536) == 5000...65_536)
    #expect(try sizes("{}", cap: 100) == 100...100)
    #expect(try sizes("{}", cap: -1) == 1...1)
  }

  @Test("explain() says how large the ring is, and in which states its endpoints are")
  func explained() throws {
    var bench = try bench(ready: [1, 2])
    bench.turn(3, .transientFailure)
    #expect(
      bench.balancer.explain(now: 0).notes == [
        "a ring of 1025 entries; of 5 endpoints 2 are READY, 0 connecting, 1 failed, 2 not used yet"
      ])
  }

  @Test("a new config makes a new ring and keeps the connections") func reconfigured() throws {
    var bench = try bench(ready: [1, 2, 3, 4, 5])
    var balancer = try #require(bench.balancer as? RingHash)
    let isTaken = balancer.reconfigure(
      try RingHash.parse(Array(#"{"requestHashHeader": "other", "minRingSize": 2048}"#.utf8)))
    #expect(isTaken)
    bench.balancer = balancer
    let places = Set((0..<50).map { pick(&bench, "user\($0)").text })
    #expect(places.count == 1, "all calls have the same value of the other header")
  }

  @Test(
    "bad sizes and headers are refused and named",
    arguments: [
      (#"{"minRingSize": 0}"#, "minRingSize"), (#"{"maxRingSize": 8388609}"#, "maxRingSize"),
      (#"{"minRingSize": 20, "maxRingSize": 10}"#, "minRingSize"),
      (#"{"requestHashHeader": "x user"}"#, "requestHashHeader"),
      (#"{"requestHashHeader": ":path"}"#, "requestHashHeader"),
      (#"{"requestHashHeader": "X-Key-Bin"}"#, "requestHashHeader"),
      (#"{"requestHashHeader": 1}"#, "requestHashHeader"),
    ])
  func refused(_ json: String, _ field: String) {
    let error = #expect(throws: ServiceConfigError.self) {
      try PolicyBench("ring_hash_experimental", json: json)
    }
    #expect(error?.path == "ring_hash_experimental.\(field)", "\(error as Any)")
  }

  @Test("whatever happens: the books balance, a pick is right, it recovers", arguments: 0..<40)
  func property(_ seed: UInt64) throws {
    var random = Seeded(seed)
    var bench = try bench(0)
    bench.actions = BalancerActions(random: Seeded(seed))
    var states: [SubchannelID: ConnectivityState] = [:]
    for _ in 0..<150 {
      let ids = bench.open.keys.sorted { $0.raw < $1.raw }
      if Int.random(in: 0..<5, using: &random) == 0 {
        let subset = endpoints.filter { _ in Bool.random(using: &random) }
        bench.send(.resolved(Resolution(subset.shuffled(using: &random))))
        #expect(Set(bench.open.values) == Set(subset))
        states = states.filter { bench.open[$0.key] != nil }
      } else if let id = ids.randomElement(using: &random) {
        let next: [ConnectivityState] = [.idle, .connecting, .ready, .transientFailure]
        let state = next.randomElement(using: &random) ?? .idle
        let isFailed = states[id] == .transientFailure
        if !isFailed || state == .ready { states[id] = state }
        bench.turn(id.raw, state)
      }
      for case .connect(let id) in bench.commands where states[id] != .transientFailure {
        #expect(states[id, default: .idle] == .idle)
        states[id] = .connecting
      }
      let phases = bench.open.keys.map { states[$0] ?? .idle }
      let isReady = phases.contains(.ready)
      #expect((bench.state == .ready) == isReady)
      if bench.state == .connecting || bench.state == .transientFailure, phases.contains(.idle) {
        #expect(phases.contains(.connecting), "one is being connected")
      }
      switch pick(&bench, "user\(random.next())") {
      case .use(let id, _): #expect(states[id] == .ready)
      case .connect(let id): #expect(states[id, default: .idle] == .idle)
      case .wait: #expect(phases.contains(.connecting))
      case .fail: #expect(phases.allSatisfy { $0 == .transientFailure })
      case .drop: Issue.record("never")
      }
      if case .use(let id, _) = pick(&bench, random: random.next()) {
        #expect(states[id] == .ready)
      } else {
        #expect(!isReady, "without the header any READY endpoint will do")
      }
    }
  }
}
