// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Testing
import TrunkDiscovery
import TrunkWire

/// Drives one policy as a channel would, and records its subchannels.
struct PolicyBench {
  var balancer: any Balancer
  var actions = BalancerActions(random: Seeded(7))
  var open: [SubchannelID: Endpoint] = [:]
  var closed: Set<SubchannelID> = []
  var options: [SubchannelID: SubchannelOptions] = [:]
  /// Times that the policy asked for, in order.
  var wakes: [UInt64] = []
  /// Of the last event.
  var commands: [BalancerActions.Command] = []
  var state: ConnectivityState?

  init(_ name: String, json: String = "{}", registry: BalancerRegistry = BalancerRegistry()) throws
  {
    balancer = try registry.make(name, json: Array(json.utf8))
  }

  mutating func send(_ event: BalancerEvent) {
    balancer.handle(event, &actions)
    commands = actions.drain()
    for command in commands {
      switch command {
      case .open(let id, let endpoint, let options):
        #expect(open.updateValue(endpoint, forKey: id) == nil && !closed.contains(id))
        self.options[id] = options
      case .update(let id, let endpoint): #expect(open.updateValue(endpoint, forKey: id) != nil)
      case .reportLoad(let id, let interval):
        #expect(open[id] != nil)
        options[id]?.loadReportInterval = interval
      case .connect(let id): #expect(open[id] != nil)
      case .close(let id):
        #expect(open.removeValue(forKey: id) != nil)
        #expect(closed.insert(id).inserted)
      case .changed(let new): state = new
      case .resolveAgain: break
      case .wake(let time): wakes.append(time)
      }
    }
  }
  /// Of the subchannel's options.
  func load(_ id: UInt64) -> LoadCounter? { options[SubchannelID(id)]?.observer as? LoadCounter }
  /// Lets the times come that are asked for until `now`.
  mutating func advance(to now: UInt64) {
    while let next = wakes.min(), next <= now {
      wakes.removeAll { $0 == next }
      actions.now = max(actions.now, next)
      send(.timer)
    }
    actions.now = now
  }
  mutating func resolve(_ endpoints: Endpoint...) { send(.resolved(Resolution(endpoints))) }
  mutating func turn(_ id: UInt64, _ state: ConnectivityState, _ error: String? = nil) {
    send(.subchannel(SubchannelID(id), state, error: error))
  }
  mutating func pick(_ random: UInt64 = 0) -> Pick {
    var picker = balancer.makePicker()
    return picker.pick(PickContext(path: "/a/b", random: random))
  }
}

extension Pick {
  var text: String {
    switch self {
    case .use(let id, _): "use \(id.raw)"
    case .wait: "wait"
    case .connect(let id): "connect \(id.raw)"
    case .fail(let error): "fail \(error.code) \(error.message)"
    case .drop(let error): "drop \(error.message)"
    }
  }
}

let a = Endpoint(Address("1.1.1.1", 1))
let b = Endpoint(Address("2.2.2.2", 2))
let c = Endpoint(Address("3.3.3.3", 3))
let one = SubchannelID(1)
let two = SubchannelID(2)
/// pick_first on its own.
let alone = SubchannelOptions(showsHealth: false)
let ended = CallOutcome(code: nil, began: 0, ended: 0)

