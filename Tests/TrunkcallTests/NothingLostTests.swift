// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Synchronization
import Testing
import TrunkDiscovery
import TrunkSockets
import TrunkTesting
import TrunkWire

@testable import Trunkcall

/// A call that never left the client fails only by its deadline, or where wait-for-ready.md says so.
@Suite("Calls while servers and results come and go", .timeLimit(.minutes(1)))
struct NothingLostTests {
  private static let policies = [
    "pick_first", "round_robin", "least_request_experimental", "weighted_round_robin", "peak_ewma",
    "ring_hash_experimental",
  ]

  private func resolution(
    _ servers: [ScriptedServer], _ policy: String? = nil, note: String? = nil
  ) throws -> Resolution {
    var resolution = endpoints(servers)
    resolution.note = note
    resolution.serviceConfig = try policy.map {
      try ServiceConfig(json: #"{"loadBalancingConfig": [{"\#($0)": {}}]}"#)
    }
    return resolution
  }

  private static let retry = #"""
    {"methodConfig": [{"name": [{}], "retryPolicy": {"maxAttempts": 5, "initialBackoff": "0.001s",
      "maxBackoff": "0.01s", "backoffMultiplier": 2, "retryableStatusCodes": ["UNAVAILABLE"]}}]}
    """#

  private func quick() -> ChannelOptions {
    var options = ChannelOptions()
    options.backoff.initial = .milliseconds(5)
    options.backoff.maximum = .milliseconds(20)
    return options
  }

  /// Starts so many calls; each one's value is its error, after a check of the reply.
  private func calls(
    _ count: Int, _ channel: GRPCChannel, waitForReady: Bool? = nil
  ) -> [Task<RPCError?, Never>] {
    (0..<count).map { number in
      Task {
        await failure {
          let byte = UInt8(number % 256)
          let reply = try await channel.unary(
            method("M"), [byte], CallOptions(timeout: .seconds(30), waitForReady: waitForReady))
          if reply != [byte] { throw RPCError(.dataLoss, "another call's reply") }
        }
      }
    }
  }

  private func codes(_ calls: [Task<RPCError?, Never>]) async -> [RPCError.Code?: Int] {
    var codes: [RPCError.Code?: Int] = [:]
    for call in calls { codes[await call.value?.code, default: 0] += 1 }
    return codes
  }

  enum Bad: String, Sendable, CaseIterable { case emptyList, error }

  private func report(_ bad: Bad, _ resolver: TrunkTesting.ManualResolver) {
    switch bad {
    case .emptyList: resolver.report(Resolution([], note: "nobody there"))
    case .error: resolver.fail("nobody there")
    }
  }

  @Test(
    "no server at first: calls that wait for ready are served by the next list, others told why",
    arguments: Bad.allCases, policies)
  func first(_ bad: Bad, _ policy: String) async throws {
    let server = try await ScriptedServer()
    let resolver = TrunkTesting.ManualResolver()
    try await withChannel(
      to: "manual:///x", resolvers: [resolver], balancer: policy, options: quick()
    ) { channel in
      let patient = calls(50, channel, waitForReady: true)
      let others = calls(50, channel)
      await eventually("all wait for the resolver") {
        await channel.explain().waitingCalls == 100 && resolver.activeRuns == 1
      }
      report(bad, resolver)
      for call in others {
        let error = await call.value
        #expect(error?.code == .unavailable)
        #expect(error?.diagnostics.contains("nobody there") == true)
      }
      #expect(await channel.explain().waitingCalls == 50)
      resolver.report(try resolution([server]))
      #expect(await codes(patient) == [nil: 50])
      #expect(await codes(calls(50, channel)) == [nil: 50])
      #expect(await server.counts.calls == 100)
    }
  }

  @Test(
    "servers that go and come again: calls that wait for ready lose nothing", arguments: policies)
  func goneAndBack(_ policy: String) async throws {
    let servers = [try await ScriptedServer(), try await ScriptedServer()]
    let resolver = TrunkTesting.ManualResolver(try resolution(servers))
    try await withChannel(
      to: "manual:///x", resolvers: [resolver], balancer: policy, options: quick()
    ) { channel in
      for round in 0..<5 {
        #expect(await codes(calls(20, channel)) == [nil: 20])
        report(.emptyList, resolver)
        await eventually("nobody is there") { channel.state == .transientFailure }
        let patient = calls(20, channel, waitForReady: true)
        let others = calls(20, channel)
        #expect(await codes(others) == [.unavailable: 20])
        resolver.report(try resolution([servers[round % 2]]))
        #expect(await codes(patient) == [nil: 20])
      }
    }
  }

  @Test("an error after a good answer costs no call, nor does the resolver's next run")
  func errorAfterAnswer() async throws {
    let server = try await ScriptedServer()
    let resolver = TrunkTesting.ManualResolver(try resolution([server]))
    try await withChannel(to: "manual:///x", resolvers: [resolver], options: quick()) { channel in
      #expect(await codes(calls(20, channel)) == [nil: 20])
      for _ in 0..<3 {
        let runs = resolver.runs
        resolver.fail("the registry is away")
        await eventually("it is called again, and fails") { resolver.runs > runs + 1 }
        #expect(await channel.explain().resolver.contains("the registry is away"))
        #expect(await codes(calls(20, channel)) == [nil: 20])
        resolver.report(try resolution([server]))
      }
      #expect(await server.counts.accepted == 1, "the connection is kept")
    }
  }

  @Test(
    "calls that wait for a connection are served by the next list, or policy, or both",
    arguments: policies, [true, false])
  func waitingForConnection(_ policy: String, isSameServer: Bool) async throws {
    // A call of ring_hash has its server, and waits for that (gRFC A42).
    if policy == "ring_hash_experimental", isSameServer { return }
    // Accepts connections and stays silent, as a server whose process hangs.
    let mute = try await ScriptedServer(.init(isMute: true))
    let server = try await ScriptedServer()
    let resolver = TrunkTesting.ManualResolver(try resolution([mute], policy))
    try await withChannel(to: "manual:///x", resolvers: [resolver], options: quick()) { channel in
      let waiting = calls(50, channel) + calls(50, channel, waitForReady: true)
      await eventually("all wait") { await channel.explain().waitingCalls == 100 }
      let next = policy == "round_robin" ? "pick_first" : "round_robin"
      resolver.report(try resolution([mute], next))
      await eventually("the next policy is there") {
        await channel.explain().policy?.name == next
      }
      #expect(await channel.explain().waitingCalls == 100)
      resolver.report(try resolution(isSameServer ? [mute, server] : [server], policy))
      #expect(await codes(waiting) == [nil: 100])
      #expect(await server.counts.calls == 100)
    }
  }

  @Test(
    "GOAWAY again and again: no call is executed twice; refused again it is UNAVAILABLE, or retried",
    arguments: policies, [false, true])
  func goAway(_ policy: String, isRetried: Bool) async throws {
    let executed = Counter(0)
    var servers: [ScriptedServer] = []
    for _ in 0..<3 {
      servers.append(
        try await ScriptedServer { stream, event in
          guard case .ended = event else { return }
          executed.count.wrappingAdd(1, ordering: .relaxed)
          stream.respond()
          stream.send(stream.messages.first ?? [])
          stream.finish(["grpc-status": "0"])
        })
    }
    let targets = servers
    let resolver = TrunkTesting.ManualResolver(try resolution(targets))
    var options = quick()
    options.loops = 2
    options.defaultServiceConfig = try isRetried ? ServiceConfig(json: NothingLostTests.retry) : nil
    try await withChannel(
      to: "manual:///x", resolvers: [resolver], balancer: policy, options: options
    ) { channel in
      let made = Counter(0)
      let ends = await withTaskGroup(of: [RPCError?].self) { group in
        for _ in 0..<8 {
          group.addTask {
            var ends: [RPCError?] = []
            for _ in 0..<50 {
              let number = made.count.wrappingAdd(1, ordering: .relaxed).oldValue
              // At every moment of the other callers' calls.
              if number % 7 == 0 { targets[number % 3].goAway() }
              ends.append(
                await failure {
                  let reply = try await channel.unary(
                    method("M"), [UInt8(number % 256)],
                    CallOptions(timeout: .seconds(30), waitForReady: number % 2 == 0))
                  if reply != [UInt8(number % 256)] { throw RPCError(.dataLoss, "another reply") }
                })
            }
            return ends
          }
        }
        return await group.reduce(into: []) { $0 += $1 }
      }
      let failed = ends.compactMap { $0 }
      // Sent twice, and refused by two servers: one transparent retry is all there is (gRFC A6).
      #expect(
        failed.allSatisfy { $0.message.hasSuffix("refused the call") && !isRetried }, "\(failed)")
      #expect(ends.count == 400)
      #expect(executed.count.load(ordering: .relaxed) == 400 - failed.count)
    }
  }

  @Test("a call that never leaves the client is picked again without limit, until its deadline")
  func neverSent() async throws {
    // Takes no stream: calls wait on its connections, which end again and again.
    let closed = try await ScriptedServer(.init(maxConcurrentStreams: 0))
    let server = try await ScriptedServer()
    let resolver = TrunkTesting.ManualResolver(try resolution([closed]))
    try await withChannel(to: "manual:///x", resolvers: [resolver], options: quick()) { channel in
      let patient = calls(20, channel, waitForReady: true)
      let late = Task {
        await failure {
          _ = try await channel.unary(
            method("M"), [7], CallOptions(timeout: .milliseconds(300), waitForReady: true))
        }
      }
      for round in 1...8 {
        await eventually("connection \(round)") { await closed.counts.accepted >= round }
        closed.dropConnections()
      }
      #expect(await late.value?.code == .deadlineExceeded)
      resolver.report(try resolution([server]))
      #expect(await codes(patient) == [nil: 20])
      #expect(await server.counts.calls == 20)
      #expect(await closed.counts.calls == 0)
    }
  }

  @Test("calls that wait for a stream go on while their channel closes, as calls under way do")
  func closing() async throws {
    // One at a time, each when the test says so.
    let held = Held()
    let server = try await ScriptedServer(.init(maxConcurrentStreams: 1)) { stream, event in
      if case .ended = event { held.add(stream) }
    }
    try await withChannel(to: server.target) { channel in
      try await channel.ready(within: .seconds(5))
      let calls = calls(3, channel)
      await eventually("one is under way, the others wait") {
        await channel.explain().endpoints.first?.calls.inFlight == 3
      }
      async let closed: Void = channel.close()
      await eventually("closing") { channel.state == .shutdown }
      for done in 1...3 {
        await eventually("call \(done)") { held.count == done }
        held.answer()
      }
      #expect(await codes(calls) == [nil: 3])
      await closed
    }
  }

  @Test("the application's config holds while the resolver has not answered: calls wait, or retry")
  func defaultConfig() async throws {
    let server = try await ScriptedServer()
    let resolver = TrunkTesting.ManualResolver()
    resolver.fail("the registry is away")
    var options = quick()
    options.defaultServiceConfig = try ServiceConfig(
      json: #"{"methodConfig": [{"name": [{}], "waitForReady": true}]}"#)
    try await withChannel(to: "manual:///x", resolvers: [resolver], options: options) { channel in
      let early = calls(20, channel)
      await eventually("resolution fails") { channel.state == .transientFailure }
      let patient = calls(20, channel)
      await eventually("all wait") { await channel.explain().waitingCalls == 40 }
      resolver.report(try resolution([server]))
      #expect(await codes(early + patient) == [nil: 40])
    }
  }

  @Test("an idle channel has no policy and no resolver; connect() and calls wake it")
  func idle() async throws {
    let server = try await ScriptedServer()
    let resolver = TrunkTesting.ManualResolver(try resolution([server]))
    #expect(ChannelOptions().idleTimeout == .seconds(30 * 60))
    var options = quick()
    options.idleTimeout = .milliseconds(100)
    try await withChannel(to: "manual:///x", resolvers: [resolver], options: options) { channel in
      let stream = try await channel.bidirectional(method("M"))
      try await stream.requests.write([1])
      let first = try await stream.responses.next()
      #expect(first == [1])
      // Four times as long.
      try await Task.sleep(for: .milliseconds(400))
      #expect(channel.state == .ready, "a call is under way, if silent")
      try await stream.requests.finish()
      let end = try await stream.responses.next()
      #expect(end == nil)
      await eventually("idle") { channel.state == .idle }
      await eventually("no resolver") { resolver.activeRuns == 0 }
      for round in 2...3 {
        if round == 2 { channel.connect() } else { _ = try await channel.unary(method("M"), [1]) }
        await eventually("it was connected") { await server.counts.accepted == round }
        await eventually("idle") { channel.state == .idle }
        await eventually("no connection") { await server.counts.open == 0 }
        await eventually("no resolver") { resolver.activeRuns == 0 }
        let explanation = await channel.explain()
        #expect(explanation.policy == nil && explanation.endpoints.isEmpty)
        #expect(resolver.runs == round)
      }
    }
  }
}

/// Streams that are answered when the test says so.
private final class Held: Sendable {
  /// Touched on its loop.
  private struct Bound: @unchecked Sendable { let stream: ScriptedStream }
  private let streams = Locked<[(loop: EventLoop, stream: Bound)]>([])

  var count: Int { streams.withLock { $0.count } }
  func add(_ stream: ScriptedStream) {
    streams.withLock { $0.append((stream.loop, Bound(stream: stream))) }
  }
  /// The last one, with its own message.
  func answer() {
    guard let (loop, last) = streams.withLock({ $0.last }) else { return }
    loop.run {
      last.stream.respond()
      last.stream.send(last.stream.messages.first ?? [])
      last.stream.finish(["grpc-status": "0"])
    }
  }
}
