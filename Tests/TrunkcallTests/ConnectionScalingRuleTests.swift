// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Synchronization
import Testing
import TrunkDiscovery
import TrunkHTTP2
import TrunkSockets
import TrunkWire

@testable import Trunkcall

/// Streams of a server that are open, the channel's own (`Watch`) apart.
private final class OpenStreams: Sendable {
  private struct Open {
    let id: ObjectIdentifier
    let connection: ObjectIdentifier
    let isWatch: Bool
    let stream: LoopBound<ScriptedStream>
  }
  private let state = Locked<[Open]>([])

  private func all(_ watches: Bool) -> [Open] {
    state.withLock { $0.filter { $0.isWatch == watches } }
  }
  var calls: Int { all(false).count }
  /// The connections that have a `Watch`.
  var watched: [ObjectIdentifier] { all(true).map(\.connection) }
  /// The connections of the calls, in the order they came.
  var connections: [ObjectIdentifier] { all(false).map(\.connection) }

  func script() -> ScriptedServer.Script {
    { [self] stream, event in
      switch event {
      case .opened:
        guard let session = stream.stream.session else { return }
        let isWatch = stream.path == "/grpc.health.v1.Health/Watch"
        let open = Open(
          id: ObjectIdentifier(stream), connection: ObjectIdentifier(session), isWatch: isWatch,
          stream: LoopBound(stream, on: stream.loop))
        state.withLock { $0.append(open) }
        guard isWatch else { return }
        stream.respond()
        stream.send([0x08, 1])  // SERVING
      case .closed:
        let id = ObjectIdentifier(stream)
        state.withLock { $0.removeAll { $0.id == id } }
      case .message, .ended: break
      }
    }
  }

  /// Answers the calls that are open, of all connections or of one.
  func release(_ connection: ObjectIdentifier? = nil) {
    for open in all(false) where connection == nil || open.connection == connection {
      open.stream.loop.run {
        open.stream.value.respond()
        open.stream.value.send([1])
        open.stream.value.finish(["grpc-status": "0"])
      }
    }
  }
}

@Suite("Further connections and what else a channel does", .timeLimit(.minutes(1)))
struct ConnectionScalingRuleTests {
  private func options(_ maximum: Int, _ more: String = "") throws -> ChannelOptions {
    var options = ChannelOptions()
    options.connectionsPerEndpoint = .one
    options.defaultServiceConfig = try ServiceConfig(
      json: """
        {"connectionScaling": {"maxConnectionsPerSubchannel": \(maximum)}\(more),
         "loadBalancingConfig": [{"round_robin": {}}]}
        """)
    return options
  }

  private func server(_ streams: OpenStreams, limit: UInt32) async throws -> ScriptedServer {
    var manner = ScriptedServer.Manner()
    manner.maxConcurrentStreams = limit
    return try await ScriptedServer(manner, streams.script())
  }

  private func call(_ channel: GRPCChannel) -> Task<[UInt8], any Error> {
    Task { try await channel.unary(method("M"), [7], CallOptions(timeout: .seconds(30))) }
  }

  @Test("a connection that has streams for all calls that waited is the last one made")
  func enough() async throws {
    let streams = OpenStreams()
    let server = try await server(streams, limit: 2)
    try await withChannel(to: server.target, options: try options(10)) { channel in
      try await channel.ready(within: .seconds(20))
      var calls: [Task<[UInt8], any Error>] = []
      for count in 1...3 {
        calls.append(call(channel))
        #expect(try await holds { streams.calls == count })
      }
      #expect(Set(streams.connections).count == 2)
      // A connection more would have been accepted by the time of a few calls.
      streams.release()
      for call in calls { _ = try await call.value }
      for _ in 0..<20 {
        let next = call(channel)
        #expect(try await holds { streams.calls == 1 })
        streams.release()
        _ = try await next.value
      }
      #expect(await server.counts.accepted == 2)
    }
  }

