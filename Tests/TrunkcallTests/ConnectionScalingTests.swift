// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Logging
import Synchronization
import Testing
import TrunkDiscovery
import TrunkHTTP2
import TrunkSockets
import TrunkWire

@testable import Trunkcall

/// A server's calls, each held until the test lets it go.
final class HeldCalls: Sendable {
  private struct Held {
    let name: UInt8
    let connection: ObjectIdentifier
    let id: ObjectIdentifier
    let stream: LoopBound<ScriptedStream>
  }
  private struct State {
    var held: [Held] = []
    var arrived: [UInt8] = []
  }
  private let state = Locked(State())

  /// The names of all calls so far, in the order they came.
  var arrived: [UInt8] { state.withLock { $0.arrived } }
  /// Calls that are held, for each connection, the busiest first.
  var perConnection: [Int] {
    let held = state.withLock { $0.held }
    return Dictionary(grouping: held, by: \.connection).values.map(\.count).sorted(by: >)
  }

  func script() -> ScriptedServer.Script {
    { [self] stream, event in
      switch event {
      case .message(let message):
        guard let session = stream.stream.session else { return }
        let held = Held(
          name: message[0], connection: ObjectIdentifier(session),
          id: ObjectIdentifier(stream), stream: LoopBound(stream, on: stream.loop))
        state.withLock {
          $0.held.append(held)
          $0.arrived.append(held.name)
        }
      case .closed:
        let id = ObjectIdentifier(stream)
        state.withLock { $0.held.removeAll { $0.id == id } }
      case .opened, .ended: break
      }
    }
  }

  /// Answers the call with its own name.
  func release(_ name: UInt8) {
    let held = state.withLock { state -> Held? in
      guard let index = state.held.firstIndex(where: { $0.name == name }) else { return nil }
      return state.held.remove(at: index)
    }
    guard let held else { return }
    held.stream.loop.run {
      held.stream.value.respond()
      held.stream.value.send([name])
      held.stream.value.finish(["grpc-status": "0"])
    }
  }

  func releaseAll() { for name in state.withLock({ $0.held.map(\.name) }) { release(name) } }
}

@Suite("Further connections when streams run out (gRFC A105)", .timeLimit(.minutes(1)))
struct ConnectionScalingTests {
  private func config(_ maximum: Int, _ policy: String = "pick_first") throws -> ServiceConfig {
    try ServiceConfig(
      json: """
        {"connectionScaling": {"maxConnectionsPerSubchannel": \(maximum)},
         "loadBalancingConfig": [{"\(policy)": {}}]}
        """)
  }

  private func options(_ maximum: Int, _ policy: String = "pick_first") throws -> ChannelOptions {
    var options = ChannelOptions()
    options.connectionsPerEndpoint = .one
    options.defaultServiceConfig = try config(maximum, policy)
    return options
  }

  /// A server with two streams a connection, and a channel to it.
  private func withHeld(
    _ options: ChannelOptions,
    _ body: (GRPCChannel, ScriptedServer, HeldCalls) async throws -> Void
  ) async throws {
    let held = HeldCalls()
    var manner = ScriptedServer.Manner()
    manner.maxConcurrentStreams = 2
    let server = try await ScriptedServer(manner, held.script())
    try await withChannel(to: server.target, options: options) { channel in
      try await channel.ready(within: .seconds(20))
      try await body(channel, server, held)
    }
  }

  private func call(_ channel: GRPCChannel, _ name: UInt8) -> Task<[UInt8], any Error> {
    Task { try await channel.unary(method("M"), [name], CallOptions(timeout: .seconds(30))) }
  }

  /// Calls that wait for a stream.
  private func waiting(_ channel: GRPCChannel) async -> Int {
    await channel.explain().waitingCalls
  }

  @Test("calls go over the oldest connection with a stream, the rest waits and follows in order")
  func grows() async throws {
    try await withHeld(try options(2)) { channel, server, held in
      var calls: [Task<[UInt8], any Error>] = []
      for name in UInt8(1)...4 {
        calls.append(call(channel, name))
        #expect(try await holds { held.arrived.count == Int(name) })
      }
      #expect(held.perConnection == [2, 2])
      for name in UInt8(5)...8 {
        calls.append(call(channel, name))
        #expect(try await holds { await waiting(channel) == Int(name) - 4 })
      }
      #expect(await server.counts.accepted == 2)
      // A stream of the younger connection, then one of the older.
      for name in [3, 1, 4, 2] as [UInt8] {
        let count = held.arrived.count
        held.release(name)
        #expect(try await holds { held.arrived.count == count + 1 })
      }
      held.releaseAll()
      var replies: [[UInt8]] = []
      for call in calls { replies.append(try await call.value) }
      #expect(replies == (UInt8(1)...8).map { [$0] })
      #expect(held.arrived == Array(1...8))
      let counts = await server.counts
      #expect(counts.accepted == 2 && counts.open == 2)
      let explained = await channel.explain()
      #expect(explained.endpoints.map(\.connections) == [2])
      #expect(explained.waitingCalls == 0)
    }
  }

