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

@Suite(.timeLimit(.minutes(1))) struct ChannelPickTests {
  private func quick() -> ChannelOptions {
    var options = ChannelOptions()
    options.backoff.initial = .milliseconds(50)
    options.backoff.maximum = .milliseconds(200)
    return options
  }

  @Test("a call that comes while a publication is due is picked then, even if nothing has changed")
  func publicationWithoutChange() async throws {
    let server = try await ScriptedServer()
    try await withChannel(to: server.target) { channel in
      try await channel.ready(within: .seconds(5))
      _ = try await channel.unary(method("M"), [7])
      let context = channel.context
      let call = ClientCall(context, CallRequest(method("M").path), Metadata(), isUnary: true)
      call.firstFrame = MessageFrame.sealed([0, 0, 0, 0, 0, 7])
      call.requestsEnded = true
      context.onControlLoop { controller in
        call.setOwningLoop(at: context.controlLoopIndex)
        controller.post(.core(.timer))
        controller.admit(call)
      }
      await eventually("it is answered") { call.isOver }
    }
  }

  @Test("round_robin spreads calls over the servers, and follows the resolver")
  func roundRobin() async throws {
    let servers = [
      try await ScriptedServer(.init(), ScriptedServer.named("a")),
      try await ScriptedServer(.init(), ScriptedServer.named("b")),
      try await ScriptedServer(.init(), ScriptedServer.named("c")),
    ]
    let resolver = ManualResolver(endpoints(Array(servers.prefix(2))))
    try await withChannel(to: "manual:///x", resolvers: [resolver], balancer: "round_robin") {
      channel in
      try await channel.ready(within: .seconds(5))
      func share(_ calls: Int) async throws -> [String: Int] {
        var share: [String: Int] = [:]
        for _ in 0..<calls {
          share[text(try await channel.unary(method("M"), [])), default: 0] += 1
        }
        return share
      }
      await eventually("both serve") { (try? await share(4))?.count == 2 }
      let two = try await share(40)
      #expect(two == ["a": 20, "b": 20])
      resolver.report(endpoints([servers[1], servers[2]]))
      await eventually("the new set serves") {
        let share = try? await share(4)
        return share?["a"] == nil && share?["c"] != nil
      }
      let other = try await share(40)
      #expect(other == ["b": 20, "c": 20])
    }
  }

  @Test("a policy of the user's own, of either tier, picks; its tokens come back with outcomes")
  func ownPolicies() async throws {
    let servers = [
      try await ScriptedServer(.init(), ScriptedServer.named("a")),
      try await ScriptedServer(.init(), ScriptedServer.named("b")),
    ]
    var balancers = BalancerRegistry()
    balancers.register(LastOne.self)
    balancers.register(Telling.self)
    for name in ["last_one", "telling"] {
      let resolver = ManualResolver(endpoints(servers))
      try await withChannel(
        to: "manual:///x", resolvers: [resolver], balancers: balancers, balancer: name
      ) { channel in
        try await channel.ready(within: .seconds(5))
        if name == "last_one" {
          await eventually("b is there") {
            (try? await channel.unary(method("M"), [])).map(text) == "b"
          }
          let after = text(try await channel.unary(method("M"), []))
          #expect(after == "b")
        } else {
          let before = Telling.heard.load(ordering: .relaxed)
          for _ in 0..<5 { _ = try await channel.unary(method("M"), []) }
          await eventually("outcomes") { Telling.heard.load(ordering: .relaxed) >= before + 5 }
          #expect(Telling.heard.load(ordering: .relaxed) == before + 5, "each one once")
        }
      }
    }
  }

  @Test("calls wait while the channel connects, and each is resumed once")
  func queued() async throws {
    let server = try await ScriptedServer()
    let resolver = ManualResolver()
    try await withChannel(to: "manual:///x", resolvers: [resolver], options: quick()) { channel in
      try await withThrowingTaskGroup(of: [UInt8].self) { group in
        for i in 0..<100 {
          group.addTask { try await channel.unary(method("M"), [UInt8(i)]) }
        }
        await eventually("the resolver runs") { resolver.runs.load(ordering: .relaxed) == 1 }
        resolver.report(endpoints([server]))
        var seen: Set<UInt8> = []
        for try await reply in group { seen.insert(reply[0]) }
        #expect(seen.count == 100)
      }
    }
  }

  @Test("a call that finds no server asks a resolver that allows it to look again, at once")
  func looksAgain() async throws {
    let server = try await ScriptedServer()
    let resolver = EmptyOnce(full: endpoints([server]))
    // The channel's own interval of 30 s would be longer than the calls go on.
    try await withChannel(to: "empty:///x", resolvers: [resolver]) { channel in
      await eventually("a call finds the server") {
        (try? await channel.unary(method("M"), [7])) == [7]
      }
      #expect(resolver.wishes.count.load(ordering: .relaxed) == 3, "each look was asked for")
    }
  }

  @Test("more calls than may wait are refused with RESOURCE_EXHAUSTED")
  func queueLimit() async throws {
    var options = quick()
    options.maxQueuedCalls = 3
    let resolver = ManualResolver()
    let channel = try GRPCChannel(to: "manual:///x", resolvers: [resolver], options: options)
    let codes = await withTaskGroup(of: RPCError.Code?.self) { group in
      for _ in 0..<10 {
        group.addTask {
          await failure {
            _ = try await channel.unary(
              method("M"), [], CallOptions(timeout: .milliseconds(500)))
          }?.code
        }
      }
      return await group.reduce(into: []) { $0.append($1) }
    }
    #expect(codes.count { $0 == .resourceExhausted } == 7)
    #expect(codes.count { $0 == .deadlineExceeded } == 3)
    await channel.close()
  }

  @Test(
    "a waiting call ends with its deadline, with the diagnostics, or when its task is cancelled")
  func waitEnds() async throws {
    let resolver = ManualResolver()
    let channel = try GRPCChannel(to: "manual:///x", resolvers: [resolver])
    let late = await failure {
      _ = try await channel.unary(method("M"), [], CallOptions(timeout: .milliseconds(50)))
    }
    #expect(late?.code == .deadlineExceeded)
    #expect(late?.diagnostics.contains("manual has not answered yet") == true)
    for shape in [true, false] {
      let task = Task {
        if shape {
          _ = try await channel.unary(method("M"), [])
        } else {
          for try await _ in try await channel.serverStreaming(method("M"), []) {}
        }
      }
      // So that it waits by then; a cancellation before that has the same end.
      try await Task.sleep(for: .milliseconds(30))
      task.cancel()
      let cancelled = await failure { try await task.value }
      #expect(cancelled?.code == .cancelled)
    }
    await channel.close()
  }

  @Test("in TRANSIENT_FAILURE calls fail with the diagnostics; those that wait for ready do not")
  func waitForReady() async throws {
    let server = try await ScriptedServer()
    let port = server.port
    server.kill()
    await eventually("the port is closed") { await server.counts.open == 0 }
    let channel = try GRPCChannel(to: "ipv4:127.0.0.1:\(port)", options: quick())
    let error = await failure { _ = try await channel.unary(method("M"), []) }
    #expect(error?.code == .unavailable && error?.origin == .local)
    #expect(error?.message == "no server for ipv4:127.0.0.1:\(port)")
    #expect(error?.diagnostics.contains("127.0.0.1:\(port) connection refused") == true)
    async let waiting = channel.unary(
      method("M"), [5], CallOptions(timeout: .seconds(10), waitForReady: true))
    // Long enough for further attempts to fail: the call goes on waiting.
    try await Task.sleep(for: .milliseconds(100))
    let back = try await ScriptedServer(port: port)
    let reply = try await waiting
    #expect(reply == [5])
    _ = back
    await channel.close()
  }

  @Test("ready(within:) gives the diagnostics when the time is over")
  func ready() async throws {
    let resolver = ManualResolver(Resolution([], note: "3 instances, 0 passing"))
    let channel = try GRPCChannel(to: "manual:///x", resolvers: [resolver])
    let error = await failure { try await channel.ready(within: .milliseconds(300)) }
    #expect(error?.code == .unavailable)
    #expect(error?.diagnostics.contains("3 instances, 0 passing") == true)
    #expect(channel.state == .transientFailure)
    await channel.close()
    #expect(channel.state == .shutdown)
  }

  @Test("ready(within:) returns at once to those who ask while the channel turns ready")
  func readyJustNow() async throws {
    let server = try await ScriptedServer()
    let group = try EventLoopGroup(loops: 1)
    defer { group.shutdown() }
    var options = ChannelOptions()
    options.group = group
    try await withChannel(to: server.target, options: options) { channel in
      channel.connect()
      let context = channel.context
      let loop = group.loops[0]
      let error = await withUnsafeContinuation { waiter in
        loop.later { askWhenReady(context, loop, waiter) }
      }
      #expect(error == nil)
    }
  }

  @Test("a resolver that fails is called again after a backoff; its error is in the diagnostics")
  func resolverFails() async throws {
    let server = try await ScriptedServer()
    let resolver = ManualResolver(endpoints([server]), failures: 2)
    try await withChannel(to: "manual:///x", resolvers: [resolver], options: quick()) { channel in
      let error = await failure { _ = try await channel.unary(method("M"), []) }
      #expect(error?.diagnostics.contains("manual failure") == true)
      let reply = try await channel.unary(method("M"), [1], CallOptions(waitForReady: true))
      #expect(reply == [1])
      #expect(resolver.runs.load(ordering: .relaxed) == 3)
    }
  }

  @Test("statuses of the control plane that speak of the request become INTERNAL (A54)")
  func controlPlane() async throws {
    let server = try await ScriptedServer()
    var balancers = BalancerRegistry()
    balancers.register(Refusing.self)
    try await withChannel(
      to: server.target, balancers: balancers, balancer: "refusing"
    ) { channel in
      for wait in [false, true] {
        let error = await failure {
          _ = try await channel.unary(method("M"), [], CallOptions(waitForReady: wait))
        }
        #expect(error?.code == .internal)
        #expect(error?.message.contains("notFound") == true)
      }
    }
  }

  @Test("a service config sets deadline, limits, wait-for-ready and the policy")
  func serviceConfig() async throws {
    let server = try await ScriptedServer { stream, event in
      if case .ended = event, stream.path.hasSuffix("echo") {
        stream.respond()
        stream.send(stream.messages[0])
        stream.finish(["grpc-status": "0"])
      }
    }
    var options = ChannelOptions()
    options.defaultServiceConfig = try ServiceConfig(
      json: """
        {"methodConfig": [
          {"name": [{"service": "test.T", "method": "hang"}], "timeout": "0.1s"},
          {"name": [{"service": "test.T", "method": "echo"}], "maxRequestMessageBytes": 4,
           "maxResponseMessageBytes": 2}]}
        """)
    try await withChannel(to: server.target, options: options) { channel in
      let late = await failure { _ = try await channel.unary(method("hang"), []) }
      #expect(late?.code == .deadlineExceeded)
      let codes = await [1, 3, 5].asyncMap { size in
        await failure {
          _ = try await channel.unary(method("echo"), [UInt8](repeating: 0, count: size))
        }?.message
      }
      #expect(codes[0] == nil)
      #expect(codes[1]?.contains("received message of 3 bytes") == true)
      #expect(codes[2]?.contains("message of 5 bytes") == true)
    }
  }

  @Test("a deadline inherited from a handler bounds a call, unless told otherwise")
  func inherited() async throws {
    let server = try await ScriptedServer { stream, event in
      if case .ended = event {
        stream.after(.milliseconds(200), on: stream.loop) { stream in
          stream.respond()
          stream.send([1])
          stream.finish(["grpc-status": "0"])
        }
      }
    }
    try await withChannel(to: server.target) { channel in
      try await channel.ready(within: .seconds(5))
      try await InheritedDeadline.$current.withValue(Clock.now() + 50_000_000) {
        let error = await failure { _ = try await channel.unary(method("M"), []) }
        #expect(error?.code == .deadlineExceeded)
        var own = CallOptions()
        own.inheritsDeadline = false
        _ = try await channel.unary(method("M"), [], own)
      }
    }
  }
}