  @Test("the health check moves to the connection that becomes the oldest; the former one closes")
  func healthMoves() async throws {
    let streams = OpenStreams()
    let server = try await server(streams, limit: 2)
    let check = #", "healthCheckConfig": {"serviceName": "shop"}"#
    try await withChannel(to: server.target, options: try options(2, check)) { channel in
      try await channel.ready(within: .seconds(20))
      #expect(streams.watched.count == 1)
      let first = call(channel)
      #expect(try await holds { streams.calls == 1 })
      let second = call(channel)
      #expect(try await holds { streams.calls == 2 })
      #expect(streams.connections[0] == streams.watched[0])
      let younger = streams.connections[1]
      #expect(younger != streams.watched[0])

      server.goAway(connection: 0)
      #expect(
        try await holds { streams.watched == [younger] }, "the younger connection is asked")
      #expect(channel.state == .ready)
      streams.release()
      _ = try await first.value
      _ = try await second.value
      #expect(try await holds { await server.counts.open == 1 }, "the former one is closed")
      #expect(channel.state == .ready)
    }
  }

  @Test("calls that wait for a stream hear of a connection that joined once it is known to be full")
  func reported() async throws {
    let streams = OpenStreams()
    let server = try await server(streams, limit: 1)
    try await withChannel(to: server.target, options: try options(4)) { channel in
      try await channel.ready(within: .seconds(20))
      let calls = (1...6).map { _ in call(channel) }
      #expect(try await holds { streams.calls == 4 })
      #expect(try await holds { await channel.explain().waitingCalls == 2 })
      #expect(await server.counts.accepted == 4)
      let releasing = Task {
        while !Task.isCancelled {
          streams.release()
          try? await Task.sleep(for: .milliseconds(2))
        }
      }
      for call in calls { _ = try await call.value }
      releasing.cancel()
    }
  }

  @Test("a call that its loop's own connection handed over gets the next stream there")
  func handedBack() async throws {
    let streams = OpenStreams()
    let server = try await server(streams, limit: 2)
    let group = try EventLoopGroup(loops: 2)
    defer { group.shutdown() }
    var options = try options(2)
    options.connectionsPerEndpoint = .automatic
    options.group = group
    try await withChannel(to: server.target, options: options) { channel in
      try await channel.ready(within: .seconds(20))
      let other = group.loops[1 - channel.context.controlLoopIndex]
      func callFromOther() -> Task<[UInt8], any Error> {
        Task(executorPreference: other.tasks) {
          try await channel.unary(method("M"), [7], CallOptions(timeout: .seconds(30)))
        }
      }
      #expect(
        try await holds {
          let call = callFromOther()
          _ = try? await holds { streams.calls > 0 }
          streams.release()
          _ = try? await call.value
          return await channel.perLoopConnections(of: other) == 1
        })
      // Both connections of the group are full, and stay so.
      let lasting = (1...4).map { _ in call(channel) }
      #expect(try await holds { streams.calls == 4 })
      let shared = Set(streams.connections)
      #expect(shared.count == 2)
      let first = (1...2).map { _ in callFromOther() }
      #expect(try await holds { streams.calls == 6 })
      let own = try #require(streams.connections.last)
      #expect(!shared.contains(own))
      let handedOver = (1...3).map { _ in callFromOther() }
      #expect(try await holds { await channel.explain().waitingCalls == 3 })
      for _ in 1...10 where await channel.explain().waitingCalls > 0 {
        streams.release(own)
        try await Task.sleep(for: .milliseconds(20))
      }
      #expect(await channel.explain().waitingCalls == 0)
      let all = first + handedOver
      for _ in 1...10 where streams.connections.contains(own) {
        streams.release(own)
        try await Task.sleep(for: .milliseconds(20))
      }
      for call in all { _ = try await call.value }
      #expect(streams.calls == 4)
      streams.release()
      for call in lasting { _ = try await call.value }
    }
  }

  private static let policies = [
    "",
    #"""
    , "retryPolicy": {"maxAttempts": 4, "initialBackoff": "0.001s", "maxBackoff": "0.005s",
      "backoffMultiplier": 2, "retryableStatusCodes": ["UNAVAILABLE"]}
    """#,
    #"""
    , "hedgingPolicy": {"maxAttempts": 3, "hedgingDelay": "0.002s",
      "nonFatalStatusCodes": ["UNAVAILABLE"]}
    """#,
    #", "hedgingPolicy": {"maxAttempts": 3, "hedgingDelay": "0s"}"#,
  ]

  @Test(
    "calls that are cancelled, expired, refused or hedged while connections come and go leave nothing",
    arguments: policies)
  func storm(_ policy: String) async throws {
    var manner = ScriptedServer.Manner()
    manner.maxConcurrentStreams = 3
    // Every third call is answered late or never.
    let turn = Locked(0)
    let script: ScriptedServer.Script = { stream, event in
      guard case .ended = event else { return }
      let number = turn.withLock { turn in
        turn += 1
        return turn
      }
      func answer(_ stream: ScriptedStream) {
        guard stream.stream.isOpen else { return }
        stream.respond()
        stream.send([1])
        stream.finish(["grpc-status": "0"])
      }
      switch number % 9 {
      case 0: break
      case 3: stream.after(.milliseconds(5), on: stream.loop) { answer($0) }
      case 6: stream.reset(HTTP2ErrorCode.refusedStream)
      default: answer(stream)
      }
    }
    let servers = [
      try await ScriptedServer(manner, script), try await ScriptedServer(manner, script),
    ]
    var options = ChannelOptions()
    options.loops = 2
    options.backoff.initial = .milliseconds(5)
    options.backoff.maximum = .milliseconds(20)
    options.defaultServiceConfig = try ServiceConfig(
      json: """
        {"connectionScaling": {"maxConnectionsPerSubchannel": 3},
         "retryThrottling": {"maxTokens": 1000, "tokenRatio": 1},
         "methodConfig": [{"name": [{}]\(policy)}],
         "loadBalancingConfig": [{"recording": {}}]}
        """)
    let resolver = ManualResolver(endpoints(servers))
    var balancers = BalancerRegistry()
    balancers.register(Recording.self)
    Recording.seen.withLock { $0 = [] }
    try await withChannel(
      to: "manual:///x", resolvers: [resolver], balancers: balancers, options: options
    ) { channel in
      let leaving = Task {
        var round = 0
        while !Task.isCancelled {
          round += 1
          for server in servers { round % 3 == 0 ? server.dropConnections() : server.goAway() }
          try? await Task.sleep(for: .milliseconds(7))
        }
      }
      let ends = await withTaskGroup(of: Int.self) { group in
        for caller in 0..<30 {
          group.addTask {
            var ends = 0
            for index in 0..<20 {
              let limit = CallOptions(
                timeout: .milliseconds((caller + index) % 3 == 0 ? 3 : 100), waitForReady: true)
              let call = Task { try await channel.unary(method("M"), [1], limit) }
              if (caller + index) % 5 == 0 { call.cancel() }
              _ = await call.result
              ends += 1
            }
            return ends
          }
        }
        return await group.reduce(0, +)
      }
      leaving.cancel()
      #expect(ends == 600)
      #expect(channel.context.retryBuffer.load(ordering: .relaxed) == 0)
      await eventually("no call is in flight or waits") {
        let explanation = await channel.explain()
        return explanation.waitingCalls == 0
          && explanation.endpoints.allSatisfy { $0.calls.inFlight == 0 }
      }
      await eventually("the policy knows that none is in flight") {
        Recording.seen.withLock { $0.allSatisfy { $0.callsInFlight == 0 } }
      }
    }
  }
}

/// round_robin that keeps all its subchannels, for their counts.
private struct Recording: PickPolicy {
  static let name = "recording"
  static let seen = Locked<[ReadySubchannel]>([])
  let ready: [ReadySubchannel]
  var next = 0
  init(_ ready: [ReadySubchannel]) {
    self.ready = ready
    Recording.seen.withLock { $0 += ready }
  }
  mutating func pick(_ call: borrowing PickContext) -> ReadySubchannel {
    next += 1
    return ready[next % ready.count]
  }
}
