// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Synchronization
import Testing
import TrunkDiscovery
import TrunkSockets
import TrunkTesting

@testable import TrunkConsul

@Suite("The consul resolver", .timeLimit(.minutes(1))) struct ConsulResolverTests {
  private func resolver(
    _ watches: SharedWatches = SharedWatches(), _ change: (inout ConsulOptions) -> Void = { _ in }
  ) -> ConsulResolver {
    var options = ConsulOptions(agent: ConsulAgent("127.0.0.1:1"))
    change(&options)
    return ConsulResolver(options, watches: watches)
  }

  /// An empty set, as the resolver reports it.
  private func nothing(_ note: String) -> Resolution {
    var resolution = Resolution([], note: note)
    resolution.groups = .priorities([EndpointGroup("listed")])
    return resolution
  }

  @Test("first without an index, then with it and a wait; changes are reported as they come")
  func follows() async throws {
    let agent = try await ScriptedConsulAgent.start(answering: [
      .json(instances(1), index: 12), .json(instances(1), index: 13),
      .chunked([instances(1, 2)], index: 14), .hang,
    ])
    let watching = try Watching(resolver(), "consul://\(agent.address)/hello?tag=a&tag=b")
    let first = try #require(await watching.next())
    #expect(first.ports == [1])
    #expect(first.note == "consul \(agent.address): 1 instance, 1 passing")
    #expect(await watching.next()?.ports == [1, 2])
    #expect(try await eventually { agent.requests.count == 4 })
    let requests = agent.requests
    #expect(requests.map { $0["index"] } == [nil, "12", "13", "14"])
    #expect(requests.map { $0["wait"] } == [nil, "1000ms", "1000ms", "1000ms"])
    #expect(requests.allSatisfy { $0.path == "/v1/health/service/hello" && $0["passing"] == "" })
    #expect(requests[0].query.filter { $0.name == "tag" }.map(\.value) == ["a", "b"])
    #expect(agent.connections == 1)
    #expect(await watching.stop() is CancellationError)
    agent.stop()
  }

  @Test("nothing passing: the note says how many there are and why not") func why() async throws {
    let agent = try await ScriptedConsulAgent.start { request in
      if request["passing"] == nil {
        return .json(instances(1, 2, 3, status: "critical"), index: 5)
      }
      return request["index"] == nil ? .json("[]", index: 5) : .hang
    }
    let watching = try Watching(resolver(), "consul://\(agent.address)/hello")
    #expect(
      await watching.next()
        == nothing("consul \(agent.address): 3 instances, 0 passing (3 critical)"))
    agent.stop()
  }

  @Test("an answer from the cache of an agent that is cut off is said to be one") func cutOff()
    async throws
  {
    let agent = try await ScriptedConsulAgent.start {
      $0["index"] == nil
        ? .answer(
          200, headers: ["X-Consul-Index: 5", "X-Cache: HIT", "Age: 9"], body: instances(1))
        : .hang
    }
    let watching = try Watching(resolver(), "consul://\(agent.address)/hello?cached")
    let note = await watching.next()?.note
    #expect(
      note?.hasSuffix(
        "1 instance, 1 passing, from the agent's cache, which is cut off from the servers") == true)
    agent.stop()
  }

  @Test("a name that nobody has is said to be so") func absent() async throws {
    let agent = try await ScriptedConsulAgent.start {
      $0["index"] == nil ? .json("[]", index: 5) : .hang
    }
    let watching = try Watching(resolver(), "consul://\(agent.address)/helo")
    #expect(
      await watching.next()
        == nothing("consul \(agent.address): no instance is registered"))
    agent.stop()
  }

  @Test("an agent that is away is a note at once, and the answer comes when it is there")
  func away() async throws {
    let port = try await closedPort()
    let watching = try Watching(resolver(), "consul://127.0.0.1:\(port)/hello")
    var refused = nothing("consul 127.0.0.1:\(port): connection refused")
    refused.isAnswer = false
    #expect(await watching.next() == refused)
    let agent = try await ScriptedConsulAgent.start(port: port) {
      $0["index"] == nil ? .json(instances(7), index: 3) : .hang
    }
    #expect(await watching.next()?.ports == [7])
    agent.stop()
  }

  @Test(
    "an agent that answers nonsense is a note, and asked again",
    arguments: [
      (ScriptedConsulAgent.Reaction.json("{}", index: 1), "the answer is not a list of instances"),
      (.json(#"[{"Node":{"Node":"n"},"Ser"#, index: 1), "the answer is not a list of instances"),
      (.json("[]", index: nil), "an answer without a usable X-Consul-Index"),
      (.raw(["garbage\r\n"], close: true), "the answer is not HTTP/1.1"),
      (.answer(500, body: "No cluster leader\nmore"), "500 No cluster leader"),
      (
        .close,
        "the connection was closed without an answer (perhaps the agent's limit of 200 connections "
          + "from one address)"
      ),
    ])
  func nonsense(reaction: ScriptedConsulAgent.Reaction, note: String) async throws {
    let agent = try await ScriptedConsulAgent.start { request in
      if request.number == 0 { return reaction }
      return request["index"] == nil ? .json(instances(7), index: 3) : .hang
    }
    let watching = try Watching(resolver(), "consul://\(agent.address)/hello")
    var failed = nothing("consul \(agent.address): \(note)")
    failed.isAnswer = false
    #expect(await watching.next() == failed)
    #expect(await watching.next()?.ports == [7])
    agent.stop()
  }

  @Test("a lost connection and an empty answer keep the last set for the hold, then it is empty")
  func hold() async throws {
    let agent = try await ScriptedConsulAgent.start { request in
      switch request.number {
      case 0: return .json(instances(7), index: 500)
      case 1: return .close
      default:
        if request["passing"] == nil || request["index"] == nil { return .json("[]", index: 12) }
        try? await Task.sleep(for: .milliseconds(100))
        return .json("[]", index: 12)
      }
    }
    let watching = try Watching(
      resolver { $0.emptyHold = .seconds(1) }, "consul://\(agent.address)/hello")
    #expect(await watching.next()?.ports == [7])
    let lost = ContinuousClock.now
    let kept = try #require(await watching.report { $0.note?.contains("kept for 1s") == true })
    #expect(kept.ports == [7])
    #expect(await watching.report { $0.ports == [] } != nil)
    #expect(ContinuousClock.now - lost >= .seconds(1))
    #expect(
      Array(agent.requests.map { $0["index"] }.prefix(3)) == [nil, "500", nil],
      "an index of a former life is never sent again")
    agent.stop()
  }

  @Test(
    "channels share a watch; it outlives them for the linger time and is taken over")
  func shared() async throws {
    let watches = SharedWatches()
    let agent = try await ScriptedConsulAgent.start {
      $0["index"] == nil ? .json(instances(7), index: 3) : .hang
    }
    let resolver = resolver(watches) { $0.linger = .milliseconds(400) }
    let target = "consul://\(agent.address)/hello"
    let first = try Watching(resolver, target)
    let second = try Watching(resolver, target)
    #expect(await first.next()?.ports == [7])
    #expect(await second.next()?.ports == [7])
    #expect(watches.count == 1)
    #expect(try await eventually { agent.requests.count == 2 })
    _ = await first.stop()
    _ = await second.stop()
    let third = try Watching(resolver, target)
    #expect(await third.next()?.ports == [7], "the last answer at once")
    // Longer than the watch would have gone on alone.
    try await Task.sleep(for: .milliseconds(600))
    #expect(watches.count == 1)
    #expect(agent.requests.count == 2, "nothing was asked anew")
    #expect(agent.connections == 1)
    _ = await third.stop()
    #expect(try await eventually { watches.count == 0 })
    agent.stop()
  }

  @Test("different queries are different watches, up to a limit; an idle one makes room")
  func limit() async throws {
    let watches = SharedWatches(limit: 2)
    let agent = try await ScriptedConsulAgent.start {
      $0["index"] == nil ? .json(instances(7), index: 3) : .hang
    }
    let resolver = resolver(watches)
    let first = try Watching(resolver, "consul://\(agent.address)/a")
    let second = try Watching(resolver, "consul://\(agent.address)/b")
    #expect(await first.next() != nil)
    #expect(await second.next() != nil)
    let third = try Watching(resolver, "consul://\(agent.address)/c")
    #expect(await third.next() == nil)
    #expect(
      await third.stop() as? ConsulError == .tooManyWatches(agent: agent.address, limit: 2))
    _ = await first.stop()
    #expect(watches.count == 2, "it lingers")
    let fourth = try Watching(resolver, "consul://\(agent.address)/d")
    #expect(await fourth.next() != nil)
    #expect(watches.count == 2)
    agent.stop()
  }

  @Test("a service beyond the long polls to an agent is asked again and again without waiting")
  func beyondTheBudget() async throws {
    let changed = Locked(false)
    let agent = try await ScriptedConsulAgent.start { request in
      let isChanged = changed.withLock { $0 }
      return request["index"] == nil ? .json(instances(isChanged ? 8 : 7), index: 3) : .hang
    }
    let resolver = resolver { $0.maximumWatches = 1 }
    let first = try Watching(resolver, "consul://\(agent.address)/a")
    #expect(await first.next() != nil)
    #expect(try await eventually { agent.requests.contains { $0["index"] != nil } })
    let second = try Watching(resolver, "consul://\(agent.address)/b")
    #expect(await second.next()?.ports == [7])
    changed.withLock { $0 = true }
    #expect(await second.next()?.ports == [8])
    let requests = agent.requests.filter { $0.path.hasSuffix("/b") }
    #expect(requests.count == 2)
    #expect(requests.allSatisfy { $0["index"] == nil && $0["wait"] == nil })
    agent.stop()
  }

  @Test("services that are gone through one by one never take up the agent (abandoned polls count)")
  func abandoned() async throws {
    let watches = SharedWatches()
    let agent = try await ScriptedConsulAgent.start {
      $0["index"] == nil ? .json(instances(7), index: 3) : .hang
    }
    let resolver = resolver(watches) {
      $0.maximumWatches = 5
      $0.linger = .zero
    }
    for number in 1...12 {
      let watching = try Watching(resolver, "consul://\(agent.address)/s\(number)")
      #expect(await watching.next()?.ports == [7], "each has its answer all the same")
      // The long poll is there, or there was no room for it.
      let polls = {
        agent.requests.contains { $0.path.hasSuffix("/s\(number)") && $0["index"] != nil }
      }
      #expect(try await eventually { number > 5 || polls() })
      _ = await watching.stop()
    }
    let polls = agent.requests.filter { $0["index"] != nil }
    // Those of the first second; the scripted agent keeps none, a real one keeps them all.
    #expect(polls.count >= 5)
    #expect(polls.allSatisfy { $0["wait"] == "1000ms" })
    let distinct = Set(polls.prefix(5).map(\.path))
    #expect(distinct == Set((1...5).map { "/v1/health/service/s\($0)" }))
    agent.stop()
  }

  @Test("a call that finds no server ends a back-off, at most once a second")
  func wakes() async throws {
    let watches = SharedWatches()
    let hasAgent = Locked(true)
    let agent = try await ScriptedConsulAgent.start { request in
      guard hasAgent.withLock({ $0 }) else { return .answer(403, body: "ACL not found") }
      if request.number > 3 { return .json(instances(8), index: 9) }
      if request["index"] == nil { return .json(instances(7), index: 3) }
      hasAgent.withLock { $0 = false }
      return .answer(403, body: "ACL not found")
    }
    let (wishes, wish) = AsyncStream.makeStream(of: Void.self)
    let watching = try Watching(
      resolver(watches), "consul://\(agent.address)/hello",
      refresh: { for await _ in wishes { return } })
    #expect(await watching.next()?.ports == [7])
    #expect(await watching.report { $0.note?.contains("ACL not found") == true } != nil)
    hasAgent.withLock { $0 = true }
    let start = ContinuousClock.now
    // A refusal is patient for 8 s at least.
    let waker = Task {
      while !Task.isCancelled {
        wish.yield()
        try await Task.sleep(for: .milliseconds(100))
      }
    }
    #expect(await watching.report(within: .seconds(6)) { $0.isAnswer } != nil)
    waker.cancel()
    #expect(ContinuousClock.now - start < .seconds(6))
    agent.stop()
  }

  @Test("an odd entry is left out and named, the others stand (also where there is one alone)")
  func oddEntry() async throws {
    let odd = #"{"Node":{"Node":"n"},"Service":{"ID":"odd-1","Port":"eighty"},"Checks":[]}"#
    let body = instances(1, 2).dropLast() + ",\(odd)]"
    let agent = try await ScriptedConsulAgent.start { request in
      if request.path.hasSuffix("/alone") { return .json("[\(odd)]", index: 12) }
      return request["index"] == nil ? .json(String(body), index: 12) : .hang
    }
    let watching = try Watching(resolver(), "consul://\(agent.address)/hello")
    let first = try #require(await watching.next())
    #expect(first.ports == [1, 2])
    #expect(
      first.note == "consul \(agent.address): 2 instances, 2 passing "
        + "(1 unreadable: \"odd-1\": Service.Port is no Int)")
    let alone = try #require(
      await Watching(resolver(), "consul://\(agent.address)/alone").next())
    #expect(alone.ports == [] && !alone.isAnswer)
    #expect(alone.note?.hasSuffix("can be read: \"odd-1\": Service.Port is no Int") == true)
    agent.stop()
  }

  @Test("targets are checked before a channel is made; the authority of calls is the service")
  func validates() throws {
    let resolver = resolver()
    #expect(throws: TargetError.self) { try resolver.validate(try Target.parse("consul:///")) }
    #expect(throws: TargetError.self) { try resolver.validate(try Target.parse("consul:///x?y=z")) }
    let target = try Target.parse("consul://127.0.0.1/hello?tag=a")
    #expect(throws: Never.self) { try resolver.validate(target) }
    #expect(resolver.authority(of: target) == "hello")
    let wrong = self.resolver { $0.agent = ConsulAgent("ftp://x") }
    #expect {
      try wrong.validate(try Target.parse("consul:///x"))
    } throws: { "\($0)".contains("unknown scheme \"ftp\"") }
    #expect(throws: Never.self) { try wrong.validate(target) }
  }

  @Test("a token that no header can carry is a note, not silence, and is not shown")
  func unsafeToken() async throws {
    let agent = try await ScriptedConsulAgent.start(answering: [.hang])
    let watching = try Watching(resolver(), "consul://\(agent.address)/x?token=sec%0Aret")
    #expect(
      await watching.next()?.note
        == "consul \(agent.address): the value of header X-Consul-Token holds a control character")
    #expect(agent.requests.isEmpty)
    agent.stop()
  }

  @Test("the registry takes it as .consul()") func registry() {
    let resolver: some Resolver = .consul(ConsulOptions(agent: ConsulAgent()))
    #expect(resolver.scheme == "consul")
  }
}
