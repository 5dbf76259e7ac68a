// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Testing
import TrunkDiscovery
import TrunkWire

/// A channel's core whose subchannels connect when the test says so.
private struct Bench {
  var core: ChannelCore
  var now: UInt64 = 0
  var ports: [UInt64: UInt16] = [:]
  var closed: [UInt16] = []
  var picker: any Picker = ConstantPicker(.wait)

  init(_ balancer: String = "round_robin") {
    var options = ChannelCore.Options()
    options.balancer = balancer
    core = ChannelCore(options, random: Seeded(3))
  }

  mutating func send(_ event: ChannelCore.Event) {
    for action in core.handle(event, now: now) {
      switch action {
      case .open(let id, let endpoint, _):
        if case .host(_, let port)? = endpoint.addresses.first { ports[id.raw] = port }
      case .close(let id): if let port = ports.removeValue(forKey: id.raw) { closed.append(port) }
      default: break
      }
    }
    if let new = core.takePicker() { picker = new }
  }
  mutating func resolve(
    _ groups: EndpointGroups?, _ endpoints: (path: String, port: UInt16)...,
    config: String? = nil
  ) throws {
    var resolution = Resolution(
      endpoints.map { path, port in
        var endpoint = Endpoint([.host("h", port)])
        endpoint.childPath = path.split(separator: "/").map(String.init)
        return endpoint
      }, note: "the note")
    resolution.groups = groups
    if let config { resolution.serviceConfig = try ServiceConfig(json: config) }
    send(.resolution(resolution))
  }
  mutating func turn(_ port: UInt16, _ state: ConnectivityState) {
    for id in ports.keys.sorted() where ports[id] == port {
      send(.subchannel(SubchannelID(id), state, error: state == .ready ? nil : "refused"))
    }
  }
  /// The ports that 1,000 picks go to, with the number of picks.
  var picks: [UInt16: Int] {
    mutating get {
      var counts: [UInt16: Int] = [:]
      var random = Seeded(5)
      for _ in 0..<1_000 {
        guard case .use(let id, _) = picker.pick(PickContext(path: "/a/b", random: random.next()))
        else { continue }
        counts[ports[id.raw] ?? 0, default: 0] += 1
      }
      return counts
    }
  }
}

@Suite("Groups of endpoints") struct EndpointGroupsTests {
  private let priorities = EndpointGroups.priorities([EndpointGroup("a"), EndpointGroup("b")])

  @Test("the channel's policy chooses within the first group that can be used") func priority()
    throws
  {
    var bench = Bench()
    try bench.resolve(priorities, ("a", 1), ("a", 2), ("b", 3))
    bench.turn(1, .ready)
    bench.turn(2, .ready)
    #expect(bench.picks == [1: 500, 2: 500])
    #expect(bench.ports.values.sorted() == [1, 2], "the second one is not connected to")
    bench.turn(1, .transientFailure)
    bench.turn(2, .transientFailure)
    #expect(bench.ports.values.sorted() == [1, 2, 3])
    bench.turn(3, .ready)
    #expect(bench.picks == [3: 1_000])
    bench.turn(2, .ready)
    #expect(bench.picks == [2: 1_000], "and back")
  }

  @Test("a group that becomes empty gives way at once, and nothing that is listed is closed")
  func lastResort() throws {
    let one = EndpointGroups.priorities([EndpointGroup("a")])
    var bench = Bench()
    try bench.resolve(one, ("a", 1), ("a", 2))
    bench.turn(1, .ready)
    bench.turn(2, .ready)
    try bench.resolve(priorities, ("a", 1), ("b", 2))
    #expect(bench.closed == [2])
    #expect(bench.picks == [1: 1_000])
    try bench.resolve(priorities, ("b", 1), ("b", 2))
    bench.turn(1, .ready)
    #expect(bench.picks == [1: 1_000])
    try bench.resolve(one)
    #expect(bench.picks == [:])
    guard case .fail(let error) = bench.picker.pick(PickContext(path: "/a/b")) else {
      Issue.record("no failure")
      return
    }
    #expect(error.message == "the note")
  }

  @Test("weighted groups share the calls, groups inside of groups as well") func weighted() throws {
    let groups = EndpointGroups.weighted([
      EndpointGroup("v1", weight: 90, groups: priorities), EndpointGroup("v2", weight: 10),
    ])
    var bench = Bench()
    try bench.resolve(groups, ("v1/a", 1), ("v1/b", 2), ("v2", 3))
    bench.turn(1, .ready)
    bench.turn(3, .ready)
    let picks = bench.picks
    #expect(Set(picks.keys) == [1, 3])
    #expect((60...140).contains(picks[3] ?? 0), "\(picks)")
  }

  @Test("a config that changes reaches every group; its errors name its own places") func config()
    throws
  {
    var bench = Bench("pick_first")
    try bench.resolve(priorities, ("a", 1), ("a", 2))
    #expect(bench.ports.count == 1)
    try bench.resolve(
      priorities, ("a", 1), ("a", 2), config: #"{"loadBalancingConfig": [{"round_robin": {}}]}"#)
    bench.turn(1, .ready)
    bench.turn(2, .ready)
    #expect(bench.picks == [1: 500, 2: 500])
    try bench.resolve(
      priorities, ("a", 1),
      config: #"{"loadBalancingConfig": [{"ring_hash_experimental": {"minRingSize": -1}}]}"#)
    #expect(
      bench.core.configError?.path.hasPrefix("loadBalancingConfig[0].ring_hash_experimental")
        == true, "\(String(describing: bench.core.configError))")
    #expect(bench.picks == [1: 1_000], "a bad config leaves the good one, with the new endpoints")
  }

  @Test("groups change also while the config is a bad one") func badConfig() throws {
    let one = EndpointGroups.priorities([EndpointGroup("a")])
    let bad = #"{"loadBalancingConfig": [{"no_such_policy": {}}]}"#
    var bench = Bench()
    try bench.resolve(one, ("a", 1), ("a", 2))
    try bench.resolve(priorities, ("b", 1), ("b", 2), config: bad)
    #expect(bench.core.configError != nil)
    bench.turn(2, .ready)
    #expect(bench.picks == [2: 1_000])
  }

  @Test("a single group is not shown by explain()") func explained() throws {
    var bench = Bench()
    try bench.resolve(.priorities([EndpointGroup("a")]), ("a", 1))
    #expect(bench.core.explainPolicy(now: 0)?.name == "round_robin")
    try bench.resolve(priorities, ("b", 1))
    #expect(bench.core.explainPolicy(now: 0)?.name == "priority_experimental")
  }
}