  @Test("without the config, or with 1, there is one connection, and calls wait for its streams")
  func one() async throws {
    for options in [try options(1), ChannelOptions()] {
      try await withHeld(options) { channel, server, held in
        let calls = (UInt8(1)...4).map { call(channel, $0) }
        #expect(try await holds { held.arrived.count == 2 })
        for _ in 1...2 {
          held.releaseAll()
          #expect(try await holds { held.arrived.count == 4 })
        }
        held.releaseAll()
        for call in calls { _ = try await call.value }
        #expect(await server.counts.accepted == 1)
      }
    }
  }

  @Test("the channel's option caps the service config's number")
  func cap() async throws {
    var options = try options(1_000)
    options.maxConnectionsPerSubchannel = 3
    try await withHeld(options) { channel, server, held in
      let calls = (UInt8(1)...10).map { call(channel, $0) }
      #expect(try await holds { held.arrived.count == 6 })
      #expect(try await holds { await waiting(channel) == 4 })
      #expect(await server.counts.accepted == 3)
      while held.arrived.count < 10 || !held.perConnection.isEmpty {
        held.releaseAll()
        try await Task.sleep(for: .milliseconds(2))
      }
      for call in calls { _ = try await call.value }
      #expect(await server.counts.accepted == 3)
    }
  }

