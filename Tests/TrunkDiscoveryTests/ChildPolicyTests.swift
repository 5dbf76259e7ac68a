// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Testing
import TrunkDiscovery
import TrunkWire

/// A policy around another one: `{"childPolicy": [...]}`. Counts the calls of all subchannels, and
/// publishes when its timer comes.
private struct Around: Balancer {
  static let name = "around"
  static func parse(_ json: [UInt8]) throws(ServiceConfigError) -> PreparedPolicy {
    try parse(json, policies: BalancerRegistry())
  }
  static func parse(
    _ json: [UInt8], policies: BalancerRegistry
  ) throws(ServiceConfigError) -> PreparedPolicy {
    guard case .object(let fields) = try JSONValue(parsing: json), let list = fields["childPolicy"]
    else { throw ServiceConfigError(path: "around.childPolicy", "missing") }
    return try policies.prepare(list: list.canonical, path: "around.childPolicy")
  }

  private var config: PreparedPolicy
  private var child = ChildPolicy()
  private let counter = LoadCounter()
  private var due: UInt64?

  init(_ config: PreparedPolicy) { self.config = config }
  mutating func reconfigure(_ config: PreparedPolicy) -> Bool {
    self.config = config
    return true
  }

  mutating func handle(_ event: BalancerEvent, _ actions: inout BalancerActions) {
    var published = false
    if case .resolved = event {
      published = child.install(config, &actions)
      due = actions.now + 1_000
      actions.wake(at: actions.now + 1_000)
    }
    if case .timer = event, let due, due <= actions.now {
      self.due = nil
      published = true
    }
    if child.handle(event, &actions) || published { actions.changed(child.state) }
  }

  mutating func makePicker() -> any Picker { child.makePicker() }
}

@Suite("Policies inside of policies") struct ChildPolicyTests {
  let registry: BalancerRegistry

  init() {
    var registry = BalancerRegistry()
    registry.register(Around.self)
    self.registry = registry
  }

  @Test(
    "a child's commands reach the channel, and events reach the child that opened the subchannel")
  func passesOn() throws {
    var bench = try PolicyBench(
      "around", json: #"{"childPolicy": [{"round_robin": {}}]}"#, registry: registry)
    bench.resolve(a, b)
    #expect(
      bench.commands == [
        .wake(at: 1_000), .open(one, a, SubchannelOptions()), .connect(one),
        .open(two, b, SubchannelOptions()), .connect(two), .changed(.connecting),
      ])
    bench.turn(2, .ready)
    #expect(bench.state == .ready)
    #expect(bench.pick().text == "use 2")
    bench.resolve(b)
    #expect(bench.closed == [one])
  }

  @Test("the first known policy of the list is taken") func firstKnown() throws {
    var bench = try PolicyBench(
      "around", json: #"{"childPolicy": [{"unheard_of": {}}, {"pick_first": {}}, {"around": {}}]}"#,
      registry: registry)
    bench.resolve(a, b)
    #expect(bench.open.count == 1)
  }

