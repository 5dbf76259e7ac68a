// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Testing
import TrunkDiscovery
import TrunkWire

/// A ``ChannelCore``, with a record of its subchannels.
private struct ChannelBench {
  var core: ChannelCore
  var now: UInt64 = 0
  var open: [UInt64: Endpoint] = [:]
  var everOpened = 0
  var actions: [ChannelCore.Action] = []
  var picker: any Picker

  init(_ configure: (inout ChannelCore.Options) -> Void = { _ in }) {
    var options = ChannelCore.Options()
    configure(&options)
    core = ChannelCore(options, random: Seeded(3))
    picker = core.takePicker() ?? ConstantPicker(.wait)
  }

  mutating func send(_ event: ChannelCore.Event) {
    actions = core.handle(event, now: now)
    for action in actions {
      switch action {
      case .open(let id, let endpoint, _):
        everOpened += 1
        #expect(id.raw == UInt64(everOpened), "ids are unique across policies")
        open[id.raw] = endpoint
      case .update(let id, let endpoint):
        #expect(open.updateValue(endpoint, forKey: id.raw) != nil)
      case .connect(let id), .reportLoad(let id, _): #expect(open[id.raw] != nil)
      case .close(let id): #expect(open.removeValue(forKey: id.raw) != nil)
      case .resolveAgain, .changed, .configured, .wake: break
      }
    }
    if let new = core.takePicker() { picker = new }
    #expect(core.takePicker() == nil)
  }
  mutating func resolve(_ endpoints: Endpoint..., config: String? = nil) throws {
    var resolution = Resolution(endpoints)
    if let config { resolution.serviceConfig = try ServiceConfig(json: config) }
    send(.resolution(resolution))
  }
  mutating func turn(_ id: UInt64, _ state: ConnectivityState, _ error: String? = nil) {
    send(.subchannel(SubchannelID(id), state, error: error))
  }
  var pick: String {
    mutating get { picker.pick(PickContext(path: "/a/b")).text }
  }
}

private let roundRobin = #"{"loadBalancingConfig": [{"round_robin": {}}]}"#

@Suite struct ChannelCoreTests {
  @Test("calls wait until the resolver has spoken, then pick_first serves")
  func first() throws {
    var bench = ChannelBench()
    #expect(bench.core.state == .idle)
    bench.send(.exitIdle)
    #expect(bench.actions == [.changed(.connecting)])
    #expect(bench.pick == "wait")
    try bench.resolve(a, b)
    #expect(bench.open.count == 1)
    bench.turn(1, .ready)
    #expect(bench.actions == [.changed(.ready)])
    #expect(bench.pick == "use 1")
  }

