// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Synchronization
import Testing
import TrunkDiscovery
import TrunkSockets
import TrunkTesting
import TrunkWire

@testable import Trunkcall

@Suite("Service configs and the calls under way (service_config.md)", .timeLimit(.minutes(1)))
struct ConfigChangeTests {
  /// One attempt as a server saw it.
  private struct Attempt: Sendable, Hashable {
    /// The path's last part.
    var method: String
    /// `grpc-previous-rpc-attempts`; "-" for none.
    var previous: String
    var hasTimeout: Bool
  }

  /// Counts attempts. Those to a method that begins with "hold" are answered with UNAVAILABLE when
  /// `release` is called; further ones are echoed, as all others are but "fail".
  private final class Servers: Sendable {
    let counts = Locked<[Attempt: Int]>([:])
    private let held = Locked<[(EventLoop, Held)]>([])
    private let isOpen = Locked(false)
    let servers = Locked<[ScriptedServer]>([])

    /// Of one server's loop.
    private struct Held: @unchecked Sendable { let stream: ScriptedStream }

    func start(_ count: Int) async throws {
      for _ in 0..<count {
        let server = try await ScriptedServer(.init(maxConcurrentStreams: 1_000)) {
          [self] stream, event in
          handle(stream, event)
        }
        servers.withLock { $0.append(server) }
      }
    }
    var endpoints: [Endpoint] {
      servers.withLock { $0.map { Endpoint(Address("127.0.0.1", $0.port)) } }
    }
    func count(_ method: String, _ previous: String = "-", hasTimeout: Bool) -> Int {
      counts.withLock {
        $0[Attempt(method: method, previous: previous, hasTimeout: hasTimeout)] ?? 0
      }
    }
    /// Attempts of that method, all together.
    func count(_ method: String) -> Int {
      counts.withLock { $0.filter { $0.key.method == method }.values.reduce(0, +) }
    }

    private func handle(_ stream: ScriptedStream, _ event: ScriptedStream.Event) {
      guard case .ended = event else { return }
      let method = stream.path.split(separator: "/").last.map(String.init) ?? ""
      let previous = stream.headers["grpc-previous-rpc-attempts"] ?? "-"
      let attempt = Attempt(
        method: method, previous: previous, hasTimeout: stream.headers["grpc-timeout"] != nil)
      counts.withLock { $0[attempt, default: 0] += 1 }
      if method == "fail" { return Servers.refuse(stream) }
      if method == "hold", previous == "-" {
        return held.withLock { $0.append((stream.loop, Held(stream: stream))) }
      }
      stream.respond()
      stream.send(stream.messages.first ?? [])
      stream.finish(["grpc-status": "0"])
    }

    func release() {
      for (loop, held) in held.withLock({ $0 }) { loop.run { Servers.refuse(held.stream) } }
    }

    private static func refuse(_ stream: ScriptedStream) {
      stream.answer([
        ":status": "200", "content-type": "application/grpc", "grpc-status": "14",
      ])
    }
  }

