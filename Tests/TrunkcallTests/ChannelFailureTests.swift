// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Synchronization
import Testing
import TrunkDiscovery
import TrunkHTTP2
import TrunkSockets
import TrunkWire

@testable import Trunkcall

@Suite(.timeLimit(.minutes(1))) struct ChannelFailureTests {
  @Test("REFUSED_STREAM: exactly one transparent retry", arguments: [1, 2])
  func refused(times: Int) async throws {
    let left = Counter(times)
    let server = try await ScriptedServer { stream, event in
      switch event {
      case .opened:
        if left.count.wrappingSubtract(1, ordering: .relaxed).oldValue > 0 {
          stream.reset(HTTP2ErrorCode.refusedStream)
        } else {
          stream.respond()
        }
      case .message(let message): stream.send(message)
      case .ended: stream.finish(["grpc-status": "0"])
      case .closed: break
      }
    }
    try await withChannel(to: server.target) { channel in
      for shape in 0..<2 {
        left.count.store(times, ordering: .relaxed)
        let calls = await server.counts.calls
        let error = await failure {
          if shape == 0 {
            let reply = try await channel.unary(method("M"), [7])
            #expect(reply == [7])
          } else {
            let call = try await channel.clientStreaming(method("M"))
            try await call.requests.write([8])
            let reply = try await call.response()
            #expect(reply == [8])
          }
        }
        #expect(error?.code == (times == 1 ? nil : .unavailable))
        let made = await server.counts.calls - calls
        #expect(made == 2)
      }
    }
  }

  @Test("a call that was never sent is picked again without limit")
  func neverSent() async throws {
    // The server takes one call at a time, and hangs up on it: what waited behind was never sent.
    let server = try await ScriptedServer(.init(maxConcurrentStreams: 1)) { stream, event in
      guard case .ended = event else { return }
      stream.respond()
      stream.send(stream.messages[0])
      stream.finish(["grpc-status": "0"])
    }
    try await withChannel(to: server.target) { channel in
      try await channel.ready(within: .seconds(5))
      let hold = try await channel.bidirectional(method("hold"))
      await eventually("held") { await server.counts.calls == 1 }
      async let waiting = channel.unary(method("M"), [5])
      // Nobody sees that it waits behind the other one; were it late, it would be a new call.
      try await Task.sleep(for: .milliseconds(50))
      server.dropConnections()
      let reply = try await waiting
      #expect(reply == [5])
      let lost = await failure { for try await _ in hold.responses {} }
      #expect(lost?.code == .unavailable)
    }
  }

  @Test("GOAWAY: the call under way finishes, new ones go to a new connection, none fails")
  func goAway() async throws {
    let server = try await ScriptedServer()
    try await withChannel(to: server.target) { channel in
      let chat = try await channel.bidirectional(method("M"))
      var replies = chat.responses.makeAsyncIterator()
      try await chat.requests.write([1])
      _ = try await replies.next()
      server.goAway()
      for i in 0..<50 {
        let reply = try await channel.unary(method("M"), [UInt8(i)])
        #expect(reply == [UInt8(i)])
      }
      try await chat.requests.write([2])
      let second = try await replies.next()
      #expect(second == [2])
      try await chat.requests.finish()
      let end = try await replies.next()
      #expect(end == nil)
      await eventually("the old connection is closed") { await server.counts.open == 1 }
      #expect(await server.counts.accepted == 2)
    }
  }

  @Test("a broken connection is UNAVAILABLE with its error, for calls that were sent")
  func connectionLost() async throws {
    let server = try await ScriptedServer { _, _ in }
    try await withChannel(to: server.target) { channel in
      async let error = failure { _ = try await channel.unary(method("M"), []) }
      await eventually("sent") { await server.counts.calls == 1 }
      server.dropConnections()
      let lost = await error
      #expect(lost?.code == .unavailable && lost?.origin == .local)
      #expect(lost?.message.contains("127.0.0.1:\(server.port)") == true)
    }
  }

  @Test("a deadline resets the stream with CANCEL; a CANCELLED after it is DEADLINE_EXCEEDED")
  func deadline() async throws {
    let reasons = Locked<[StreamCloseReason]>([])
    let server = try await ScriptedServer { stream, event in
      if case .closed(let reason) = event { reasons.withLock { $0.append(reason) } }
    }
    try await withChannel(to: server.target) { channel in
      try await channel.ready(within: .seconds(5))
      let clock = ContinuousClock()
      let start = clock.now
      let error = await failure {
        _ = try await channel.unary(method("M"), [], CallOptions(timeout: .milliseconds(100)))
      }
      #expect(error?.code == .deadlineExceeded)
      #expect(clock.now - start >= .milliseconds(100))
      await eventually("reset") { reasons.withLock { $0.count } == 1 }
      let gone = await failure {
        _ = try await channel.unary(method("M"), [], CallOptions(timeout: .zero))
      }
      #expect(gone?.code == .deadlineExceeded)
    }
    let seen = reasons.withLock { $0 }
    #expect(seen == [.code(HTTP2ErrorCode.cancel)])
    #expect(await server.counts.calls == 1)
  }

  @Test("a frozen server is asked once and given up within a second; the others serve on")
  func frozen() async throws {
    let servers = [
      try await ScriptedServer(.init(), ScriptedServer.named("a")),
      try await ScriptedServer(.init(), ScriptedServer.named("b")),
    ]
    var options = ChannelOptions()
    options.livenessTimeout = .milliseconds(200)
    let resolver = ManualResolver(endpoints(servers))
    try await withChannel(
      to: "manual:///x", resolvers: [resolver], balancer: "round_robin", options: options
    ) { channel in
      let short = CallOptions(timeout: .milliseconds(200))
      await eventually("both serve") {
        var seen: Set<String> = []
        for _ in 0..<4 { seen.insert((try? await channel.unary(method("M"), [])).map(text) ?? "") }
        return seen == ["a", "b"]
      }
      servers[0].freeze()
      var failures = 0
      for _ in 0..<6 {
        if await failure({ _ = try await channel.unary(method("M"), [], short) }) != nil {
          failures += 1
        }
      }
      #expect(failures >= 1 && failures <= 3)
      for _ in 0..<50 {
        let reply = try await channel.unary(method("M"), [], CallOptions(timeout: .seconds(10)))
        #expect(text(reply) == "b")
      }
      servers[0].thaw()
      await eventually("a is back") {
        (try? await channel.unary(method("M"), [], short)).map(text) == "a"
      }
    }
  }

  @Test("a server that answers its PING is kept, however slow its calls are")
  func slowButAlive() async throws {
    let server = try await ScriptedServer { _, _ in }
    var options = ChannelOptions()
    options.livenessTimeout = .seconds(1)
    try await withChannel(to: server.target, options: options) { channel in
      try await channel.ready(within: .seconds(5))
      try await Task.sleep(for: .milliseconds(20))
      // On a busy machine a call may expire before it is on the connection: then nobody is asked.
      await eventually("the server is asked") {
        _ = await failure {
          _ = try await channel.unary(method("M"), [], CallOptions(timeout: .milliseconds(50)))
        }
        return await server.pings > 0
      }
      // Longer than the time for the answer: the connection has to stay.
      try await Task.sleep(for: .milliseconds(1_200))
      #expect(channel.state == .ready)
    }
    #expect(await server.counts.accepted == 1)
    #expect(await server.pings == 1)
  }

  @Test("a server that accepts and never speaks HTTP/2 is a failed attempt, with a reason")
  func mute() async throws {
    let server = try await ScriptedServer(.init(isMute: true))
    var options = ChannelOptions()
    options.connectTimeout = .milliseconds(100)
    let channel = try GRPCChannel(to: server.target, options: options)
    let error = await failure { _ = try await channel.unary(method("M"), []) }
    #expect(error?.code == .unavailable)
    #expect(error?.diagnostics.contains("no HTTP/2 SETTINGS came in time") == true)
    await channel.close()
  }

  @Test("a call that expires while its server is silent says how far the connection has come")
  func silent() async throws {
    let server = try await ScriptedServer(.init(isMute: true))
    let channel = try GRPCChannel(to: server.target)
    let error = await failure {
      _ = try await channel.unary(method("M"), [], CallOptions(timeout: .milliseconds(300)))
    }
    #expect(error?.code == .deadlineExceeded)
    let lines = (error?.diagnostics ?? "").split(separator: "\n").filter {
      $0.hasPrefix("connecting")
    }
    #expect(lines.count == 1, "\(error?.diagnostics ?? "")")
    #expect(lines.first?.hasPrefix("connecting 127.0.0.1:") == true)
    #expect(lines.first?.hasSuffix(" s ago, waiting for the server's SETTINGS") == true)
    await channel.close()
  }

  @Test("close lets calls finish, then cuts them off; new ones fail at once")
  func close() async throws {
    let server = try await ScriptedServer { stream, event in
      guard case .ended = event, stream.path.hasSuffix("slow") else { return }
      stream.after(.milliseconds(100), on: stream.loop) { stream in
        stream.respond()
        stream.send([4])
        stream.finish(["grpc-status": "0"])
      }
    }
    var options = ChannelOptions()
    options.closeDeadline = .milliseconds(400)
    let channel = try GRPCChannel(to: server.target, options: options)
    try await channel.ready(within: .seconds(5))
    async let slow = channel.unary(method("slow"), [])
    async let endless = failure { _ = try await channel.unary(method("endless"), []) }
    await eventually("both run") { await server.counts.calls == 2 }
    async let closed: Void = channel.close()
    await eventually("closing") { channel.state == .shutdown }
    let new = await failure { _ = try await channel.unary(method("M"), []) }
    #expect(new?.code == .unavailable)
    #expect(new?.message == "the channel is closed")
    let reply = try await slow
    #expect(reply == [4])
    let cut = await endless
    #expect(cut?.code == .cancelled)
    await closed
    await eventually("no connection is left") { await server.counts.open == 0 }
  }

  @Test("letting go of a channel closes it; a call under way goes on to its end")
  func dropped() async throws {
    let server = try await ScriptedServer()
    var stream: (any ClientStream)?
    do {
      let channel = try GRPCChannel(to: server.target)
      stream = try await channel.stream(CallRequest(method("M").path))
      try await stream?.send([0, 0, 0, 0, 0, 1])
      let first = try await stream?.next()
      #expect(first == [1])
    }
    try await stream?.send([0, 0, 0, 0, 0, 2])
    let second = try await stream?.next()
    #expect(second == [2])
    stream = nil
    await eventually("closed") { await server.counts.open == 0 }
  }

  @Test("without calls for the idle timeout connections and resolver go; the next call wakes them")
  func idle() async throws {
    let server = try await ScriptedServer()
    let resolver = ManualResolver(endpoints([server]))
    var options = ChannelOptions()
    options.idleTimeout = .milliseconds(100)
    options.loops = 2
    try await withChannel(to: "manual:///x", resolvers: [resolver], options: options) { channel in
      _ = try await channel.unary(method("M"), [1])
      await eventually("idle") { channel.state == .idle }
      await eventually("no connection") { await server.counts.open == 0 }
      let reply = try await channel.unary(method("M"), [2])
      #expect(reply == [2])
      #expect(resolver.runs.load(ordering: .relaxed) == 2)
    }
  }

  @Test("state changes are told in order")
  func states() async throws {
    let server = try await ScriptedServer()
    let channel = try GRPCChannel(to: server.target)
    let changes = channel.stateChanges
    try await channel.ready(within: .seconds(5))
    await channel.close()
    var seen: [ConnectivityState] = []
    for await state in changes { seen.append(state) }
    #expect(seen == [.idle, .connecting, .ready, .shutdown])
  }
}