  @Test(
    "a call that waits ends with its deadline, which says what it waited for, or its cancellation")
  func ends() async throws {
    try await withHeld(try options(2)) { channel, _, held in
      let calls = (UInt8(1)...4).map { call(channel, $0) }
      #expect(try await holds { held.arrived.count == 4 })
      let cancelled = call(channel, 5)
      #expect(try await holds { await waiting(channel) == 1 })
      let error = await failure {
        _ = try await channel.unary(method("M"), [6], CallOptions(timeout: .milliseconds(50)))
      }
      #expect(error?.code == .deadlineExceeded)
      #expect(
        error?.diagnostics.contains("waited for a stream: each of 2 connections to 127.0.0.1")
          == true)
      cancelled.cancel()
      let end = await failure { _ = try await cancelled.value }
      #expect(end?.code == .cancelled)
      #expect(await waiting(channel) == 0)
      held.releaseAll()
      for call in calls { _ = try await call.value }
      #expect(held.arrived.count == 4)
    }
  }

  @Test("no more calls wait than the channel allows")
  func full() async throws {
    var options = try options(2)
    options.maxQueuedCalls = 3
    try await withHeld(options) { channel, _, held in
      var calls = (UInt8(1)...4).map { call(channel, $0) }
      #expect(try await holds { held.arrived.count == 4 })
      calls += (UInt8(5)...7).map { call(channel, $0) }
      #expect(try await holds { await waiting(channel) == 3 })
      let error = await failure { _ = try await channel.unary(method("M"), [8]) }
      #expect(error?.code == .resourceExhausted)
      while held.arrived.count < 7 || !held.perConnection.isEmpty {
        held.releaseAll()
        try await Task.sleep(for: .milliseconds(2))
      }
      for call in calls { _ = try await call.value }
    }
  }

  @Test(
    "a connection that ends is replaced while calls wait, and the oldest of the others is the first"
  )
  func replaced() async throws {
    try await withHeld(try options(2)) { channel, server, held in
      let calls = (UInt8(1)...6).map { call(channel, $0) }
      #expect(try await holds { held.arrived.count == 4 })
      #expect(try await holds { await waiting(channel) == 2 })
      // The calls on it go on; it takes no more of them.
      server.goAway(connection: 0)
      #expect(try await holds { held.arrived.count == 6 })
      #expect(await server.counts.accepted == 3)
      #expect(channel.state == .ready)
      held.releaseAll()
      for call in calls { _ = try await call.value }
      #expect(try await holds { await server.counts.open == 2 })
      let last = call(channel, 7)
      #expect(try await holds { held.arrived.last == 7 })
      held.releaseAll()
      #expect(try await last.value == [7])
    }
  }

  @Test("when the last connection ends, calls that wait are picked again and lost to nobody")
  func pickedAgain() async throws {
    try await withHeld(try options(2)) { channel, server, held in
      let calls = (UInt8(1)...9).map { call(channel, $0) }
      let haveArrived = try await holds { held.arrived.count == 4 }
      #expect(haveArrived)
      #expect(try await holds { await waiting(channel) == 5 })
      let first = Set(held.arrived)
      server.dropConnections()
      var succeeded: Set<UInt8> = []
      let releasing = Task {
        while !Task.isCancelled {
          held.releaseAll()
          try? await Task.sleep(for: .milliseconds(2))
        }
      }
      for call in calls {
        if let reply = try? await call.value { succeeded.formUnion(reply) }
      }
      releasing.cancel()
      // The four that were with the server are lost with their connections.
      #expect(succeeded == Set(1...9).subtracting(first))
    }
  }

  @Test(
    "a config that comes while calls are under way holds for new ones; a lower one closes nothing")
  func reconfigured() async throws {
    let held = HeldCalls()
    var manner = ScriptedServer.Manner()
    manner.maxConcurrentStreams = 2
    let server = try await ScriptedServer(manner, held.script())
    let resolver = ManualResolver(endpoints([server]))
    var options = ChannelOptions()
    options.connectionsPerEndpoint = .one
    try await withChannel(to: "manual:///x", resolvers: [resolver], options: options) { channel in
      func reconfigure(_ maximum: Int) throws {
        var resolution = endpoints([server])
        resolution.serviceConfig = try config(maximum)
        resolver.report(resolution)
      }
      try await channel.ready(within: .seconds(20))
      var calls = (UInt8(1)...2).map { call(channel, $0) }
      #expect(try await holds { held.arrived.count == 2 })
      try reconfigure(3)
      #expect(
        try await holds { await channel.explain().serviceConfig?.contains("Scaling") == true })
      calls += (UInt8(3)...6).map { call(channel, $0) }
      #expect(try await holds { held.arrived.count == 6 })
      #expect(await server.counts.open == 3)
      try reconfigure(1)
      #expect(
        try await holds { await channel.explain().serviceConfig?.contains("\":1}") == true })
      calls.append(call(channel, 7))
      #expect(try await holds { await waiting(channel) == 1 })
      held.release(6)
      #expect(try await holds { held.arrived.last == 7 })
      held.releaseAll()
      for call in calls { _ = try await call.value }
      #expect(await server.counts.open == 3)
    }
  }

  @Test("a loop's own connection hands the calls over that it has no stream for")
  func perLoop() async throws {
    let group = try EventLoopGroup(loops: 2)
    let held = HeldCalls()
    var manner = ScriptedServer.Manner()
    manner.maxConcurrentStreams = 2
    let server = try await ScriptedServer(manner, held.script())
    var options = try options(2)
    options.connectionsPerEndpoint = .automatic
    options.group = group
    try await withChannel(to: server.target, options: options) { channel in
      try await channel.ready(within: .seconds(20))
      let other = group.loops[1 - channel.context.controlLoopIndex]
      // The first calls from there may find the loop without a reference.
      #expect(
        try await holds {
          let call = Task(executorPreference: other.tasks) {
            try await channel.unary(method("M"), [100])
          }
          _ = try? await holds { !held.perConnection.isEmpty }
          held.releaseAll()
          _ = try? await call.value
          return await channel.perLoopConnections(of: other) == 1
        })
      let before = held.arrived.count
      let calls = (UInt8(1)...8).map { name in
        Task(executorPreference: other.tasks) {
          try await channel.unary(method("M"), [name], CallOptions(timeout: .seconds(30)))
        }
      }
      // Two on each of three connections.
      #expect(try await holds { held.arrived.count == before + 6 })
      #expect(held.perConnection == [2, 2, 2])
      while held.arrived.count < before + 8 || !held.perConnection.isEmpty {
        held.releaseAll()
        try await Task.sleep(for: .milliseconds(2))
      }
      for call in calls { _ = try await call.value }
      #expect(await server.counts.accepted == 3)
    }
    group.shutdown()
  }

  @Test(
    "under load, with connections that go away all the time, each call ends once and right",
    arguments: ["pick_first", "round_robin", "least_request_experimental", "peak_ewma"])
  func storm(_ policy: String) async throws {
    var manner = ScriptedServer.Manner()
    manner.maxConcurrentStreams = 3
    let servers = [try await ScriptedServer(manner), try await ScriptedServer(manner)]
    var options = try options(4, policy)
    // A call that two connections in turn refused is sent again by this policy alone (gRFC A6).
    try options.defaultServiceConfig?.set(
      MethodConfig(
        retryPolicy: RetryPolicy(
          maxAttempts: 5, initialBackoff: .milliseconds(1), maxBackoff: .milliseconds(10),
          backoffMultiplier: 2, retryableStatusCodes: [.unavailable])))
    options.backoff.initial = .milliseconds(5)
    options.backoff.maximum = .milliseconds(20)
    let resolver = ManualResolver(endpoints(servers))
    try await withChannel(to: "manual:///x", resolvers: [resolver], options: options) { channel in
      let answered = Counter(0)
      let leaving = Task {
        while !Task.isCancelled {
          for server in servers { server.goAway() }
          // By calls, not by time: a call that is refused again and again fails at last.
          let before = answered.count.load(ordering: .relaxed)
          while !Task.isCancelled, answered.count.load(ordering: .relaxed) < before + 40 {
            try? await Task.sleep(for: .milliseconds(1))
          }
        }
      }
      try await withThrowingTaskGroup(of: Void.self) { group in
        for caller in UInt8(0)..<50 {
          group.addTask {
            for index in UInt8(0)..<20 {
              let reply = try await channel.unary(
                method("M"), [caller, index], CallOptions(timeout: .seconds(30), waitForReady: true)
              )
              #expect(reply == [caller, index])
              answered.count.add(1, ordering: .relaxed)
            }
          }
        }
        try await group.waitForAll()
      }
      leaving.cancel()
      #expect(await waiting(channel) == 0)
    }
  }
}