extension Array where Element: Sendable {
  func asyncMap<T>(_ body: (Element) async -> T) async -> [T] {
    var result: [T] = []
    for element in self { result.append(await body(element)) }
    return result
  }
}

private struct LastOne: PickPolicy {
  static let name = "last_one"
  let ready: [ReadySubchannel]
  init(_ ready: [ReadySubchannel]) { self.ready = ready }
  mutating func pick(_ call: borrowing PickContext) -> ReadySubchannel { ready[ready.count - 1] }
}

/// Uses one subchannel and asks for every outcome.
private struct Telling: Balancer {
  static let name = "telling"
  static let heard = Atomic<Int>(0)
  static func parse(_ json: [UInt8]) throws(ServiceConfigError) {}
  private var id: SubchannelID?
  private var isReady = false
  init(_ config: Void) {}
  mutating func handle(_ event: BalancerEvent, _ actions: inout BalancerActions) {
    switch event {
    case .resolved(let resolution):
      guard id == nil, let first = resolution.endpoints.first else { return }
      let new = actions.open(first)
      id = new
      actions.connect(new)
    case .subchannel(_, let state, _):
      isReady = state == .ready
      actions.changed(state)
    case .completed(let outcomes):
      let fine = outcomes.count { $0.code == nil && $0.token == 7 && $0.subchannel == id }
      Telling.heard.wrappingAdd(fine, ordering: .relaxed)
    case .resolutionFailed, .exitIdle, .timer: break
    }
  }
  mutating func makePicker() -> any Picker { One(id: isReady ? id : nil) }
  struct One: Picker {
    let id: SubchannelID?
    mutating func pick(_ call: borrowing PickContext) -> Pick {
      id.map { .use($0, token: 7) } ?? .wait
    }
  }
}

