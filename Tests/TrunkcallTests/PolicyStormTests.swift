// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Synchronization
import Testing
import TrunkDiscovery
import TrunkHTTP2
import TrunkSockets
import TrunkWire

@testable import Trunkcall

/// Servers that break their calls in every way, against every policy.
@Suite("Calls to servers that misbehave", .timeLimit(.minutes(2))) struct PolicyStormTests {
  static let balancers = [
    "pick_first", "round_robin", "least_request_experimental", "weighted_round_robin", "peak_ewma",
    "ring_hash_experimental",
  ]
  static let wrapped = [
    #"{"outlier_detection_experimental": {"interval": "0.05s", "baseEjectionTime": "0.05s", "#
      + #""failurePercentageEjection": {"requestVolume": 5, "minimumHosts": 2, "threshold": 60}, "#
      + #""maxEjectionPercent": 50, "childPolicy": [{"round_robin": {}}]}}"#,
    #"{"random_subsetting_experimental": {"subsetSize": 2, "childPolicy": [{"round_robin": {}}]}}"#,
  ]
  static let balancing = balancers.map { #"{"\#($0)": {}}"# } + wrapped

  enum Attempts: String, CaseIterable, CustomTestStringConvertible {
    case once, retried, hedged
    var testDescription: String { rawValue }

    var policy: String {
      switch self {
      case .once: ""
      case .retried:
        #"""
        , "retryPolicy": {"maxAttempts": 3, "initialBackoff": "0.002s", "maxBackoff": "0.01s",
          "backoffMultiplier": 2, "retryableStatusCodes": ["UNAVAILABLE"]}
        """#
      case .hedged:
        #"""
        , "hedgingPolicy": {"maxAttempts": 3, "hedgingDelay": "0.005s",
          "nonFatalStatusCodes": ["UNAVAILABLE"]}
        """#
      }
    }
  }

  /// What a server does with a call, by the number in its message; whatever follows is ignored.
  private static func misbehave(_ stream: ScriptedStream, _ number: UInt8, _ server: ScriptedHolder)
  {
    func trailersOnly(_ status: String, _ more: Metadata = Metadata()) {
      var block: Metadata = [
        ":status": "200", "content-type": "application/grpc", "grpc-status": status,
      ]
      block.append(contentsOf: more)
      stream.answer(block)
    }
    switch number {
    case 0: trailersOnly("14", ["grpc-retry-pushback-ms": "2"])
    case 1: trailersOnly("14", ["grpc-retry-pushback-ms": "-1"])
    case 2: stream.stream.reset(HTTP2ErrorCode.refusedStream)
    case 3: stream.stream.reset(HTTP2ErrorCode.internalError)
    case 5: trailersOnly("5")
    case 6:
      // Half an answer.
      stream.respond()
      stream.stream.reset(HTTP2ErrorCode.cancel)
    case 7:
      stream.respond()
      stream.finish(["grpc-status": "14"])
    case 8: server.value?.dropConnections()
    default:
      if number == 4 { server.value?.goAway() }
      stream.respond()
      stream.send([number])
      stream.finish(["grpc-status": "0"])
    }
  }

  @Test(
    "each call ends once, with a status that its server or the channel may give; nothing stays",
    arguments: balancing, Attempts.allCases)
  func storm(_ balancing: String, _ attempts: Attempts) async throws {
    var servers: [ScriptedServer] = []
    for _ in 0..<3 {
      let holder = ScriptedHolder()
      let server = try await ScriptedServer { stream, event in
        guard case .message(let message) = event, let number = message.first else { return }
        PolicyStormTests.misbehave(stream, number % 16, holder)
      }
      holder.set(server)
      servers.append(server)
    }
    var options = ChannelOptions()
    options.loops = 2
    options.backoff.initial = .milliseconds(5)
    options.backoff.maximum = .milliseconds(20)
    options.defaultServiceConfig = try ServiceConfig(
      json: """
        {"loadBalancingConfig": [\(balancing)],
         "methodConfig": [{"name": [{}], "waitForReady": true\(attempts.policy)}]}
        """)
    let resolver = ManualResolver(endpoints(servers))
    let ends = StormEnds()
    try await withChannel(to: "manual:///x", resolvers: [resolver], options: options) { channel in
      await withTaskGroup(of: Void.self) { group in
        for caller in 0..<8 {
          group.addTask {
            for call in 0..<40 {
              let number = UInt8((caller * 5 + call * 3) % 16)
              let limit = CallOptions(timeout: .seconds(5))
              let error = await failure {
                let reply = try await channel.unary(method("M"), [number], limit)
                if reply != [number] { throw RPCError(.dataLoss, "another call's reply") }
              }
              ends.add(number, error)
            }
          }
        }
      }
      #expect(channel.context.retryBuffer.load(ordering: .relaxed) == 0)
      await eventually("no call is in flight or waits") {
        let explanation = await channel.explain()
        return explanation.waitingCalls == 0
          && explanation.endpoints.allSatisfy { $0.calls.inFlight == 0 }
      }
    }
    let all = ends.all
    #expect(all.values.reduce(0) { $0 + $1.values.reduce(0, +) } == 320)
    // A call may also be hit by what another one does to its connection.
    let hit: Set<String> = ["unavailable"]
    let allowed: [UInt8: Set<String>] = [
      0: ["unavailable"], 1: ["unavailable"], 2: ["unavailable"], 3: ["internal"],
      5: ["notFound"], 6: ["cancelled"], 7: ["unavailable"], 8: ["unavailable"],
    ]
    for (number, statuses) in all {
      let fine = (allowed[number] ?? ["ok"]).union(hit)
      #expect(Set(statuses.keys).isSubset(of: fine), "\(number): \(statuses)")
    }
  }
}

/// The server that a script belongs to, which exists after its script.
private final class ScriptedHolder: Sendable {
  private struct Weak: Sendable { weak var server: ScriptedServer? }
  private let held = Locked(Weak())
  var value: ScriptedServer? { held.withLock { $0.server } }
  func set(_ server: ScriptedServer) { held.withLock { $0.server = server } }
}

/// How the calls of each number ended, and how often.
private final class StormEnds: Sendable {
  private let counts = Locked<[UInt8: [String: Int]]>([:])
  var all: [UInt8: [String: Int]] { counts.withLock { $0 } }
  func add(_ number: UInt8, _ error: RPCError?) {
    let end = error.map { "\($0.code)" } ?? "ok"
    counts.withLock { $0[number, default: [:]][end, default: 0] += 1 }
  }
}
