// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Synchronization
import Testing
import TrunkDiscovery
import TrunkHTTP2
import TrunkSockets
import TrunkTesting

@testable import Trunkcall

@Suite("A connection for each loop that calls", .timeLimit(.minutes(2)))
struct PerLoopConnectionTests {
  /// Two loops, and a channel on them whose first connection lives on its control loop.
  private struct Bench {
    let group: EventLoopGroup
    let channel: GRPCChannel
    var controlLoop: EventLoop { channel.context.controlLoop }
    var other: EventLoop { group.loops[1 - channel.context.controlLoopIndex] }

    /// Calls one after the other from a loop.
    func calls(_ calls: Int, from loop: EventLoop) async throws {
      try await withTaskExecutorPreference(loop.tasks) {
        for _ in 0..<calls {
          let reply = try await channel.unary(method("M"), [3])
          #expect(reply == [3])
        }
      }
    }
  }

  private func quick(_ initial: Duration = .milliseconds(20)) -> ChannelOptions {
    var options = ChannelOptions()
    options.backoff.initial = initial
    options.backoff.maximum = max(initial, .milliseconds(100))
    return options
  }

  private func withBench(
    to target: String, balancer: String = "pick_first", options: ChannelOptions,
    _ body: (Bench) async throws -> Void
  ) async throws {
    let group = try EventLoopGroup(loops: 2)
    var options = options
    options.group = group
    try await withChannel(to: target, balancer: balancer, options: options) { channel in
      try await channel.ready(within: .seconds(20))
      try await body(Bench(group: group, channel: channel))
    }
    group.shutdown()
  }

  /// With a per-loop connection on the loop that is not home.
  private func withSibling(
    _ server: ScriptedServer, _ body: (Bench) async throws -> Void
  ) async throws {
    try await withBench(to: server.target, options: quick()) { bench in
      try await waitForSibling(bench)
      #expect(await server.counts.accepted == 2)
      try await body(bench)
    }
  }

  /// Calls from the other loop until it has a connection of its own. (At first it may not even know
  /// of the first one.)
  private func waitForSibling(_ bench: Bench) async throws {
    let isThere = try await holds {
      try? await bench.calls(1, from: bench.other)
      return await bench.channel.perLoopConnections(of: bench.other) == 1
    }
    #expect(isThere)
  }

  @Test("it is made by the first call from there, which does not wait for it; others make none")
  func lazy() async throws {
    let server = try await ScriptedServer()
    try await withBench(to: server.target, options: quick()) { bench in
      for _ in 0..<10 { _ = try await bench.channel.unary(method("M"), []) }
      try await bench.calls(10, from: bench.controlLoop)
      #expect(await server.counts.accepted == 1)
      try await waitForSibling(bench)
      try await bench.calls(20, from: bench.other)
      try await bench.calls(20, from: bench.controlLoop)
      let counts = await server.counts
      #expect(counts.accepted == 2 && counts.open == 2)
      #expect(bench.channel.state == .ready)
    }
    #expect(try await holds { await server.counts.open == 0 })
  }

