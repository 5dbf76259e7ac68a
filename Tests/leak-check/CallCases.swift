// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Glibc
import Logging
import TrunkSockets
import Trunkcall

/// Calls that end in every way: answered, failed, cancelled, expired, retried, hedged; over two channels,
/// one with a retry policy and one with a hedging policy, to three servers.
struct CallCases: Sendable {
  private static let unary = MethodDescriptor<[UInt8], [UInt8]>(
    service: "t.Fickle", method: "Unary", request: .bytes, response: .bytes)
  private static let width = 64

  private let retried: GRPCChannel
  private let hedged: GRPCChannel
  private let ends = Ends()

  init() async throws {
    var endpoints: [String] = []
    for place in 0..<3 {
      let server = GRPCServer(
        on: .tcp("127.0.0.1", 0), services: [FickleService(place)], logger: CallCases.quiet)
      Task { try await server.run() }
      guard case .host(_, let port)? = try await server.listeningAddresses().first else {
        fatalError("no port")
      }
      endpoints.append("127.0.0.1:\(port)")
    }
    let target = "ipv4:" + endpoints.joined(separator: ",")
    func channel(_ policy: String) throws -> GRPCChannel {
      var options = ChannelOptions()
      options.loops = 2
      options.defaultServiceConfig = try ServiceConfig(
        json: """
          {"loadBalancingConfig": [{"round_robin": {}}],
           "retryThrottling": {"maxTokens": 1000, "tokenRatio": 1},
           "methodConfig": [{"name": [{}], \(policy)}]}
          """)
      return try GRPCChannel(to: target, options: options, logger: CallCases.quiet)
    }
    retried = try channel(
      """
      "retryPolicy": {"maxAttempts": 3, "initialBackoff": "0.001s", "maxBackoff": "0.002s",
        "backoffMultiplier": 2, "retryableStatusCodes": ["UNAVAILABLE"]}
      """)
    hedged = try channel(
      """
      "hedgingPolicy": {"maxAttempts": 3, "hedgingDelay": "0.002s",
        "nonFatalStatusCodes": ["UNAVAILABLE"]}
      """)
  }

  func run(_ count: Int) async {
    await withTaskGroup(of: Void.self) { group in
      for index in 0..<count {
        if index >= CallCases.width { await group.next() }
        group.addTask { await one(index) }
      }
    }
  }

  /// How often each status came, and `ok`.
  var summary: String {
    ends.all.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }.joined(separator: ", ")
  }

  private func one(_ index: Int) async {
    let channel = index % 2 == 0 ? retried : hedged
    let timeout: Duration = index % 11 == 0 ? .milliseconds(1) : .seconds(20)
    let payload = [UInt8(truncatingIfNeeded: index % 23)]
    let call = Task {
      do throws(RPCError) {
        if index % 5 == 0 {
          let stream = try await channel.bidirectional(
            CallCases.unary, CallOptions(timeout: timeout))
          try await stream.requests.write(payload)
          try await stream.requests.finish()
          while try await stream.responses.next() != nil {}
        } else {
          _ = try await channel.unary(CallCases.unary, payload, CallOptions(timeout: timeout))
        }
        ends.add("ok")
      } catch {
        ends.add("\(error.code)")
      }
    }
    if index % 7 == 0 { call.cancel() }
    await call.value
  }

  private static let quiet = Logger(label: "quiet") { _ in SwiftLogNoOpLogHandler() }
}

private final class Ends: Sendable {
  private let counts = Locked<[String: Int]>([:])
  var all: [String: Int] { counts.withLock { $0 } }
  func add(_ end: String) { counts.withLock { $0[end, default: 0] += 1 } }
}

/// Answers, fails or waits, by the request's byte and the server's place; a further attempt is answered.
private final class FickleService: RPCService {
  private let place: UInt8
  init(_ place: Int) { self.place = UInt8(place) }

  func register(in table: inout MethodTable) {
    let method = MethodDescriptor<[UInt8], [UInt8]>(
      service: "t.Fickle", method: "Unary", request: .bytes, response: .bytes)
    table.unary(method) { [place] payload, call in
      guard call.previousAttempts == 0 else { return payload }
      switch ((payload.first ?? 0) &+ place) % 7 {
      case 0, 1: throw RPCError(.unavailable, "try another")
      case 2: throw RPCError(.notFound, "nobody has it")
      case 3: try? await Task.sleep(for: .milliseconds(4))
      default: break
      }
      return payload
    }
  }
}
