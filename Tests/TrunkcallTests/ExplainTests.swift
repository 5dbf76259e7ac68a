// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import ProcessSupport
import Testing
import TrunkDiscovery
import TrunkWire

@testable import Trunkcall

@Suite("explain() of a channel", .timeLimit(.minutes(1))) struct ExplainTests {
  @Test("an idle channel says so, and what it knows") func idle() async throws {
    try await withChannel(to: "ipv4:127.0.0.1:1") { channel in
      let explanation = await channel.explain()
      #expect(explanation.state == .idle && explanation.target == "ipv4:127.0.0.1:1")
      #expect(explanation.policy == nil && explanation.endpoints.isEmpty)
      #expect(explanation.resolver == "ipv4 has not answered yet")
    }
  }

  @Test("calls are counted for each endpoint, also those of connections that are closed")
  func counts() async throws {
    let good = try await ScriptedServer()
    let bad = try await ScriptedServer { stream, event in
      guard case .ended = event else { return }
      stream.answer([
        ":status": "200", "content-type": "application/grpc", "grpc-status": "13",
      ])
    }
    let resolver = ManualResolver(endpoints([good, bad]))
    try await withChannel(to: "manual:///x", resolvers: [resolver], balancer: "round_robin") {
      channel in
      try await channel.ready(within: .seconds(5))
      await eventually("both are ready") {
        await channel.explain().endpoints.allSatisfy { $0.state == .ready }
      }
      for _ in 0..<10 { _ = await failure { _ = try await channel.unary(method("M"), [7]) } }
      var explanation = await channel.explain()
      #expect(explanation.endpoints.map(\.calls.begun) == [5, 5], "\(explanation)")
      #expect(explanation.endpoints.map(\.calls.failed) == [0, 5])
      #expect(explanation.endpoints.allSatisfy { $0.calls.latency > .zero && $0.connections == 1 })
      #expect(explanation.policy?.name == "round_robin" && explanation.policy?.state == .ready)

      bad.kill()
      await eventually("the other's connection is closed") {
        await channel.explain().endpoints.map(\.state) == [.ready, .transientFailure]
      }
      explanation = await channel.explain()
      #expect(explanation.endpoints.map(\.calls.begun) == [5, 5])
      #expect(explanation.endpoints[1].errors.first?.contains("\(bad.port)") == true)
      #expect(explanation.endpoints[1].nextAttempt != nil)
      #expect("\(explanation)".contains("TRANSIENT_FAILURE for"), "\(explanation)")
    }
  }

  @Test("calls in flight and calls that wait are counted") func waiting() async throws {
    let silent = try await ScriptedServer { _, _ in }
    try await withChannel(to: silent.target) { channel in
      let calls = (0..<3).map { _ in
        Task { await failure { _ = try await channel.unary(method("M"), [7]) } }
      }
      await eventually("three are in flight") {
        await channel.explain().endpoints.first?.calls.inFlight == 3
      }
      for call in calls { call.cancel() }
      for call in calls { _ = await call.value }
    }
    let port = try await freePorts(1)[0]
    try await withChannel(to: "ipv4:127.0.0.1:\(port)") { channel in
      let call = Task {
        await failure {
          _ = try await channel.unary(method("M"), [7], CallOptions(waitForReady: true))
        }
      }
      await eventually("one waits") { await channel.explain().waitingCalls == 1 }
      call.cancel()
      _ = await call.value
      await eventually("none waits") { await channel.explain().waitingCalls == 0 }
    }
  }

  @Test("the config in force, where it comes from, and why a newer one was refused")
  func config() async throws {
    let server = try await ScriptedServer()
    var first = endpoints([server])
    first.serviceConfig = try ServiceConfig(
      json: #"{"loadBalancingConfig": [{"round_robin": {}}]}"#)
    let resolver = ManualResolver(first)
    try await withChannel(to: "manual:///x", resolvers: [resolver]) { channel in
      try await channel.ready(within: .seconds(5))
      var explanation = await channel.explain()
      #expect(explanation.configOrigin == .resolver && explanation.configError == nil)
      #expect(explanation.serviceConfig == #"{"loadBalancingConfig":[{"round_robin":{}}]}"#)
      var second = endpoints([server])
      second.serviceConfigError = ServiceConfigError(path: "x", "no good")
      resolver.report(second)
      await eventually("it is refused") { await channel.explain().configError != nil }
      explanation = await channel.explain()
      #expect(explanation.configError?.contains("no good") == true)
      #expect(explanation.policy?.name == "round_robin")
    }
    var options = ChannelOptions()
    options.defaultServiceConfig = try ServiceConfig(json: #"{"methodConfig": []}"#)
    try await withChannel(to: server.target, options: options) { channel in
      try await channel.ready(within: .seconds(5))
      let explanation = await channel.explain()
      #expect(explanation.configOrigin == .application && explanation.serviceConfig == "{}")
    }
  }
}
