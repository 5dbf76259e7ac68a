// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Logging
import Testing
import TrunkDiscovery
import TrunkHTTP2
import TrunkSockets
import TrunkWire

@testable import Trunkcall

@Suite("Health checks by the client (gRFC A17)", .timeLimit(.minutes(1))) struct HealthCheckTests {
  /// The watches that a server has, and what it answers.
  private final class Watches: Sendable {
    private let streams = Locked<[Int32: LoopBound<ScriptedStream>]>([:])
    private let names = Locked<[[UInt8]]>([])
    /// The requests, as protobuf.
    var requests: [[UInt8]] { names.withLock { $0 } }
    var count: Int { streams.withLock { $0.count } }

    func note(_ stream: ScriptedStream, _ event: ScriptedStream.Event) {
      switch event {
      case .opened:
        let bound = LoopBound(stream, on: stream.loop)
        streams.withLock { $0[stream.stream.id] = bound }
        stream.respond()
      case .message(let request): names.withLock { $0.append(request) }
      case .ended: break
      case .closed:
        let id = stream.stream.id
        streams.withLock { $0[id] = nil }
      }
    }
    /// `HealthCheckResponse.status`: 1 SERVING, 2 NOT_SERVING, 3 SERVICE_UNKNOWN.
    func say(_ status: UInt8) {
      for stream in streams.withLock({ $0.values }) {
        stream.loop.run { stream.value.send([0x08, status]) }
      }
    }
    func end(_ code: Int) {
      for stream in streams.withLock({ $0.values }) {
        stream.loop.run { stream.value.finish(["grpc-status": "\(code)"]) }
      }
    }
  }

  private func server(_ watches: Watches, _ name: UInt8) async throws -> ScriptedServer {
    try await ScriptedServer { stream, event in
      if stream.path == "/grpc.health.v1.Health/Watch" { return watches.note(stream, event) }
      guard case .ended = event else { return }
      stream.respond()
      stream.send([name])
      stream.finish(["grpc-status": "0"])
    }
  }

  private func options(_ service: String? = "shop") throws -> ChannelOptions {
    var options = ChannelOptions()
    let check = service.map { #""healthCheckConfig": {"serviceName": "\#($0)"}, "# } ?? ""
    options.defaultServiceConfig = try ServiceConfig(
      json: #"{\#(check)"loadBalancingConfig": [{"round_robin": {}}]}"#)
    return options
  }

  private func reached(_ channel: GRPCChannel) async -> Set<UInt8> {
    var names: Set<UInt8> = []
    for _ in 0..<6 {
      if let reply = try? await channel.unary(method("M"), [0]) { names.formUnion(reply) }
    }
    return names
  }

  @Test("calls go only to servers that say SERVING, over connections that are kept")
  func serving() async throws {
    let (first, second) = (Watches(), Watches())
    let servers = [try await server(first, 1), try await server(second, 2)]
    let resolver = ManualResolver(endpoints(servers))
    try await withChannel(to: "manual:///x", resolvers: [resolver], options: try options()) {
      channel in
      channel.connect()
      await eventually("both are asked") { first.count == 1 && second.count == 1 }
      #expect(first.requests == [[0x0a, 4] + Array("shop".utf8)])
      #expect(channel.state == .connecting)
      first.say(1)
      try await channel.ready(within: .seconds(5))
      #expect(await reached(channel) == [1])
      second.say(1)
      await eventually("both are used") { await reached(channel) == [1, 2] }
      first.say(2)
      await eventually("the second alone") { await reached(channel) == [2] }
      let explanation = await channel.explain()
      #expect(explanation.endpoints.map(\.state) == [.ready, .ready])
      #expect(explanation.endpoints[0].notes == ["health NOT_SERVING"])
      second.say(3)
      await eventually("none") { channel.state == .transientFailure }
      await eventually("calls fail with the reason") {
        let error = await failure { _ = try await channel.unary(method("M"), [0]) }
        return error?.diagnostics.contains("health SERVICE_UNKNOWN for \"shop\"") == true
      }
      first.say(1)
      try await channel.ready(within: .seconds(5))
    }
    #expect(await servers[0].counts.accepted == 1)
  }

  @Test("a server without the service is taken as healthy, which is logged as an error, once")
  func unimplemented() async throws {
    let server = try await ScriptedServer { stream, event in
      guard case .ended = event else { return }
      if stream.path == "/grpc.health.v1.Health/Watch" {
        return stream.answer([
          ":status": "200", "content-type": "application/grpc", "grpc-status": "12",
        ])
      }
      stream.respond()
      stream.send([1])
      stream.finish(["grpc-status": "0"])
    }
    let lines = LogLines()
    try await withChannel(to: server.target, options: try options(), logger: lines.logger) {
      channel in
      try await channel.ready(within: .seconds(5))
      #expect(await reached(channel) == [1])
    }
    #expect(lines.lines.count { $0.contains("no health service") } == 1)
  }

  @Test("a watch that ends after a message is begun again at once; meanwhile no call goes there")
  func ended() async throws {
    let watches = Watches()
    let server = try await server(watches, 1)
    try await withChannel(to: server.target, options: try options("")) { channel in
      channel.connect()
      await eventually("it is asked") { watches.count == 1 }
      // proto3 leaves out an empty name.
      #expect(watches.requests == [[]])
      watches.say(1)
      try await channel.ready(within: .seconds(5))
      watches.end(14)
      await eventually("it is asked again") { watches.requests.count == 2 && watches.count == 1 }
      #expect(channel.state == .transientFailure)
      watches.say(1)
      try await channel.ready(within: .seconds(5))
    }
  }

  @Test("without a name in the config, when it is disabled, and for pick_first nobody is asked")
  func off() async throws {
    let watches = Watches()
    let server = try await server(watches, 1)
    var disabled = try options()
    disabled.disablesHealthChecks = true
    var first = try options()
    first.defaultServiceConfig = try ServiceConfig(
      json: #"{"healthCheckConfig": {"serviceName": "shop"}}"#)
    for options in [try options(nil), disabled, first] {
      try await withChannel(to: server.target, options: options) { channel in
        #expect(await reached(channel) == [1])
      }
    }
    #expect(watches.requests.isEmpty)
  }

  @Test("another service name is asked for anew; the end of the former watch means nothing")
  func renamed() async throws {
    let watches = Watches()
    let server = try await server(watches, 1)
    var first = endpoints([server])
    first.serviceConfig = try options("shop").defaultServiceConfig
    var second = first
    second.serviceConfig = try options("cart").defaultServiceConfig
    let resolver = ManualResolver(first)
    try await withChannel(to: "manual:///x", resolvers: [resolver]) { channel in
      channel.connect()
      await eventually("it is asked") { watches.count == 1 }
      watches.say(1)
      try await channel.ready(within: .seconds(5))
      resolver.report(second)
      await eventually("it is asked for the other") {
        watches.requests.count == 2 && watches.count == 1
      }
      watches.say(1)
      #expect(await reached(channel) == [1])
      await eventually("the answer has come") {
        await channel.explain().endpoints.first?.notes == ["health SERVING"]
      }
      #expect(channel.state == .ready && watches.requests.count == 2 && watches.count == 1)
    }
  }

  @Test("a config that begins or ends health checks holds for connections that are there")
  func reconfigured() async throws {
    let watches = Watches()
    let server = try await server(watches, 1)
    var unchecked = endpoints([server])
    unchecked.serviceConfig = try options(nil).defaultServiceConfig
    var checked = unchecked
    checked.serviceConfig = try options().defaultServiceConfig
    let resolver = ManualResolver(unchecked)
    try await withChannel(to: "manual:///x", resolvers: [resolver]) { channel in
      try await channel.ready(within: .seconds(5))
      resolver.report(checked)
      await eventually("it is asked") { watches.count == 1 }
      #expect(channel.state == .ready)
      watches.say(2)
      await eventually("it is not used") { channel.state == .transientFailure }
      resolver.report(unchecked)
      try await channel.ready(within: .seconds(5))
      await eventually("it is asked no more") { watches.count == 0 }
    }
    #expect(await server.counts.accepted == 1)
  }
}