  @Test(
    "an error names the whole path",
    arguments: [
      (#"{}"#, "around.childPolicy: missing"),
      (#"{"childPolicy": 5}"#, "around.childPolicy: an array is needed, not a number"),
      (
        #"{"childPolicy": [{"round_robin": {}, "pick_first": {}}]}"#,
        "around.childPolicy[0]: one key, the policy's name, is needed, not 2"
      ),
      (
        #"{"childPolicy": [{"unheard_of": {}}]}"#,
        "around.childPolicy: unknown policy \"unheard_of\"; allowed: around, "
          + BalancerRegistry().names.joined(separator: ", ")
      ),
      (
        #"{"childPolicy": [{"around": {"childPolicy": [{"pick_first": {"shuffleAddressList": 1}}]}}]}"#,
        "around.childPolicy[0].around.childPolicy[0].pick_first.shuffleAddressList: "
          + "true or false is needed, not 1"
      ),
    ])
  func errors(json: String, message: String) {
    #expect {
      try registry.make("around", json: Array(json.utf8))
    } throws: {
      "\($0)" == "service config: \(message)"
    }
  }

  @Test("more than sixteen policies inside each other are refused") func depth() throws {
    func nested(_ count: Int) -> [UInt8] {
      var json = #"{"pick_first": {}}"#
      for _ in 2..<count { json = #"{"around": {"childPolicy": [\#(json)]}}"# }
      return Array(#"{"childPolicy": [\#(json)]}"#.utf8)
    }
    _ = try registry.make("around", json: nested(16))
    #expect {
      try registry.make("around", json: nested(17))
    } throws: {
      ($0 as? ServiceConfigError)?.reason == "at most 16 policies inside each other"
    }
  }

  @Test(
    "another child takes over when it is no longer connecting; then the old one's subchannels close"
  )
  func gracefulSwitch() throws {
    var child = ChildPolicy()
    var actions = BalancerActions()
    var did = false
    let robin = try registry.prepare(BalancerChoice("round_robin"))
    let first = try registry.prepare(BalancerChoice("pick_first"))
    #expect(child.state == .connecting && !child.isInstalled)
    did = child.install(robin, &actions)
    #expect(did)
    _ = child.handle(.resolved(Resolution([a])), &actions)
    _ = child.handle(.subchannel(one, .ready, error: nil), &actions)
    #expect(child.state == .ready && child.policy == robin)

    did = child.install(first, &actions)
    #expect(!did)
    _ = actions.drain()
    did = child.handle(.resolved(Resolution([b])), &actions)
    #expect(!did)
    #expect(child.policy == first && child.owns(one) && child.owns(two))
    #expect(actions.drain() == [.open(two, b, alone), .connect(two)])
    did = child.handle(.subchannel(two, .ready, error: nil), &actions)
    #expect(did)
    #expect(actions.drain() == [.close(one)])
    #expect(child.state == .ready && !child.owns(one))

    child.close(&actions)
    #expect(actions.drain() == [.close(two)])
    #expect(!child.isInstalled)
  }

  @Test("the same policy again, or one that takes the config, is no switch") func inPlace() throws {
    var child = ChildPolicy()
    var actions = BalancerActions()
    var did = false
    let first = try registry.prepare(BalancerChoice("pick_first"))
    let other = try registry.prepare(
      BalancerChoice("pick_first", json: Array(#"{"shuffleAddressList":true}"#.utf8)))
    _ = child.install(first, &actions)
    _ = child.handle(.resolved(Resolution([a])), &actions)
    did = child.install(first, &actions)
    #expect(!did)
    did = child.install(other, &actions)
    #expect(did)
    #expect(child.policy == other && child.owns(one))
    #expect(!actions.drain().contains(.close(one)))
  }

  @Test("a time that was asked for comes, and the policy that asked acts on it") func timer() throws
  {
    var bench = try PolicyBench(
      "around", json: #"{"childPolicy": [{"round_robin": {}}]}"#, registry: registry)
    bench.resolve(a)
    bench.advance(to: 999)
    #expect(bench.commands != [.changed(.connecting)])
    bench.advance(to: 1_000)
    #expect(bench.commands == [.changed(.connecting)])
  }

  @Test("outcomes go to the child that opened the subchannel") func outcomes() throws {
    var child = ChildPolicy()
    var actions = BalancerActions()
    var did = false
    _ = child.install(try registry.prepare(BalancerChoice("round_robin")), &actions)
    _ = child.handle(.resolved(Resolution([a])), &actions)
    let stranger = PickOutcome(
      subchannel: SubchannelID(9), token: 1, code: nil, latency: .zero)
    did = child.handle(.completed([stranger]), &actions)
    #expect(!did)
  }

  @Test("two observers of a subchannel both see its calls") func observers() throws {
    let (first, second) = (LoadCounter(), LoadCounter())
    let options = SubchannelOptions(observer: first).adding(second)
    let both = try #require(options.observer)
    both.callBegan(at: 1)
    #expect(first.callsInFlight == 1 && second.callsInFlight == 1)
    both.callEnded(ended)
    #expect(first.callsInFlight == 0 && second.callsInFlight == 0)
    #expect(SubchannelOptions().adding(first) == SubchannelOptions(observer: first))
  }
}
