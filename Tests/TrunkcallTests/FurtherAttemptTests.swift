// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Testing
import TrunkDiscovery
import TrunkSockets
import TrunkWire

@testable import Trunkcall

@Suite("Which servers get the further attempts of a call (gRFC A6)", .timeLimit(.minutes(1)))
struct FurtherAttemptTests {
  /// Of two servers the first fails each call, or never answers; the second one echoes.
  private func withTwoServers(
    _ method: String, balancer: String, answering block: Metadata?,
    _ body: (GRPCChannel, _ first: ScriptedServer) async throws -> Void
  ) async throws {
    let first = try await ScriptedServer { stream, event in
      if case .ended = event, let block { stream.answer(block) }
    }
    let second = try await ScriptedServer()
    var options = ChannelOptions()
    options.defaultServiceConfig = try ServiceConfig(
      json: #"{"methodConfig": [{"name": [{}], \#(method)}]}"#)
    var balancers = BalancerRegistry()
    balancers.register(Threefold.self)
    balancers.register(Stubborn.self)
    try await withChannel(
      to: "ipv4:127.0.0.1:\(first.port),127.0.0.1:\(second.port)", balancers: balancers,
      balancer: balancer, options: options
    ) { channel in
      channel.connect()
      await eventually("both are connected") {
        let endpoints = await channel.explain().endpoints
        return endpoints.count == 2 && endpoints.allSatisfy { $0.state == .ready }
      }
      try await body(channel, first)
    }
  }

  private let unavailable: Metadata = [
    ":status": "200", "content-type": "application/grpc", "grpc-status": "14",
  ]
  private let retries = """
    "retryPolicy": {"maxAttempts": 2, "initialBackoff": "0.001s", "maxBackoff": "0.001s",
      "backoffMultiplier": 1, "retryableStatusCodes": ["UNAVAILABLE"]}
    """
  private func hedging(_ attempts: Int) -> String {
    """
    "hedgingPolicy": {"maxAttempts": \(attempts), "hedgingDelay": "0.02s",
      "nonFatalStatusCodes": ["UNAVAILABLE"]}
    """
  }

  @Test("a hedge goes to a server without an attempt, though the policy picks the same one again")
  func hedge() async throws {
    try await withTwoServers(hedging(2), balancer: "threefold", answering: nil) {
      channel, first in
      let reply = try await channel.unary(method("M"), [7], CallOptions(timeout: .seconds(20)))
      #expect(reply == [7])
      let calls = await first.counts.calls
      #expect(calls == 1)
    }
  }

  @Test("a retry goes to a server that has not failed the call, though the policy picks that again")
  func retry() async throws {
    try await withTwoServers(retries, balancer: "threefold", answering: unavailable) {
      channel, first in
      let reply = try await channel.unary(method("M"), [7], CallOptions(timeout: .seconds(20)))
      #expect(reply == [7])
      let calls = await first.counts.calls
      #expect(calls == 1)
    }
  }

  @Test("where the policy picks no other server, the same one gets all attempts")
  func onlyOne() async throws {
    for policy in [retries, hedging(2)] {
      try await withTwoServers(policy, balancer: "stubborn", answering: unavailable) {
        channel, first in
        let error = await failure {
          _ = try await channel.unary(method("M"), [7], CallOptions(timeout: .seconds(20)))
        }
        #expect(error?.code == .unavailable)
        let calls = await first.counts.calls
        #expect(calls == 2)
      }
    }
  }
}

/// Each server three times, then the next.
private struct Threefold: PickPolicy {
  static let name = "threefold"
  let ready: [ReadySubchannel]
  var picks = 0

  init(_ ready: [ReadySubchannel]) { self.ready = ready }

  mutating func pick(_ call: borrowing PickContext) -> ReadySubchannel {
    defer { picks += 1 }
    return ready[picks / 3 % ready.count]
  }
}

/// Always the first server.
private struct Stubborn: PickPolicy {
  static let name = "stubborn"
  let ready: [ReadySubchannel]

  init(_ ready: [ReadySubchannel]) { self.ready = ready }
  mutating func pick(_ call: borrowing PickContext) -> ReadySubchannel { ready[0] }
}
