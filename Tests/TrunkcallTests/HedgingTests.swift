// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import ProcessSupport
import Synchronization
import Testing
import TrunkDiscovery
import TrunkHTTP2
import TrunkSockets
import TrunkWire

@testable import Trunkcall

@Suite("Calls with a hedging policy (gRFC A6)", .timeLimit(.minutes(1))) struct HedgingTests {
  /// What a server saw of each attempt, in the order they came.
  private final class Seen: Sendable {
    struct Attempt {
      /// `grpc-previous-rpc-attempts`; "-" for none.
      var previous: String
      var messages: [[UInt8]] = []
      var end: StreamCloseReason?
    }
    private let attempts = Locked<[Int32: Attempt]>([:])
    var all: [Attempt] { attempts.withLock { all in all.keys.sorted().compactMap { all[$0] } } }
    var previous: [String] { all.map(\.previous) }

    /// - Returns: the attempt's number, from 0; nil if the event is no request's beginning or end.
    func note(_ stream: ScriptedStream, _ event: ScriptedStream.Event) -> Int {
      attempts.withLock { all in
        let id = stream.stream.id
        switch event {
        case .opened:
          all[id] = Attempt(previous: stream.headers["grpc-previous-rpc-attempts"] ?? "-")
        case .message(let message): all[id]?.messages.append(message)
        case .ended: break
        case .closed(let reason): all[id]?.end = reason
        }
        return all.keys.count { $0 < id }
      }
    }
  }

  private func options(
    _ attempts: Int = 3, delay: String = "0.03s", throttling: String = ""
  ) throws -> ChannelOptions {
    var options = ChannelOptions()
    options.defaultServiceConfig = try ServiceConfig(
      json: """
        {\(throttling)"methodConfig": [{"name": [{}], "hedgingPolicy": {"maxAttempts": \(attempts),
          "hedgingDelay": "\(delay)", "nonFatalStatusCodes": ["UNAVAILABLE"]}}]}
        """)
    return options
  }

  private static func trailersOnly(_ code: Int, pushback: String? = nil) -> Metadata {
    var block: Metadata = [
      ":status": "200", "content-type": "application/grpc", "grpc-status": "\(code)",
      "grpc-message": "code \(code)",
    ]
    if let pushback { block.add(pushback, for: "grpc-retry-pushback-ms") }
    return block
  }

  /// Does with each attempt what `script` says for its number; echoes for nil.
  private func server(
    _ seen: Seen, _ script: @escaping @Sendable (Int) -> Metadata?, silent: Set<Int> = []
  ) async throws -> ScriptedServer {
    try await ScriptedServer { stream, event in
      let number = seen.note(stream, event)
      if silent.contains(number) { return }
      switch event {
      case .opened: if let block = script(number) { stream.answer(block) } else { stream.respond() }
      case .message(let message): if stream.stream.isOpen { stream.send(message) }
      case .ended: if stream.stream.isOpen { stream.finish(["grpc-status": "0"]) }
      case .closed: break
      }
    }
  }

  private static let cancelled = StreamCloseReason.code(HTTP2ErrorCode.cancel)

  @Test("an attempt that gets no answer is joined by another; the answered one is the call's")
  func unary() async throws {
    let seen = Seen()
    let server = try await server(seen, { _ in nil }, silent: [0])
    try await withChannel(to: server.target, options: try options()) { channel in
      let reply = try await channel.unary(method("M"), [7])
      #expect(reply == [7])
      await eventually("the other is cancelled") { seen.all[0].end == HedgingTests.cancelled }
    }
    #expect(seen.previous == ["-", "1"])
  }

  @Test("a call that is answered before hedgingDelay makes one attempt") func quick() async throws {
    let seen = Seen()
    let server = try await server(seen) { _ in nil }
    try await withChannel(to: server.target, options: try options(delay: "10s")) { channel in
      for byte in 1...3 as ClosedRange<UInt8> {
        let reply = try await channel.unary(method("M"), [byte])
        #expect(reply == [byte])
      }
    }
    #expect(seen.previous == ["-", "-", "-"])
  }

  @Test("every attempt of a stream gets all requests; later ones go to the chosen one alone")
  func streams() async throws {
    let seen = Seen()
    let server = try await server(seen, { _ in nil }, silent: [0, 1])
    try await withChannel(to: server.target, options: try options()) { channel in
      let call = try await channel.bidirectional(method("M"))
      try await call.requests.write([1])
      try await call.requests.write([2])
      let first = try await call.responses.next()
      let second = try await call.responses.next()
      #expect(first == [1] && second == [2])
      try await call.requests.write([3])
      try await call.requests.finish()
      let third = try await call.responses.next()
      let end = try await call.responses.next()
      #expect(third == [3] && end == nil)
    }
    #expect(seen.previous == ["-", "1", "2"])
    #expect(seen.all.map(\.messages) == [[[1], [2]], [[1], [2]], [[1], [2], [3]]])
    #expect(seen.all[0].end == HedgingTests.cancelled && seen.all[1].end == HedgingTests.cancelled)
  }

  @Test("a non-fatal status is followed at once by the next attempt") func nonFatal() async throws {
    let seen = Seen()
    let server = try await server(seen) { $0 < 2 ? HedgingTests.trailersOnly(14) : nil }
    try await withChannel(to: server.target, options: try options(delay: "30s")) { channel in
      let reply = try await channel.unary(method("M"), [7], CallOptions(timeout: .seconds(10)))
      #expect(reply == [7])
    }
    #expect(seen.previous == ["-", "1", "2"])
  }

  @Test("a fatal status is the call's, and ends the other attempts") func fatal() async throws {
    let seen = Seen()
    let server = try await server(
      seen, { $0 == 1 ? HedgingTests.trailersOnly(5) : nil }, silent: [0])
    try await withChannel(to: server.target, options: try options()) { channel in
      let error = await failure { _ = try await channel.unary(method("M"), [7]) }
      #expect(error?.code == .notFound && error?.message == "code 5" && error?.peer != nil)
      await eventually("the other is cancelled") { seen.all[0].end == HedgingTests.cancelled }
    }
    #expect(seen.previous == ["-", "1"])
  }

  @Test("if all fail the last status is the call's, and diagnostics have a line for each")
  func exhausted() async throws {
    let seen = Seen()
    let server = try await server(seen) { _ in HedgingTests.trailersOnly(14) }
    try await withChannel(to: server.target, options: try options()) { channel in
      let error = await failure { _ = try await channel.unary(method("M"), [7]) }
      #expect(error?.code == .unavailable)
      let lines = error?.diagnostics.split(separator: "\n").filter { $0.hasPrefix("attempt ") }
      #expect(lines?.count == 3, "\(error?.diagnostics ?? "")")
    }
    #expect(seen.all.count == 3)
  }

  @Test("pushback moves the next attempt, or forbids further ones") func pushback() async throws {
    let seen = Seen()
    let server = try await server(seen) {
      $0 == 0 ? HedgingTests.trailersOnly(14, pushback: "1") : nil
    }
    try await withChannel(to: server.target, options: try options(delay: "30s")) { channel in
      let reply = try await channel.unary(method("M"), [7], CallOptions(timeout: .seconds(10)))
      #expect(reply == [7])
    }
    let second = Seen()
    let other = try await self.server(second) { _ in
      HedgingTests.trailersOnly(14, pushback: "-1")
    }
    try await withChannel(to: other.target, options: try options()) { channel in
      let error = await failure { _ = try await channel.unary(method("M"), [7]) }
      #expect(error?.code == .unavailable)
    }
    #expect(second.all.count == 1)
  }

  @Test("hedging stops while too many calls fail") func throttled() async throws {
    let seen = Seen()
    let server = try await server(seen) { _ in HedgingTests.trailersOnly(14) }
    let throttling = #""retryThrottling": {"maxTokens": 4, "tokenRatio": 1}, "#
    try await withChannel(to: server.target, options: try options(5, throttling: throttling)) {
      channel in
      _ = await failure { _ = try await channel.unary(method("M"), [7]) }
      #expect(seen.all.count == 2)
      _ = await failure { _ = try await channel.unary(method("M"), [7]) }
      #expect(seen.all.count == 3)
      let tokens = channel.context.retryTokens.withLock { $0?.milliTokens }
      #expect(tokens == 1_000)
    }
  }

  @Test("deadline and cancellation end all attempts", arguments: [false, true])
  func ended(byDeadline: Bool) async throws {
    let seen = Seen()
    let server = try await server(seen, { _ in nil }, silent: [0, 1, 2])
    try await withChannel(to: server.target, options: try options(delay: "0.01s")) { channel in
      let limit: Duration = byDeadline ? .milliseconds(300) : .seconds(50)
      let call = Task {
        await failure { _ = try await channel.unary(method("M"), [7], CallOptions(timeout: limit)) }
      }
      await eventually("all attempts are under way") { seen.all.count == 3 }
      if !byDeadline { call.cancel() }
      let error = await call.value
      #expect(error?.code == (byDeadline ? .deadlineExceeded : .cancelled))
      await eventually("all are cancelled") { seen.all.allSatisfy { $0.end != nil } }
    }
  }

  @Test("requests that outgrow the buffer stay with the oldest attempt; the others are cancelled")
  func outgrown() async throws {
    let seen = Seen()
    let server = try await server(seen, { _ in nil }, silent: [0, 1, 2])
    var options = try options(delay: "0.01s")
    options.maxRetryBufferSize = 1_000
    try await withChannel(to: server.target, options: options) { channel in
      let call = try await channel.clientStreaming(method("M"))
      await eventually("two attempts") { seen.all.count >= 2 }
      let large = [UInt8](repeating: 1, count: 700)
      try await call.requests.write(large)
      try await call.requests.write(large)
      #expect(channel.context.retryBuffer.load(ordering: .relaxed) == 0)
      await eventually("the others are cancelled") {
        seen.all[1...].allSatisfy { $0.end == HedgingTests.cancelled }
      }
      #expect(seen.all[0].end == nil)
      call.cancel()
    }
  }

  @Test("an attempt that is the call for want of a buffer keeps its number when it is sent again")
  func numbered() async throws {
    let seen = Seen()
    let server = try await ScriptedServer { stream, event in
      let number = seen.note(stream, event)
      switch (number, event) {
      case (0, .opened): stream.answer(HedgingTests.trailersOnly(14))
      case (1, .message) where seen.all[1].messages.count == 2:
        stream.reset(HTTP2ErrorCode.refusedStream)
      case (2, .ended):
        stream.respond()
        stream.send([9])
        stream.finish(["grpc-status": "0"])
      default: break
      }
    }
    var options = try options(2, delay: "10s")
    options.maxRetryBufferTotal = 1_000
    try await withChannel(to: server.target, options: options) { channel in
      let call = try await channel.clientStreaming(method("M"))
      await eventually("the second attempt") { seen.all.count == 2 }
      for _ in 1...2 { try await call.requests.write([UInt8](repeating: 1, count: 700)) }
      try await call.requests.finish()
      #expect(try await call.response() == [9])
    }
    #expect(seen.previous == ["-", "1", "1"])
  }

  @Test("a message larger than the buffer makes one attempt") func tooLarge() async throws {
    let seen = Seen()
    let server = try await server(seen) { _ in nil }
    var options = try options(delay: "0s")
    options.maxRetryBufferSize = 1_000
    try await withChannel(to: server.target, options: options) { channel in
      let large = [UInt8](repeating: 1, count: 2_000)
      let reply = try await channel.unary(method("M"), large)
      #expect(reply == large)
      #expect(channel.context.retryBuffer.load(ordering: .relaxed) == 0)
    }
    #expect(seen.previous == ["-"])
  }

  @Test("an attempt finds no server: it counts as failed, with the diagnostics of the last one")
  func unreachable() async throws {
    let port = try await freePorts(1)[0]
    var options = try options(2)
    options.backoff.initial = .seconds(10)
    try await withChannel(to: "ipv4:127.0.0.1:\(port)", options: options) { channel in
      let error = await failure { _ = try await channel.unary(method("M"), [7]) }
      #expect(error?.code == .unavailable)
      #expect(error?.diagnostics.contains("127.0.0.1:\(port)") == true)
      #expect(error?.diagnostics.contains("attempt 2") == true)
    }
  }

  @Test("a closing channel adds no attempt; one under way may finish, one that waits ends")
  func closing() async throws {
    let seen = Seen()
    let server = try await ScriptedServer { stream, event in
      _ = seen.note(stream, event)
      guard case .ended = event else { return }
      // One call's attempt is answered after hedgingDelay, the other one's fails.
      if stream.messages.first == [1] {
        stream.after(.milliseconds(1_000), on: stream.loop) { stream in
          stream.respond()
          stream.send([1])
          stream.finish(["grpc-status": "0"])
        }
      } else {
        stream.answer(HedgingTests.trailersOnly(14, pushback: "100000"))
      }
    }
    try await withChannel(to: server.target, options: try options(delay: "0.5s")) { channel in
      let limit = CallOptions(timeout: .seconds(20))
      let waiting = Task { await failure { _ = try await channel.unary(method("M"), [2], limit) } }
      await eventually("its attempt has failed") { seen.all.first?.end != nil }
      let late = Task { try await channel.unary(method("M"), [1], limit) }
      await eventually("its attempt is under way") { seen.all.count == 2 }
      await channel.close()
      let reply = try await late.value
      let error = await waiting.value
      #expect(reply == [1])
      #expect(error?.message == "code 14")
    }
    #expect(seen.all.count == 2)
  }

  @Test("without followsRetryPolicies one attempt is made") func off() async throws {
    let seen = Seen()
    let server = try await server(seen) { _ in HedgingTests.trailersOnly(14) }
    var options = try options()
    options.followsRetryPolicies = false
    try await withChannel(to: server.target, options: options) { channel in
      let error = await failure { _ = try await channel.unary(method("M"), [7]) }
      #expect(error?.code == .unavailable)
    }
    #expect(seen.all.count == 1)
  }

  @Test("no request is lost or doubled while the call goes over to the attempt that is chosen")
  func handsOver() async throws {
    // Headers at once: the choice is made while the application writes.
    let server = try await ScriptedServer()
    var options = try options(2, delay: "10s")
    options.loops = 2
    try await withChannel(to: server.target, options: options) { channel in
      try await channel.ready(within: .seconds(5))
      for _ in 0..<300 {
        let call = try await channel.bidirectional(method("M"))
        let sent = (0..<8).map { [UInt8($0)] }
        for message in sent { try await call.requests.write(message) }
        try await call.requests.finish()
        var echo: [[UInt8]] = []
        while let message = try await call.responses.next() { echo.append(message) }
        try #require(echo == sent)
      }
    }
  }

  @Test("whatever the servers do, each call ends once, and nothing is left behind")
  func storm() async throws {
    // Answers, fails, refuses, keeps silent or closes the connection, by the message's number.
    var servers: [ScriptedServer] = []
    for place in 0..<3 {
      servers.append(
        try await ScriptedServer { stream, event in
          guard case .ended = event else { return }
          switch (Int(stream.stream.id) + place) % 7 {
          case 0: stream.answer(HedgingTests.trailersOnly(14))
          case 1: break
          case 2: stream.stream.reset(HTTP2ErrorCode.refusedStream)
          case 3: stream.answer(HedgingTests.trailersOnly(5))
          case 4: stream.stream.reset(HTTP2ErrorCode.internalError)
          default:
            stream.respond()
            stream.send([UInt8(place)])
            stream.finish(["grpc-status": "0"])
          }
        })
    }
    let resolver = ManualResolver(endpoints(servers))
    var options = try options(3, delay: "0.002s")
    options.loops = 2
    let ends = Ends()
    try await withChannel(
      to: "manual:///x", resolvers: [resolver], balancer: "round_robin", options: options
    ) { channel in
      await withTaskGroup(of: Void.self) { group in
        for caller in 0..<16 {
          group.addTask {
            for number in 0..<60 {
              let limit = CallOptions(timeout: .milliseconds(number % 9 == 0 ? 3 : 500))
              let end: String
              if number % 3 == 0 {
                end = await outcome {
                  let call = try await channel.bidirectional(method("M"), limit)
                  try await call.requests.write([UInt8(caller)])
                  try await call.requests.finish()
                  var count = 0
                  while try await call.responses.next() != nil { count += 1 }
                  if count != 1 { throw RPCError(.dataLoss, "\(count) messages") }
                }
              } else {
                end = await outcome { _ = try await channel.unary(method("M"), [1], limit) }
              }
              ends.add(end)
            }
          }
        }
      }
      #expect(channel.context.retryBuffer.load(ordering: .relaxed) == 0)
      let counted = ends.all
      #expect(counted.values.reduce(0, +) == 960, "\(counted)")
      #expect(counted["ok", default: 0] > 100, "\(counted)")
      #expect(
        Set(counted.keys).isSubset(of: [
          "ok", "unavailable", "notFound", "internal", "deadlineExceeded",
        ]), "\(counted)")
    }
  }
}

/// How calls ended, and how often.
private final class Ends: Sendable {
  private let counts = Locked<[String: Int]>([:])
  var all: [String: Int] { counts.withLock { $0 } }
  func add(_ end: String) { counts.withLock { $0[end, default: 0] += 1 } }
}

private func outcome(_ body: () async throws -> Void) async -> String {
  guard let error = await failure(body) else { return "ok" }
  return "\(error.code)"
}