  @Test("the channel's option names the policy, the service config overrules it") func option()
    throws
  {
    var bench = ChannelBench { $0.balancer = "round_robin" }
    try bench.resolve(a, b)
    #expect(bench.open.count == 2)
    var overruled = ChannelBench { $0.balancer = "round_robin" }
    try overruled.resolve(a, b, config: #"{"loadBalancingConfig": [{"pick_first": {}}]}"#)
    #expect(overruled.open.count == 1)
    var ignoring = ChannelBench { $0.usesResolverConfig = false }
    try ignoring.resolve(a, b, config: roundRobin)
    #expect(ignoring.open.count == 1)
    var defaulted = ChannelBench()
    let config = try ServiceConfig(json: roundRobin)
    defaulted = ChannelBench { $0.defaultServiceConfig = config }
    try defaulted.resolve(a, b)
    #expect(defaulted.open.count == 2)
    #expect(defaulted.actions.contains(.configured(config)))
  }

  @Test("a failed resolution fails calls only while there is nothing else") func failure() throws {
    var bench = ChannelBench()
    bench.send(.resolutionFailed(note: "agent away"))
    #expect(bench.core.state == .transientFailure)
    #expect(bench.pick == "fail unavailable agent away")
    try bench.resolve(a)
    #expect(bench.core.state == .connecting)
    bench.turn(1, .ready)
    bench.send(.resolutionFailed(note: "agent away"))
    #expect(bench.pick == "use 1")
    #expect(bench.core.resolver.outcome == .failed("agent away"))
  }

  @Test("a READY policy serves until the new one is READY; then it is closed")
  func gracefulSwitch() throws {
    var bench = ChannelBench()
    try bench.resolve(a, b)
    bench.turn(1, .ready)
    try bench.resolve(a, b, config: roundRobin)
    #expect(bench.open.count == 3)
    #expect(bench.pick == "use 1")
    bench.turn(2, .connecting)
    bench.turn(2, .transientFailure, "refused")
    #expect(bench.pick == "use 1", "the new one is still CONNECTING")
    bench.turn(3, .ready)
    #expect(bench.actions == [.close(SubchannelID(1))])
    #expect(bench.pick == "use 3")
    #expect(bench.core.state == .ready)
    bench.turn(1, .idle)
    #expect(bench.actions.isEmpty)
  }

  @Test("an old policy that is not READY gives way at once") func switchAtOnce()
    throws
  {
    var bench = ChannelBench()
    try bench.resolve(a)
    try bench.resolve(a, config: roundRobin)
    #expect(bench.actions.contains(.close(one)))
    #expect(Set(bench.open.keys) == [2])
    var losing = ChannelBench()
    try losing.resolve(a)
    losing.turn(1, .ready)
    try losing.resolve(a, config: roundRobin)
    losing.turn(1, .idle)
    #expect(losing.actions.contains(.close(one)), "the old one was lost meanwhile")
    #expect(losing.core.state == .connecting)
  }

  @Test("a change of mind drops the policy that was to come") func changeOfMind() throws {
    var bench = ChannelBench()
    try bench.resolve(a)
    bench.turn(1, .ready)
    try bench.resolve(a, config: roundRobin)
    try bench.resolve(a)
    #expect(bench.actions.contains(.close(two)))
    #expect(Set(bench.open.keys) == [1])
    #expect(bench.pick == "use 1")
  }

  @Test("another config for the same policy closes no connection") func reconfigure() throws {
    var bench = ChannelBench()
    try bench.resolve(a)
    bench.turn(1, .ready)
    try bench.resolve(
      a, config: #"{"loadBalancingConfig": [{"pick_first": {"shuffleAddressList": true}}]}"#)
    #expect(bench.everOpened == 1 && bench.open.count == 1)
    #expect(bench.pick == "use 1")
  }

  @Test("a bad config never replaces a good one; endpoints are still taken")
  func badLater() throws {
    var bench = ChannelBench()
    try bench.resolve(a, config: roundRobin)
    bench.turn(1, .ready)
    try bench.resolve(a, b, config: #"{"loadBalancingConfig": [{"nope": {}}]}"#)
    #expect(bench.pick == "use 1")
    #expect(bench.open.count == 2)
    #expect(bench.core.configError?.path == "loadBalancingConfig")
    #expect(bench.core.serviceConfig == (try ServiceConfig(json: roundRobin)))
    var resolution = Resolution([a])
    resolution.serviceConfigError = ServiceConfigError(path: "x", "bad")
    bench.send(.resolution(resolution))
    #expect(bench.open.count == 1 && bench.pick == "use 1")
  }

  @Test("a bad first config fails calls with the parse error") func badFirst() throws {
    var bench = ChannelBench()
    let bad = #"{"loadBalancingConfig": [{"x": {}}, {"pick_first": {"shuffleAddressList": 1}}]}"#
    try bench.resolve(a, config: bad)
    #expect(bench.core.state == .transientFailure)
    #expect(
      bench.pick == "fail unavailable service config: "
        + "loadBalancingConfig[1].pick_first.shuffleAddressList: true or false is needed, not 1")
    try bench.resolve(a)
    #expect(bench.core.state == .connecting && bench.core.configError == nil)
  }

  @Test("after IDLE a failed resolution fails calls, whichever config was refused before")
  func failureAfterIdle() throws {
    let bad = #"{"loadBalancingConfig": [{"nope": {}}]}"#
    for hadGoodOne in [false, true] {
      var bench = ChannelBench()
      if hadGoodOne { try bench.resolve(a, config: roundRobin) }
      try bench.resolve(a, config: bad)
      #expect(bench.core.configError != nil)
      bench.send(.enterIdle)
      bench.send(.exitIdle)
      #expect(bench.core.state == .connecting && bench.pick == "wait")
      bench.send(.resolutionFailed(note: "agent away"))
      #expect(bench.core.state == .transientFailure)
      #expect(bench.pick == "fail unavailable agent away")
    }
  }

  @Test("if the first resolution fails the application's config holds (service_config.md)")
  func defaultConfigWithoutResolution() throws {
    let own = try ServiceConfig(json: #"{"methodConfig": [{"name": [{}], "waitForReady": true}]}"#)
    var bench = ChannelBench { $0.defaultServiceConfig = own }
    bench.send(.exitIdle)
    bench.send(.resolutionFailed(note: "agent away"))
    #expect(bench.actions.contains(.configured(own)))
    #expect(bench.core.serviceConfig == own && bench.core.configOrigin == .application)
    bench.send(.resolutionFailed(note: "agent away"))
    #expect(!bench.actions.contains(.configured(own)), "once")
    try bench.resolve(a, config: roundRobin)
    #expect(bench.actions.contains(.configured(try ServiceConfig(json: roundRobin))))
    #expect(bench.core.configOrigin == .resolver)
    // Later the config that was in force stays.
    bench.send(.resolutionFailed(note: "agent away"))
    #expect(bench.core.serviceConfig == (try ServiceConfig(json: roundRobin)))
  }

  @Test("IDLE tears the policy down, the next resolution builds it again")
  func idle() throws {
    var bench = ChannelBench()
    try bench.resolve(a)
    bench.turn(1, .ready)
    bench.send(.enterIdle)
    #expect(bench.open.isEmpty && bench.core.state == .idle)
    #expect(bench.pick == "wait")
    try bench.resolve(a)
    #expect(bench.open.count == 1 && bench.everOpened == 2)
  }

  @Test("a closed channel fails every call, those that wait for ready too") func shutDown() throws {
    var bench = ChannelBench()
    try bench.resolve(a)
    bench.send(.shutDown)
    #expect(bench.open.isEmpty && bench.core.state == .shutdown)
    #expect(bench.pick == "drop the channel is closed")
    try bench.resolve(a)
    #expect(bench.actions.isEmpty)
  }

  @Test("control-plane codes never reach the application (A54)") func controlPlane() {
    let mapped = RPCError(.notFound, "no such cluster").fromControlPlane
    #expect(mapped.code == .internal)
    #expect(mapped.message == "the control plane answered notFound: no such cluster")
    let ofRequests: Set<RPCError.Code> = [
      .invalidArgument, .notFound, .alreadyExists, .failedPrecondition, .aborted, .outOfRange,
      .dataLoss,
    ]
    for code in RPCError.Code.allCases {
      let error = RPCError(code, "x")
      let shown = error.fromControlPlane
      if ofRequests.contains(code) {
        #expect(shown.code == .internal && shown.message.contains("\(code): x"))
      } else {
        #expect(shown == error)
      }
    }
  }

  @Test("whatever the resolver says: every subchannel is closed once", arguments: 0..<40)
  func property(_ seed: Int) throws {
    var random = Seeded(UInt64(seed))
    var bench = ChannelBench()
    let configs = [nil, roundRobin, #"{"loadBalancingConfig": [{"nope": {}}]}"#]
    let states: [ConnectivityState] = [.idle, .connecting, .ready, .transientFailure]
    for _ in 0..<200 {
      switch Int.random(in: 0..<8, using: &random) {
      case 0:
        var resolution = Resolution([a, b, c].filter { _ in Bool.random(using: &random) })
        let json = configs.randomElement(using: &random).flatMap { $0 }
        resolution.serviceConfig = try json.map { try ServiceConfig(json: $0) }
        bench.send(.resolution(resolution))
      case 1: bench.send(.resolutionFailed(note: "no"))
      case 2: bench.send(.exitIdle)
      case 3 where Int.random(in: 0..<10, using: &random) == 0: bench.send(.enterIdle)
      default:
        guard let id = bench.open.keys.sorted().randomElement(using: &random) else { continue }
        bench.turn(id, states.randomElement(using: &random) ?? .idle)
      }
      if case .use(let id, _) = bench.picker.pick(PickContext(path: "/", random: random.next())) {
        #expect(bench.open[id.raw] != nil, "a pick never names a closed subchannel")
        #expect(bench.core.state == .ready)
      }
    }
    bench.send(.shutDown)
    #expect(bench.open.isEmpty)
  }
}
