// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Synchronization
import Testing
import TrunkDiscovery
import TrunkHTTP2
import TrunkSockets
import TrunkWire

@testable import Trunkcall

@Suite("What counts as an attempt, and where it goes (gRFC A6)", .timeLimit(.minutes(1)))
struct RetryRuleTests {
  /// What a server does with one stream.
  enum Act: Sendable {
    case refuse, unavailable, echo, silent
    /// Fails, and forbids retries.
    case never
  }

  /// The `grpc-previous-rpc-attempts` of each stream; "-" for none.
  private final class Seen: Sendable {
    private let values = Locked<[String]>([])
    var all: [String] { values.withLock { $0 } }
    func add(_ value: String) { values.withLock { $0.append(value) } }
  }

  /// Does with its streams, in the order they come, what `acts` says; echoes after that.
  private func server(
    _ acts: [Act], _ seen: Seen, always: Act = .echo
  ) async throws -> ScriptedServer {
    let number = Counter(0)
    let current = Locked<[Int32: Act]>([:])
    return try await ScriptedServer { stream, event in
      let id = stream.stream.id
      switch event {
      case .opened:
        seen.add(stream.headers["grpc-previous-rpc-attempts"] ?? "-")
        let place = number.count.wrappingAdd(1, ordering: .relaxed).oldValue
        let act = place < acts.count ? acts[place] : always
        current.withLock { $0[id] = act }
        switch act {
        case .refuse: stream.reset(HTTP2ErrorCode.refusedStream)
        case .unavailable:
          stream.answer([
            ":status": "200", "content-type": "application/grpc", "grpc-status": "14",
            "grpc-message": "not now",
          ])
        case .never:
          stream.answer([
            ":status": "200", "content-type": "application/grpc", "grpc-status": "5",
            "grpc-retry-pushback-ms": "-1",
          ])
        case .echo: stream.respond()
        case .silent: break
        }
      case .message(let message):
        if current.withLock({ $0[id] }) == .echo, stream.stream.isOpen { stream.send(message) }
      case .ended:
        if current.withLock({ $0[id] }) == .echo, stream.stream.isOpen {
          stream.finish(["grpc-status": "0"])
        }
      case .closed: break
      }
    }
  }

  enum Kind: String, Sendable, CaseIterable, CustomTestStringConvertible {
    case retry, hedging
    var testDescription: String { rawValue }