@Suite struct PickFirstTests {
  @Test("one subchannel over all addresses, families interleaved (RFC 8305 §4)") func flattens()
    throws
  {
    var bench = try PolicyBench("pick_first")
    bench.resolve(Endpoint(Address("::1", 1), Address("::2", 1)), a, b, a)
    let merged = Endpoint(
      Address("::1", 1), Address("1.1.1.1", 1), Address("::2", 1), Address("2.2.2.2", 2))
    #expect(
      bench.commands == [.open(one, merged, alone), .connect(one), .changed(.connecting)])
    #expect(bench.pick().text == "wait")
    bench.turn(1, .ready)
    #expect(bench.commands == [.changed(.ready)])
    #expect(bench.pick().text == "use 1")
  }

  @Test("a new list updates the subchannel, an unchanged one does nothing") func update() throws {
    var bench = try PolicyBench("pick_first")
    bench.resolve(a)
    bench.turn(1, .ready)
    bench.resolve(Endpoint(a.addresses, weight: 7))
    #expect(bench.commands.isEmpty)
    bench.resolve(a, b)
    let merged = Endpoint(a.addresses + b.addresses)
    #expect(bench.commands == [.update(one, merged), .connect(one)])
    #expect(bench.state == .ready)
  }

  @Test("READY -> CONNECTING asks for a resolution, and stays with the subchannel")
  func connectingAgain() throws {
    var bench = try PolicyBench("pick_first")
    bench.resolve(a, b)
    bench.turn(1, .ready)
    bench.turn(1, .connecting)
    #expect(bench.commands == [.resolveAgain, .changed(.connecting)])
    #expect(bench.pick().text == "wait")
    bench.turn(1, .ready)
    bench.turn(1, .transientFailure, "refused")
    #expect(bench.commands == [.resolveAgain, .changed(.transientFailure)])
    #expect(bench.pick().text == "fail unavailable refused")
  }

  @Test("READY -> IDLE waits for a call, which connects") func idle() throws {
    var bench = try PolicyBench("pick_first")
    bench.resolve(a)
    bench.turn(1, .ready)
    bench.turn(1, .idle)
    #expect(bench.commands == [.resolveAgain, .changed(.idle)])
    #expect(bench.pick().text == "connect 1")
    bench.resolve(b)
    #expect(bench.commands == [.update(one, b)], "an idle channel stays idle")
    bench.send(.exitIdle)
    #expect(bench.commands == [.connect(one)])
  }

  @Test("TRANSIENT_FAILURE is sticky until READY and asks for resolution each pass")
  func sticky() throws {
    var bench = try PolicyBench("pick_first")
    bench.resolve(a)
    bench.turn(1, .connecting)
    bench.turn(1, .transientFailure, "connection refused")
    #expect(bench.commands == [.resolveAgain, .changed(.transientFailure)])
    #expect(bench.pick().text == "fail unavailable connection refused")
    bench.turn(1, .idle)
    #expect(bench.commands == [.connect(one)])
    bench.turn(1, .connecting)
    #expect(bench.commands.isEmpty)
    bench.turn(1, .transientFailure, "no route")
    #expect(bench.commands == [.resolveAgain, .changed(.transientFailure)])
    #expect(bench.pick().text == "fail unavailable no route")
    bench.turn(1, .ready)
    #expect(bench.state == .ready)
  }

  @Test("an empty list fails calls with its note and asks again") func empty() throws {
    var bench = try PolicyBench("pick_first")
    bench.resolve(a)
    bench.send(.resolved(Resolution([], note: "0 passing")))
    #expect(bench.commands == [.close(one), .resolveAgain, .changed(.transientFailure)])
    #expect(bench.pick().text == "fail unavailable 0 passing")
    bench.resolve(b)
    #expect(bench.commands == [.open(two, b, alone), .connect(two), .changed(.connecting)])
  }

  @Test("a failed resolution matters only without addresses") func failedResolution() throws {
    var bench = try PolicyBench("pick_first")
    bench.send(.resolutionFailed(note: "agent away"))
    #expect(bench.pick().text == "fail unavailable agent away")
    bench.resolve(a)
    bench.turn(1, .ready)
    bench.send(.resolutionFailed(note: "agent away"))
    #expect(bench.commands.isEmpty)
    #expect(bench.pick().text == "use 1")
  }

  @Test("shuffleAddressList spreads clients over the servers (A62)") func shuffle() throws {
    var firsts: Set<Address> = []
    for seed in 0..<64 {
      var bench = try PolicyBench("pick_first", json: #"{"shuffleAddressList": true}"#)
      bench.actions = BalancerActions(random: Seeded(UInt64(seed)))
      bench.resolve(a, b, c)
      let addresses = try #require(bench.open[one]).addresses
      #expect(Set(addresses) == Set([a, b, c].flatMap(\.addresses)))
      firsts.insert(addresses[0])
    }
    #expect(firsts.count == 3)
  }

  @Test("shuffleAddressList: endpoints come first in proportion to their weights (A113)")
  func weightedShuffle() throws {
    let weighted = [
      Endpoint(a.addresses, weight: 1), Endpoint(b.addresses, weight: 2),
      Endpoint(c.addresses, weight: 7),
    ]
    var firsts: [Address: Int] = [:]
    var seconds: [Address: Int] = [:]
    for seed in 0..<4_000 {
      var bench = try PolicyBench("pick_first", json: #"{"shuffleAddressList": true}"#)
      bench.actions = BalancerActions(random: Seeded(UInt64(seed)))
      bench.send(.resolved(Resolution(weighted)))
      let addresses = try #require(bench.open[one]).addresses
      firsts[addresses[0], default: 0] += 1
      if addresses[0] == c.addresses[0] { seconds[addresses[1], default: 0] += 1 }
    }
    #expect((330...470).contains(firsts[a.addresses[0]] ?? 0), "\(firsts)")
    #expect((720...880).contains(firsts[b.addresses[0]] ?? 0), "\(firsts)")
    // Of the rest as well: behind c a third begin with a.
    let behind = Double(seconds[a.addresses[0]] ?? 0) / Double(firsts[c.addresses[0]] ?? 1)
    #expect((0.29...0.37).contains(behind), "\(behind)")
  }

  @Test("without shuffleAddressList the resolver's order holds, whatever the weights")
  func noShuffle() throws {
    var bench = try PolicyBench("pick_first")
    bench.resolve(Endpoint(a.addresses, weight: 1), Endpoint(b.addresses, weight: 60_000))
    #expect(bench.open[one]?.addresses == a.addresses + b.addresses)
  }

  @Test("only another list is shuffled anew: a refreshed one keeps the connection")
  func shuffledOnce() throws {
    var bench = try PolicyBench("pick_first", json: #"{"shuffleAddressList": true}"#)
    bench.resolve(a, b, c)
    bench.turn(1, .ready)
    bench.resolve(a, b, c)
    #expect(bench.commands.isEmpty)
  }
}

@Suite struct RoundRobinTests {
  @Test("one subchannel per endpoint, duplicates merged, all connected") func opens() throws {
    var bench = try PolicyBench("round_robin")
    bench.resolve(a, b, a)
    #expect(
      bench.commands == [
        .open(one, a, SubchannelOptions()), .connect(one), .open(two, b, SubchannelOptions()),
        .connect(two),
        .changed(.connecting),
      ])
    #expect(bench.pick().text == "wait")
  }

  @Test("calls go to the ready ones in turn, from a random start") func fair() throws {
    var bench = try PolicyBench("round_robin")
    bench.resolve(a, b, c)
    for id in 1...3 { bench.turn(UInt64(id), .ready) }
    for start in 0..<3 {
      var picker = bench.balancer.makePicker()
      let picks = (0..<6).map { _ in picker.pick(PickContext(path: "/", random: UInt64(start))) }
      let ids = (0..<6).map { "use \((start + $0) % 3 + 1)" }
      #expect(picks.map(\.text) == ids)
    }
  }

  @Test("READY > CONNECTING > TRANSIENT_FAILURE, failed ones stay failed until READY")
  func aggregate() throws {
    var bench = try PolicyBench("round_robin")
    bench.resolve(a, b)
    bench.turn(1, .transientFailure, "refused")
    #expect(bench.commands == [.resolveAgain], "the other one is still connecting")
    bench.turn(2, .transientFailure, "reset")
    #expect(bench.state == .transientFailure)
    #expect(bench.pick().text == "fail unavailable reset")
    bench.turn(1, .idle)
    #expect(bench.commands == [.connect(one)])
    bench.turn(1, .connecting)
    #expect(bench.commands.isEmpty && bench.state == .transientFailure)
    bench.turn(1, .ready)
    #expect(bench.state == .ready)
    bench.turn(1, .idle)
    #expect(bench.commands == [.resolveAgain, .connect(one), .changed(.connecting)])
  }

  @Test("a child that goes from READY to CONNECTING asks for a resolution")
  func connectingAgainOfMany() throws {
    var bench = try PolicyBench("round_robin")
    bench.resolve(a, b)
    bench.turn(1, .ready)
    bench.turn(1, .connecting)
    #expect(bench.commands == [.resolveAgain, .changed(.connecting)])
    bench.turn(1, .connecting)
    #expect(bench.commands.isEmpty)
    bench.turn(1, .ready)
    bench.turn(1, .transientFailure, "refused")
    #expect(bench.commands == [.resolveAgain, .changed(.connecting)])
  }

  @Test("weights and attributes change no connection; gone endpoints are closed once")
  func updates() throws {
    var bench = try PolicyBench("round_robin")
    bench.resolve(a, b)
    bench.turn(1, .ready)
    let changed = Endpoint(a.addresses, weight: 9, attributes: ["zone": "x"])
    bench.resolve(changed, c)
    #expect(
      bench.commands == [
        .update(SubchannelID(1), changed), .open(SubchannelID(3), c, SubchannelOptions()),
        .connect(SubchannelID(3)), .close(two),
        .changed(.ready),
      ])
    #expect(bench.pick().text == "use 1")
    bench.resolve(changed, c)
    #expect(bench.commands.isEmpty, "an unchanged answer publishes nothing")
    bench.turn(2, .ready)
    #expect(bench.commands.isEmpty, "a closed subchannel is not heard")
    bench.send(.resolved(Resolution([])))
    #expect(bench.open.isEmpty)
    #expect(bench.commands.contains(.resolveAgain) && bench.state == .transientFailure)
  }

  @Test("whatever happens, the books balance and picks are ready ones", arguments: 0..<40)
  func property(_ seed: Int) throws {
    var random = Seeded(UInt64(seed))
    var bench = try PolicyBench("round_robin")
    let all = (1...6).map { Endpoint(Address("10.0.0.\($0)", 1)) }
    var ready: Set<SubchannelID> = []
    for _ in 0..<200 {
      if Int.random(in: 0..<4, using: &random) == 0 {
        let subset = all.filter { _ in Bool.random(using: &random) }.shuffled(using: &random)
        bench.send(.resolved(Resolution(subset)))
        #expect(Set(bench.open.values) == Set(subset))
        ready.formIntersection(bench.open.keys)
      } else if let id = bench.open.keys.sorted(by: { $0.raw < $1.raw }).randomElement(
        using: &random)
      {
        let states: [ConnectivityState] = [.idle, .connecting, .ready, .transientFailure]
        let state = states.randomElement(using: &random) ?? .idle
        bench.send(.subchannel(id, state, error: nil))
        if state == .ready { ready.insert(id) } else { ready.remove(id) }
      }
      #expect((bench.state == .ready) == !ready.isEmpty)
      var picker = bench.balancer.makePicker()
      var counts: [SubchannelID: Int] = [:]
      for _ in 0..<(2 * max(1, ready.count)) {
        if case .use(let id, _) = picker.pick(PickContext(path: "/", random: random.next())) {
          counts[id, default: 0] += 1
        }
      }
      #expect(counts == Dictionary(uniqueKeysWithValues: ready.map { ($0, 2) }))
    }
  }
}