/// Drops every call with a status that only a server may say.
private struct Refusing: Balancer {
  static let name = "refusing"
  static func parse(_ json: [UInt8]) throws(ServiceConfigError) {}
  init(_ config: Void) {}
  mutating func handle(_ event: BalancerEvent, _ actions: inout BalancerActions) {
    if case .resolved = event { actions.changed(.ready) }
  }
  mutating func makePicker() -> any Picker { Dropping() }
  struct Dropping: Picker {
    mutating func pick(_ call: borrowing PickContext) -> Pick { .drop(RPCError(.notFound, "x")) }
  }
}

/// Looks in every round of the loop, and asks in the one in which the channel is ready, before its
/// picker is published.
private func askWhenReady(
  _ context: ChannelContext, _ loop: EventLoop, _ waiter: UnsafeContinuation<RPCError?, Never>
) {
  guard context.watch.current == .ready else {
    return loop.later { askWhenReady(context, loop, waiter) }
  }
  context.onControlLoop {
    $0.waitForReady(WaitKey(), until: Clock.now().adding(.seconds(3)), waiter)
  }
}

/// Has nothing at first, and everything when asked again.
private struct EmptyOnce: Resolver {
  var scheme: String { "empty" }
  var refreshInterval: Duration? { .milliseconds(1) }
  let full: Resolution
  let wishes = Counter(0)

  func resolve(_ target: Target, _ session: ResolverSession) async throws {
    session.report(Resolution([], note: "nothing yet"))
    // The policy wants a look after every empty answer; only calls ask for more.
    for _ in 0..<3 {
      try await session.refreshRequested()
      wishes.count.wrappingAdd(1, ordering: .relaxed)
    }
    session.report(full)
  }
}