  @Test("a handler's call stays on its loop, on each of a server's two")
  func downstream() async throws {
    let group = try EventLoopGroup(loops: 2)
    var options = ServerOptions()
    options.dispatch = .loop
    var channelOptions = ChannelOptions()
    channelOptions.group = group
    let behind = try await ScriptedServer()
    try await withChannel(to: behind.target, options: channelOptions) { channel in
      try await channel.ready(within: .seconds(20))
      let front = AdHocService(unary: [
        "Forward": { payload, _ in try await channel.unary(method("M"), payload) }
      ])
      try await withServer([front], options: options, group: group) { server, port in
        let peers = [
          try await ScriptedPeer.connect(port: port), try await ScriptedPeer.connect(port: port),
        ]
        func forward(_ calls: Range<Int>) async throws {
          for call in calls {
            for peer in peers {
              let stream = Int32(call * 2 + 1)
              try await peer.call(stream, "/t.AdHoc/Forward", messages: [[7]])
              #expect(try await peer.response(stream).messages == [[7]])
            }
          }
        }
        var next = 0
        #expect(
          try await holds {
            try? await forward(next..<next + 1)
            next += 1
            let own = await group.loops.asyncMap { await channel.perLoopConnections(of: $0) }
            return own.reduce(0, +) == 1
          })
        let before = server.statistics.loops
        try await forward(next..<next + 200)
        let after = server.statistics.loops
        #expect(zip(before, after).map { $1.callsStarted - $0.callsStarted } == [200, 200])
        #expect(after.map(\.remoteJobs) == before.map(\.remoteJobs))
        #expect(after.map(\.wakeups) == before.map(\.wakeups))
        for peer in peers { await peer.close() }
      }
    }
    #expect(await behind.counts.accepted == 2)
    group.shutdown()
  }

  @Test("`.one` keeps an endpoint to one connection")
  func one() async throws {
    let server = try await ScriptedServer()
    var options = quick()
    options.connectionsPerEndpoint = .one
    try await withBench(to: server.target, options: options) { bench in
      try await bench.calls(50, from: bench.other)
      try await bench.calls(50, from: bench.controlLoop)
      #expect(await server.counts == (accepted: 1, calls: 100, open: 1))
    }
  }

  @Test("endpoints times loops up to 64 have them, more have not", arguments: [32, 33])
  func limit(_ endpoints: Int) async throws {
    var service = AdHocService()
    service.unary["Answer"] = { payload, _ in payload }
    let server = GRPCServer(on: .tcp("0.0.0.0", 0), services: [service])
    let running = Task { try await server.run() }
    guard case .host(_, let port)? = try await server.listeningAddresses().first else { return }
    let target = "ipv4:" + (1...endpoints).map { "127.0.0.\($0):\(port)" }.joined(separator: ",")
    try await withBench(to: target, balancer: "round_robin", options: quick()) { bench in
      #expect(try await holds { server.statistics.connections == endpoints })
      // Half of them live on each loop; calls from both ask for the other half.
      func callAll() async throws {
        for loop in bench.group.loops {
          try await withTaskExecutorPreference(loop.tasks) {
            for _ in 0..<endpoints * 2 {
              _ = try await bench.channel.unary(AdHocService.method("Answer"), [1])
            }
          }
        }
      }
      if endpoints * 2 <= PerLoopConnectionRegistry.limit {
        #expect(
          try await holds {
            try? await callAll()
            return server.statistics.connections == endpoints * 2
          })
      } else {
        for _ in 0..<5 { try await callAll() }
        #expect(server.statistics.connections == endpoints)
        let own = await bench.group.loops.asyncMap {
          await bench.channel.perLoopConnections(of: $0)
        }
        #expect(own == [0, 0])
      }
    }
    server.shutDown()
    try await running.value
  }

  @Test("GOAWAY on it loses no call; after a pause there is another")
  func goAway() async throws {
    let server = try await ScriptedServer()
    try await withSibling(server) { bench in
      for round in 1...3 {
        #expect(try await holds { await server.counts.open == 2 })
        async let calls: Void = bench.calls(300, from: bench.other)
        server.goAway(connection: 1)
        try await calls
        #expect(
          try await holds {
            try? await bench.calls(1, from: bench.other)
            return await server.counts.accepted == 2 + round
          })
        try await waitForSibling(bench)
      }
      #expect(bench.channel.state == .ready)
    }
  }

  @Test("calls that a GOAWAY takes back go again by the first connection")
  func takenBack() async throws {
    let asked = Counter(0)
    let server = try await ScriptedServer(
      .init(),
      ScriptedServer.whenEnded { stream in
        if stream.path.hasSuffix("Hold") {
          guard asked.count.wrappingAdd(1, ordering: .relaxed).newValue > 1 else { return }
        }
        stream.respond()
        stream.send(stream.messages.first ?? [])
        stream.finish(["grpc-status": "0"])
      })
    try await withSibling(server) { bench in
      let channel = bench.channel
      let held = Task(executorPreference: bench.other.tasks) {
        try await channel.unary(method("Hold"), [9])
      }
      #expect(try await holds { asked.count.load(ordering: .relaxed) == 1 })
      server.goAway(refusingAfter: 0, connection: 1)
      let reply = try await held.value
      #expect(reply == [9])
      #expect(channel.state == .ready)
    }
  }

  @Test("one that breaks is no news for the channel, whose calls go on by the first")
  func breaks() async throws {
    let server = try await ScriptedServer()
    try await withSibling(server) { bench in
      server.dropConnection(1)
      #expect(try await holds { await bench.channel.perLoopConnections(of: bench.other) == 0 })
      #expect(bench.channel.state == .ready)
      try await bench.calls(20, from: bench.other)
      try await waitForSibling(bench)
    }
  }

  @Test("the first connection's end is theirs; the next one has its own", arguments: [true, false])
  func firstEnds(_ inGoodOrder: Bool) async throws {
    let server = try await ScriptedServer()
    try await withSibling(server) { bench in
      if inGoodOrder { server.goAway(connection: 0) } else { server.dropConnection(0) }
      #expect(try await holds { await server.counts.open == 0 })
      #expect(await bench.channel.perLoopConnections(of: bench.other) == 0)
      try await bench.calls(5, from: bench.other)
      try await waitForSibling(bench)
      #expect(await server.counts.accepted == 4)
    }
  }

  @Test("a call on it goes on when the first connection has ended")
  func callGoesOn() async throws {
    let server = try await ScriptedServer()
    try await withSibling(server) { bench in
      let channel = bench.channel
      try await withTaskExecutorPreference(bench.other.tasks) {
        let call = try await channel.bidirectional(method("Stream"))
        var replies = call.responses.makeAsyncIterator()
        try await call.requests.write([1])
        let first = try await replies.next()
        server.dropConnection(0)
        let isIdle = try await holds { channel.state == .idle }
        try await call.requests.write([2])
        let second = try await replies.next()
        try await call.requests.finish()
        let end = try await replies.next()
        #expect(isIdle && first == [1] && second == [2] && end == nil)
      }
    }
  }

  @Test("a server that takes no further connection is asked once in a pause, and serves")
  func refused() async throws {
    var options = ServerOptions()
    options.maxConnections = 1
    options.acceptTimeout = .zero
    let answer = AdHocService(unary: ["Answer": { payload, _ in payload }])
    try await withServer([answer], options: options) { server, port in
      var channelOptions = quick(.milliseconds(200))
      channelOptions.backoff.jitter = 0
      channelOptions.backoff.maximum = .seconds(10)
      try await withBench(to: "ipv4:127.0.0.1:\(port)", options: channelOptions) { bench in
        let start = ContinuousClock.now
        try await withTaskExecutorPreference(bench.other.tasks) {
          while ContinuousClock.now - start < .milliseconds(700) {
            _ = try await bench.channel.unary(AdHocService.method("Answer"), [1])
          }
        }
        let elapsed = ContinuousClock.now - start
        let refused = server.statistics.events[.connectionRefused] ?? 0
        // After 0, 200, 520, 1,032, ... ms.
        #expect(refused >= 1 && refused <= 2 + Int(elapsed / .milliseconds(320)))
        #expect(server.statistics.connections == 1 && bench.channel.state == .ready)
      }
    }
  }

  @Test("closing the channel closes them, and cancels their calls after the deadline")
  func closes() async throws {
    let server = try await ScriptedServer(
      .init(),
      { stream, event in
        if !stream.path.hasSuffix("Hang") { ScriptedServer.echo(stream, event) }
      })
    let group = try EventLoopGroup(loops: 2)
    var options = quick()
    options.group = group
    options.closeDeadline = .milliseconds(50)
    let channel = try GRPCChannel(to: server.target, options: options)
    try await channel.ready(within: .seconds(20))
    let bench = Bench(group: group, channel: channel)
    try await waitForSibling(bench)
    let calls = await server.counts.calls
    let hung = [bench.controlLoop, bench.other].map { loop in
      Task(executorPreference: loop.tasks) {
        await failure { _ = try await channel.unary(method("Hang"), []) }
      }
    }
    #expect(try await holds { await server.counts.calls == calls + 2 })
    await channel.close()
    for task in hung { #expect(await task.value?.code == .cancelled) }
    #expect(try await holds { await server.counts.open == 0 })
    group.shutdown()
  }

  @Test("an idle channel lets go of them as well")
  func idle() async throws {
    let server = try await ScriptedServer()
    var options = quick()
    options.idleTimeout = .milliseconds(400)
    try await withBench(to: server.target, options: options) { bench in
      try await waitForSibling(bench)
      #expect(try await holds { bench.channel.state == .idle })
      #expect(try await holds { await server.counts.open == 0 })
      try await bench.calls(3, from: bench.other)
    }
  }

  @Test("connections that were made alike and complain of pings double the time once")
  func tooManyPings() async throws {
    let server = try await ScriptedServer()
    var options = quick()
    options.keepaliveTime = .seconds(10)
    try await withBench(to: server.target, options: options) { bench in
      let context = bench.channel.context
      let time = await context.controlLoop.perform {
        for _ in 0..<2 {
          context.controller.value.handle(
            .tooManyPings("x", keepaliveTime: 10_000_000_000), from: .perLoop(1),
            of: SubchannelID(1))
        }
        return context.controller.value.connectionSettings.keepalive?.time
      }
      #expect(time == 20_000_000_000)
    }
  }
}

extension GRPCChannel {
  /// Connections of its own that a loop knows beside the first ones.
  func perLoopConnections(of loop: EventLoop) async -> Int {
    let context = context
    guard let index = context.loops.firstIndex(where: { $0 === loop }) else { return 0 }
    return await loop.perform {
      context.snapshots[index].value.snapshot.perLoopConnections.references.count
    }
  }
}