  private static let before = #"""
    {"loadBalancingConfig": [{"round_robin": {}}], "methodConfig": [{"name": [{}],
      "timeout": "100s", "waitForReady": true, "retryPolicy": {"maxAttempts": 3,
      "initialBackoff": "0.001s", "maxBackoff": "0.01s", "backoffMultiplier": 2,
      "retryableStatusCodes": ["UNAVAILABLE"]}}]}
    """#
  private static let after = #"{"loadBalancingConfig": [{"pick_first": {}}]}"#

  private func resolution(_ endpoints: [Endpoint], _ json: String, note: String? = nil) throws
    -> Resolution
  {
    var resolution = Resolution(endpoints, note: note)
    resolution.serviceConfig = try ServiceConfig(json: json)
    return resolution
  }

  private func isInForce(_ json: String, _ policy: String, _ channel: GRPCChannel) async throws {
    let config = try ServiceConfig(json: json).json
    await eventually("the config is in force") {
      let explanation = await channel.explain()
      return explanation.serviceConfig == config && explanation.policy?.name == policy
        && explanation.policy?.children.isEmpty == true
    }
  }

  @Test("calls under way keep timeout and retry policy, new ones have the new config; none is lost")
  func underWay() async throws {
    let servers = Servers()
    try await servers.start(3)
    let resolver = TrunkTesting.ManualResolver(
      try resolution(servers.endpoints, ConfigChangeTests.before))
    try await withChannel(to: "manual:///x", resolvers: [resolver]) { channel in
      try await channel.ready(within: .seconds(5))
      let held = (0..<200).map { number in
        Task { try await channel.unary(method("hold"), [UInt8(number)]) == [UInt8(number)] }
      }
      await eventually("all are under way") { servers.count("hold") == 200 }
      #expect(servers.count("hold", hasTimeout: true) == 200)

      resolver.report(try resolution(servers.endpoints, ConfigChangeTests.after))
      try await isInForce(ConfigChangeTests.after, "pick_first", channel)
      let codes = await withTaskGroup(of: RPCError.Code?.self) { group in
        for _ in 0..<200 {
          group.addTask { await failure { _ = try await channel.unary(method("fail"), [7]) }?.code }
        }
        return await group.reduce(into: [RPCError.Code?: Int]()) { $0[$1, default: 0] += 1 }
      }
      // Without a retry policy, and without a timeout.
      #expect(codes == [.unavailable: 200])
      #expect(servers.count("fail", hasTimeout: false) == 200 && servers.count("fail") == 200)

      servers.release()
      for call in held { #expect(try await call.value) }
      #expect(servers.count("hold", "1", hasTimeout: true) == 200)
      #expect(servers.count("hold") == 400)
    }
  }

  @Test(
    "calls that wait keep waitForReady, new ones fail at once; the next list serves the waiting")
  func waiting() async throws {
    let servers = Servers()
    try await servers.start(2)
    let resolver = TrunkTesting.ManualResolver(
      try resolution([], ConfigChangeTests.before, note: "0 passing"))
    try await withChannel(to: "manual:///x", resolvers: [resolver]) { channel in
      let waiting = (0..<200).map { number in
        Task { try await channel.unary(method("M"), [UInt8(number)]) == [UInt8(number)] }
      }
      await eventually("all wait") { await channel.explain().waitingCalls == 200 }
      resolver.report(try resolution([], ConfigChangeTests.after, note: "0 passing"))
      try await isInForce(ConfigChangeTests.after, "pick_first", channel)
      for _ in 0..<200 {
        let error = await failure { _ = try await channel.unary(method("N"), [7]) }
        try #require(error?.code == .unavailable)
        try #require(error?.diagnostics.contains("0 passing") == true)
      }
      #expect(await channel.explain().waitingCalls == 200)
      resolver.report(try resolution(servers.endpoints, ConfigChangeTests.after))
      for call in waiting { #expect(try await call.value) }
      #expect(servers.count("M", hasTimeout: true) == 200 && servers.count("M") == 200)
      #expect(servers.count("N") == 0)
    }
  }

  @Test("while configs, policies and endpoints change, every call is made once, and none fails")
  func storm() async throws {
    let servers = Servers()
    try await servers.start(4)
    let all = servers.endpoints
    let configs = [
      ConfigChangeTests.before, ConfigChangeTests.after,
      #"{"loadBalancingConfig": [{"least_request_experimental": {}}]}"#,
      #"{"loadBalancingConfig": [{"peak_ewma": {}}], "methodConfig": [{"name": [{}], "timeout": "50s"}]}"#,
      #"{"loadBalancingConfig": [{"weighted_round_robin": {}}]}"#,
      #"{"loadBalancingConfig": [{"ring_hash_experimental": {}}]}"#,
      // Refused: the config before it stays in force.
      #"{"loadBalancingConfig": [{"nope": {}}]}"#,
    ]
    let resolver = TrunkTesting.ManualResolver(try resolution(all, configs[0]))
    var options = ChannelOptions()
    options.loops = 2
    try await withChannel(to: "manual:///x", resolvers: [resolver], options: options) { channel in
      let made = Counter(0)
      // By the calls that are made, not by time: every fifth one changes something.
      let ends = await withTaskGroup(of: [RPCError.Code?: Int].self) { group in
        for caller in 0..<8 {
          group.addTask {
            var ends: [RPCError.Code?: Int] = [:]
            for call in 0..<100 {
              let number = made.count.wrappingAdd(1, ordering: .relaxed).oldValue
              if number % 5 == 0 {
                let change = number / 5
                let kept = all.enumerated().filter { $0.offset % 4 != change % 5 }.map(\.element)
                if let next = try? resolution(kept, configs[change % configs.count]) {
                  resolver.report(next)
                }
              }
              let error = await failure {
                let byte = UInt8((caller + call) % 256)
                let reply = try await channel.unary(method("M"), [byte])
                if reply != [byte] { throw RPCError(.dataLoss, "another call's reply") }
              }
              ends[error?.code, default: 0] += 1
            }
            return ends
          }
        }
        return await group.reduce(into: [RPCError.Code?: Int]()) { $0.merge($1) { $0 + $1 } }
      }
      #expect(ends == [nil: 800])
      #expect(servers.count("M") == 800, "each is sent once")
      #expect(await channel.explain().waitingCalls == 0)
    }
  }

  @Test(
    "a config with the same throttling keeps the tokens of calls before it, another begins full")
  func throttling() async throws {
    let servers = Servers()
    try await servers.start(1)
    func config(_ policy: String, _ maximum: Int) throws -> Resolution {
      let json = #"""
        {"loadBalancingConfig": [{"\#(policy)": {}}],
         "retryThrottling": {"maxTokens": \#(maximum), "tokenRatio": 0.5},
         "methodConfig": [{"name": [{}], "retryPolicy": {"maxAttempts": 2,
          "initialBackoff": "0.001s", "maxBackoff": "1s", "backoffMultiplier": 1,
          "retryableStatusCodes": ["UNAVAILABLE"]}}]}
        """#
      return try resolution(servers.endpoints, json)
    }
    let resolver = TrunkTesting.ManualResolver(try config("pick_first", 10))
    try await withChannel(to: "manual:///x", resolvers: [resolver]) { channel in
      func tokens() -> Int? { channel.context.retryTokens.withLock { $0?.milliTokens } }
      _ = await failure { _ = try await channel.unary(method("fail"), [7]) }
      #expect(tokens() == 8_000)
      for (policy, maximum, left) in [("round_robin", 10, 8_000), ("pick_first", 12, 12_000)] {
        resolver.report(try config(policy, maximum))
        await eventually("the config is in force") {
          await channel.explain().policy?.name == policy
        }
        #expect(tokens() == left)
      }
    }
  }

  @Test("the resolver's config is ignored where the channel's options say so")
  func disabled() async throws {
    let servers = Servers()
    try await servers.start(1)
    let resolver = TrunkTesting.ManualResolver(
      try resolution(servers.endpoints, ConfigChangeTests.before))
    var options = ChannelOptions()
    options.disablesServiceConfig = true
    try await withChannel(to: "manual:///x", resolvers: [resolver], options: options) { channel in
      let error = await failure { _ = try await channel.unary(method("fail"), [7]) }
      #expect(error?.code == .unavailable)
      #expect(servers.count("fail", hasTimeout: false) == 1 && servers.count("fail") == 1)
    }
  }

  @Test(
    "of the application's and the config's timeout the earlier one is the call's",
    arguments: [
      (5, 100, 5), (100, 5, 5), (nil, 5, 5), (5, nil, 5),
    ] as [(Int?, Int?, Int)])
  func earlierDeadline(_ own: Int?, _ configured: Int?, _ seconds: Int) async throws {
    let seen = Locked<String?>(nil)
    let server = try await ScriptedServer { stream, event in
      guard case .ended = event else { return }
      seen.withLock { $0 = stream.headers["grpc-timeout"] }
      stream.respond()
      stream.send([])
      stream.finish(["grpc-status": "0"])
    }
    var options = ChannelOptions()
    let timeout = configured.map { #", "timeout": "\#($0)s""# } ?? ""
    options.defaultServiceConfig = try ServiceConfig(
      json: #"{"methodConfig": [{"name": [{}]\#(timeout)}]}"#)
    try await withChannel(to: server.target, options: options) { channel in
      try await channel.ready(within: .seconds(5))
      let limit = CallOptions(timeout: own.map { .seconds($0) })
      _ = try await channel.unary(method("M"), [], limit)
    }
    let text = try #require(seen.withLock { $0 })
    let units: [Character: Double] = ["S": 1, "m": 1e3, "u": 1e6, "n": 1e9]
    let left = try #require(Double(text.dropLast())) / (text.last.flatMap { units[$0] } ?? 0)
    #expect(left <= Double(seconds) && left > Double(seconds) - 4)
  }

  @Test(
    "of the application's and the config's limits the smaller one is the call's",
    arguments: [
      (4, 100), (100, 4), (4, nil), (nil, 4),
    ] as [(Int?, Int?)])
  func smallerLimit(_ own: Int?, _ configured: Int?) async throws {
    let server = try await ScriptedServer()
    for isRequest in [true, false] {
      var options = ChannelOptions()
      var limits = CallOptions(timeout: .seconds(20))
      if isRequest {
        if let own { options.maxSendMessageSize = own }
      } else {
        limits.maxReceiveMessageSize = own
      }
      let field = isRequest ? "maxRequestMessageBytes" : "maxResponseMessageBytes"
      let limit = configured.map { #", "\#(field)": \#($0)"# } ?? ""
      options.defaultServiceConfig = try ServiceConfig(
        json: #"{"methodConfig": [{"name": [{}]\#(limit)}]}"#)
      try await withChannel(to: server.target, options: options) { channel in
        _ = try await channel.unary(method("M"), [1, 2, 3, 4], limits)
        let error = await failure {
          _ = try await channel.unary(method("M"), [1, 2, 3, 4, 5], limits)
        }
        #expect(error?.code == .resourceExhausted)
        #expect(error?.message.contains("limit of 4") == true, "\(error?.message ?? "")")
        #expect(error?.message.hasPrefix("received") == !isRequest)
      }
    }
  }

  @Test("waitForReady of the config holds only for calls that say nothing themselves")
  func waitForReady() async throws {
    let resolver = TrunkTesting.ManualResolver(
      try resolution([], ConfigChangeTests.before, note: "0 passing"))
    try await withChannel(to: "manual:///x", resolvers: [resolver]) { channel in
      let own = await failure {
        _ = try await channel.unary(
          method("M"), [7], CallOptions(timeout: .seconds(20), waitForReady: false))
      }
      #expect(own?.code == .unavailable)
      let configured = Task { await failure { _ = try await channel.unary(method("M"), [7]) } }
      await eventually("it waits") { await channel.explain().waitingCalls == 1 }
      configured.cancel()
      #expect(await configured.value?.code == .cancelled)
    }
  }
}