    func policy(attempts: Int, delay: String = "30s") -> String {
      switch self {
      case .retry:
        #"""
        "retryPolicy": {"maxAttempts": \#(attempts), "initialBackoff": "0.002s", "maxBackoff": "1s",
          "backoffMultiplier": 1, "retryableStatusCodes": ["UNAVAILABLE"]}
        """#
      case .hedging:
        #"""
        "hedgingPolicy": {"maxAttempts": \#(attempts), "hedgingDelay": "\#(delay)",
          "nonFatalStatusCodes": ["UNAVAILABLE"]}
        """#
      }
    }
  }

  private func options(
    _ kind: Kind, attempts: Int, delay: String = "30s", balancing: String = "pick_first",
    tokens: (Double, Double)? = nil
  ) throws -> ChannelOptions {
    let throttling =
      tokens.map { #""retryThrottling": {"maxTokens": \#($0.0), "tokenRatio": \#($0.1)}, "# } ?? ""
    var options = ChannelOptions()
    options.defaultServiceConfig = try ServiceConfig(
      json: #"""
        {"loadBalancingConfig": [{"\#(balancing)": {}}], \#(throttling)
         "methodConfig": [{"name": [{"service": "test.T"}],
           \#(kind.policy(attempts: attempts, delay: delay))}]}
        """#)
    return options
  }

  private let limit = CallOptions(timeout: .seconds(20))

  @Test(
    "a transparent retry is no attempt, takes no token, and no server reads of it",
    arguments: Kind.allCases)
  func transparent(_ kind: Kind) async throws {
    let seen = Seen()
    let server = try await server([.refuse, .unavailable, .echo], seen)
    // One more attempt, one more token, and the call would fail.
    let options = try options(kind, attempts: 2, tokens: (3, 0.5))
    try await withChannel(to: server.target, options: options) { channel in
      let reply = try await channel.unary(method("M"), [7], limit)
      #expect(reply == [7])
      let tokens = channel.context.retryTokens.withLock { $0?.milliTokens }
      #expect(tokens == 2_500)
    }
    #expect(seen.all == ["-", "-", "1"])
  }

  @Test(
    "a call that is refused twice is UNAVAILABLE, which the policy retries",
    arguments: Kind.allCases)
  func refusedTwice(_ kind: Kind) async throws {
    let seen = Seen()
    let server = try await server([.refuse, .refuse], seen)
    try await withChannel(to: server.target, options: try options(kind, attempts: 2)) { channel in
      let reply = try await channel.unary(method("M"), [7], limit)
      #expect(reply == [7])
    }
    #expect(seen.all == ["-", "-", "1"])
  }

  @Test(
    "each attempt is picked anew, and finds another server", arguments: Kind.allCases,
    [false, true]
  )
  func pickedAnew(_ kind: Kind, isSilent: Bool) async throws {
    // A retry needs an end of the attempt before.
    if kind == .retry, isSilent { return }
    let (first, second) = (Seen(), Seen())
    let bad = try await server([], first, always: isSilent ? .silent : .unavailable)
    let good = try await server([], second)
    let resolver = ManualResolver(endpoints([bad, good]))
    // The copy of the policy that picks for further attempts has a place of its own in the list.
    let options = try options(
      kind, attempts: 3, delay: isSilent ? "0.005s" : "30s", balancing: "round_robin")
    try await withChannel(to: "manual:///x", resolvers: [resolver], options: options) { channel in
      try await channel.ready(within: .seconds(5))
      await eventually("both are connected") {
        await channel.explain().endpoints.allSatisfy { $0.state == .ready }
      }
      for byte in 0..<20 as Range<UInt8> {
        let reply = try await channel.unary(method("M"), [byte], limit)
        #expect(reply == [byte])
      }
    }
    let (failed, served) = (first.all, second.all)
    #expect(!failed.isEmpty)
    #expect(served.count >= 20 && served.contains { $0 != "-" })
  }

  enum Shape: String, Sendable, CaseIterable { case unary, client, server, both }

  @Test(
    "calls of all four shapes are sent again", arguments: Kind.allCases, Shape.allCases)
  func shapes(_ kind: Kind, _ shape: Shape) async throws {
    let seen = Seen()
    let server = try await server([.unavailable], seen)
    try await withChannel(to: server.target, options: try options(kind, attempts: 2)) { channel in
      var replies: [[UInt8]] = []
      switch shape {
      case .unary: replies = [try await channel.unary(method("M"), [7], limit)]
      case .server:
        for try await reply in try await channel.serverStreaming(method("M"), [7], limit) {
          replies.append(reply)
        }
      case .client:
        let call = try await channel.clientStreaming(method("M"), limit)
        try await call.requests.write([7])
        try await call.requests.finish()
        replies = [try await call.response()]
      case .both:
        let call = try await channel.bidirectional(method("M"), limit)
        try await call.requests.write([7])
        try await call.requests.finish()
        for try await reply in call.responses { replies.append(reply) }
      }
      #expect(replies == [[7]])
    }
    #expect(seen.all == ["-", "1"])
  }

  @Test(
    "five attempts at most, or as many as the channel's option allows",
    arguments: Kind.allCases, [nil, 2, 7])
  func cap(_ kind: Kind, _ limit: Int?) async throws {
    let seen = Seen()
    let server = try await server([], seen, always: .unavailable)
    var options = try options(kind, attempts: 9)
    if let limit { options.maxRetryAttempts = limit }
    try await withChannel(to: server.target, options: options) { channel in
      let error = await failure { _ = try await channel.unary(method("M"), [7], self.limit) }
      #expect(error?.code == .unavailable)
    }
    #expect(seen.all.count == limit ?? 5)
  }

  @Test("a call that waits for its next attempt ends when its channel is closed")
  func closed() async throws {
    let seen = Seen()
    let server = try await server([], seen, always: .unavailable)
    var options = ChannelOptions()
    options.defaultServiceConfig = try ServiceConfig(
      json: #"""
        {"methodConfig": [{"name": [{}], "retryPolicy": {"maxAttempts": 2,
          "initialBackoff": "100s", "maxBackoff": "100s", "backoffMultiplier": 1,
          "retryableStatusCodes": ["UNAVAILABLE"]}}]}
        """#)
    try await withChannel(to: server.target, options: options) { channel in
      let call = Task { await failure { _ = try await channel.unary(method("M"), [7], limit) } }
      await eventually("the first attempt has failed") {
        let explanation = await channel.explain()
        return seen.all.count == 1 && explanation.endpoints.first?.calls.inFlight == 0
      }
      await channel.close()
      let error = await call.value
      #expect(error?.code == .unavailable)
      #expect(error?.message == "the channel is closed", "\(error?.message ?? "")")
    }
    #expect(seen.all == ["-"])
  }

  @Test(
    "every call of the channel that succeeds gives tokens back, with a policy or without",
    arguments: Kind.allCases)
  func tokens(_ kind: Kind) async throws {
    let seen = Seen()
    let server = try await server([.unavailable], seen)
    let options = try options(kind, attempts: 2, tokens: (4, 0.25))
    let other = MethodDescriptor<[UInt8], [UInt8]>(
      service: "other.T", method: "M", request: .bytes, response: .bytes)
    try await withChannel(to: server.target, options: options) { channel in
      func tokens() -> Int? { channel.context.retryTokens.withLock { $0?.milliTokens } }
      _ = try await channel.unary(method("M"), [7], limit)
      #expect(tokens() == 3_250)
      // gRFC A6: "regardless of service or method invoked".
      for _ in 0..<2 { _ = try await channel.unary(other, [7], limit) }
      #expect(tokens() == 3_750)
      let stream = try await channel.bidirectional(other, limit)
      try await stream.requests.finish()
      for try await _ in stream.responses {}
      #expect(tokens() == 4_000)
      for _ in 0..<2 { _ = try await channel.unary(other, [7], limit) }
      #expect(tokens() == 4_000, "no more than maxTokens")
    }
    let second = Seen()
    let failing = try await self.server([.never, .unavailable], second)
    try await withChannel(to: failing.target, options: options) { channel in
      // Of a call without a policy only a pushback that forbids retries is a failure.
      for code in [RPCError.Code.notFound, .unavailable] {
        let error = await failure { _ = try await channel.unary(other, [7], limit) }
        #expect(error?.code == code)
      }
      let tokens = channel.context.retryTokens.withLock { $0?.milliTokens }
      #expect(tokens == 3_000)
    }
  }

  @Test(
    "a pick that the policy fails is a failed attempt, one that it drops is the call's end",
    arguments: Kind.allCases, [true, false])
  func picks(_ kind: Kind, isDropped: Bool) async throws {
    let server = try await ScriptedServer()
    let picks = isDropped ? Dropping.picks : Failing.picks
    var balancers = BalancerRegistry()
    balancers.register(Dropping.self)
    balancers.register(Failing.self)
    let options = try options(
      kind, attempts: 3, balancing: isDropped ? Dropping.name : Failing.name)
    try await withChannel(to: server.target, balancers: balancers, options: options) { channel in
      try await channel.ready(within: .seconds(5))
      // A failed pick lets a call wait that waits for ready; a drop does not.
      for wait in isDropped ? [false, true] : [false] {
        picks[kind.rawValue] = 0
        let error = await failure {
          _ = try await channel.unary(
            method(kind.rawValue), [7], CallOptions(timeout: .seconds(20), waitForReady: wait))
        }
        let made = picks[kind.rawValue]
        #expect(error?.code == .unavailable)
        if isDropped {
          // One on the caller's thread and one on the control loop, which decides.
          #expect(made <= 2 && error?.message == "dropped")
          #expect(error?.diagnostics.contains("attempt") == false)
        } else {
          #expect(made >= 3 && error?.diagnostics.contains("attempt 3") == true)
        }
      }
    }
  }
}

/// Picks by the method's name.
private final class PickCounts: Sendable {
  private let counts = Locked<[String: Int]>([:])
  subscript(name: String) -> Int {
    get { counts.withLock { $0[name] ?? 0 } }
    set { counts.withLock { $0[name] = newValue } }
  }
  func add(_ name: String) { counts.withLock { $0[name, default: 0] += 1 } }
}

/// READY, and every pick has the same answer.
private protocol Answering: Balancer where Config == Void {
  static var picks: PickCounts { get }
  static var answer: Pick { get }
}

extension Answering {
  static func parse(_ json: [UInt8]) throws(ServiceConfigError) {}
  mutating func handle(_ event: BalancerEvent, _ actions: inout BalancerActions) {
    if case .resolved = event { actions.changed(.ready) }
  }
  mutating func makePicker() -> any Picker { CountedPicker(picks: Self.picks, answer: Self.answer) }
}

private struct CountedPicker: Picker {
  let picks: PickCounts
  let answer: Pick
  mutating func pick(_ call: borrowing PickContext) -> Pick {
    picks.add(call.path.split(separator: "/").last.map(String.init) ?? "")
    return answer
  }
}

private struct Dropping: Answering {
  static let name = "dropping"
  static let picks = PickCounts()
  static var answer: Pick { .drop(RPCError(.unavailable, "dropped")) }
  init(_ config: Void) {}
}

private struct Failing: Answering {
  static let name = "failing"
  static let picks = PickCounts()
  static var answer: Pick { .fail(RPCError(.unavailable, "failed")) }
  init(_ config: Void) {}
}