private struct LeastLoaded: PickPolicy {
  static let name = "least_loaded"
  let ready: [ReadySubchannel]
  init(_ ready: [ReadySubchannel]) { self.ready = ready }
  mutating func pick(_ call: borrowing PickContext) -> ReadySubchannel {
    ready.min { $0.callsInFlight < $1.callsInFlight } ?? ready[0]
  }
}

@Suite struct PickPolicyTests {
  @Test("a policy of the easy tier picks by the calls in flight") func leastLoaded() throws {
    var registry = BalancerRegistry()
    registry.register(LeastLoaded.self)
    var bench = try PolicyBench("least_loaded", registry: registry)
    bench.resolve(a, b)
    bench.turn(1, .ready)
    bench.turn(2, .ready)
    let first = try #require(bench.load(1))
    first.callBegan(at: 0)
    #expect(bench.pick().text == "use 2")
    try #require(bench.load(2)).callBegan(at: 0)
    first.callEnded(ended)
    #expect(bench.pick().text == "use 1")
  }

  @Test("a config is taken in place where the policy can") func reconfigure() throws {
    var balancer = PickFirst(PickFirst.Config())
    let isTaken = balancer.reconfigure(PickFirst.Config(shuffleAddressList: true))
    #expect(isTaken)
    #expect(throws: ServiceConfigError.self) {
      try BalancerRegistry().prepare(BalancerChoice("pick_first", json: [0x5b]))
    }
  }
}
