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

@Suite("Calls with a retry policy (gRFC A6)", .timeLimit(.minutes(1))) struct RetryTests {
  /// The `grpc-previous-rpc-attempts` of each attempt; "-" for none.
  private final class Attempts: Sendable {
    private let seen = Locked<[String]>([])
    var all: [String] { seen.withLock { $0 } }
    func note(_ stream: ScriptedStream) -> Int {
      let previous = stream.headers["grpc-previous-rpc-attempts"] ?? "-"
      return seen.withLock {
        $0.append(previous)
        return $0.count
      }
    }
  }

  private func options(
    attempts: Int = 4, backoff: String = "0.005s", throttling: String = ""
  ) throws -> ChannelOptions {
    var options = ChannelOptions()
    options.defaultServiceConfig = try ServiceConfig(
      json: """
        {\(throttling)"methodConfig": [{"name": [{}], "retryPolicy": {"maxAttempts": \(attempts),
          "initialBackoff": "\(backoff)", "maxBackoff": "1s", "backoffMultiplier": 2,
          "retryableStatusCodes": ["UNAVAILABLE"]}}]}
        """)
    return options
  }

  private static let unavailable: Metadata = [
    ":status": "200", "content-type": "application/grpc", "grpc-status": "14",
    "grpc-message": "not now",
  ]

  /// Fails so many attempts with Trailers-Only, then echoes.
  private func flaky(
    _ failures: Int, _ attempts: Attempts, _ block: Metadata = RetryTests.unavailable
  ) async throws -> ScriptedServer {
    try await ScriptedServer { stream, event in
      switch event {
      case .opened:
        if attempts.note(stream) <= failures { stream.answer(block) } else { stream.respond() }
      case .message(let message): if stream.stream.isOpen { stream.send(message) }
      case .ended: if stream.stream.isOpen { stream.finish(["grpc-status": "0"]) }
      case .closed: break
      }
    }
  }

  @Test("a unary call is sent again until it succeeds; servers read which attempt it is")
  func unary() async throws {
    let attempts = Attempts()
    let server = try await flaky(2, attempts)
    try await withChannel(to: server.target, options: try options()) { channel in
      let reply = try await channel.unary(method("M"), [7])
      #expect(reply == [7])
    }
    #expect(attempts.all == ["-", "1", "2"])
  }

  @Test("so are streams, with all that was written; readers and writers notice nothing")
  func streams() async throws {
    let attempts = Attempts()
    let server = try await flaky(2, attempts)
    try await withChannel(to: server.target, options: try options()) { channel in
      let call = try await channel.bidirectional(method("M"))
      for byte in 1...3 as ClosedRange<UInt8> { try await call.requests.write([byte]) }
      try await call.requests.finish()
      var echo: [[UInt8]] = []
      while let message = try await call.responses.next() { echo.append(message) }
      #expect(echo == [[1], [2], [3]])
    }
    #expect(attempts.all == ["-", "1", "2"])
  }

  @Test("after the last attempt its status is the call's, and diagnostics have a line for each")
  func exhausted() async throws {
    let attempts = Attempts()
    let server = try await flaky(9, attempts)
    try await withChannel(to: server.target, options: try options(attempts: 3)) { channel in
      let error = await failure { _ = try await channel.unary(method("M"), [7]) }
      #expect(error?.code == .unavailable && error?.message == "not now")
      let lines =
        error?.diagnostics.split(separator: "\n").filter { $0.hasPrefix("attempt ") } ?? []
      #expect(lines.count == 3, "\(error?.diagnostics ?? "")")
      #expect(lines.last?.contains("attempt 3") == true && lines.last?.contains("not now") == true)
    }
    #expect(attempts.all == ["-", "1", "2"])
  }

  @Test("response headers commit a call: what fails after them is not retried")
  func committed() async throws {
    let attempts = Attempts()
    let server = try await ScriptedServer { stream, event in
      guard case .opened = event else { return }
      _ = attempts.note(stream)
      stream.respond()
      stream.finish(["grpc-status": "14"])
    }
    try await withChannel(to: server.target, options: try options()) { channel in
      let error = await failure { _ = try await channel.unary(method("M"), [7]) }
      #expect(error?.code == .unavailable)
    }
    #expect(attempts.all == ["-"])
  }

  @Test(
    "a status that the policy does not name is not retried; nor is any without a policy's leave")
  func otherStatus() async throws {
    let attempts = Attempts()
    var block = RetryTests.unavailable
    block = [":status": "200", "content-type": "application/grpc", "grpc-status": "13"]
    let server = try await flaky(9, attempts, block)
    try await withChannel(to: server.target, options: try options()) { channel in
      let error = await failure { _ = try await channel.unary(method("M"), [7]) }
      #expect(error?.code == .internal)
    }
    #expect(attempts.all.count == 1)
    let second = Attempts()
    let other = try await flaky(1, second)
    var off = try options()
    off.followsRetryPolicies = false
    try await withChannel(to: other.target, options: off) { channel in
      let error = await failure { _ = try await channel.unary(method("M"), [7]) }
      #expect(error?.code == .unavailable)
    }
    #expect(second.all.count == 1)
  }

  @Test("pushback sets the wait of the next attempt, or forbids it")
  func pushback() async throws {
    var block = RetryTests.unavailable
    block.add("0", for: "grpc-retry-pushback-ms")
    let attempts = Attempts()
    let server = try await flaky(1, attempts, block)
    // The policy's own wait would be over a minute.
    let slow = try options(backoff: "100s")
    try await withChannel(to: server.target, options: slow) { channel in
      let reply = try await channel.unary(method("M"), [7], CallOptions(timeout: .seconds(20)))
      #expect(reply == [7])
    }
    var never = RetryTests.unavailable
    never.add("-1", for: "grpc-retry-pushback-ms")
    let second = Attempts()
    let other = try await flaky(1, second, never)
    try await withChannel(to: other.target, options: try options()) { channel in
      let error = await failure { _ = try await channel.unary(method("M"), [7]) }
      #expect(error?.code == .unavailable)
    }
    #expect(second.all.count == 1)
  }

  @Test(
    "deadline and cancellation end a call that waits for its next attempt",
    arguments: [false, true])
  func ended(byDeadline: Bool) async throws {
    let attempts = Attempts()
    let server = try await flaky(9, attempts)
    try await withChannel(to: server.target, options: try options(backoff: "100s")) { channel in
      let limit: Duration = byDeadline ? .milliseconds(300) : .seconds(50)
      let call = Task {
        await failure { _ = try await channel.unary(method("M"), [7], CallOptions(timeout: limit)) }
      }
      await eventually("the first attempt fails") { attempts.all.count == 1 }
      if !byDeadline { call.cancel() }
      let error = await call.value
      #expect(error?.code == (byDeadline ? .deadlineExceeded : .cancelled))
    }
    #expect(attempts.all.count == 1)
  }

  @Test("while too many calls fail, none is retried; what succeeds gives tokens back")
  func throttled() async throws {
    let attempts = Attempts()
    let server = try await flaky(2, attempts)
    let throttling = #""retryThrottling": {"maxTokens": 4, "tokenRatio": 2}, "#
    try await withChannel(to: server.target, options: try options(throttling: throttling)) {
      channel in
      // The first failure leaves 3 of 4 tokens: retried. The second leaves 2: not retried.
      let error = await failure { _ = try await channel.unary(method("M"), [7]) }
      #expect(error?.code == .unavailable)
      #expect(attempts.all == ["-", "1"])
      let reply = try await channel.unary(method("M"), [8])
      #expect(reply == [8])
      let tokens = channel.context.retryTokens.withLock { $0?.milliTokens }
      #expect(tokens == 4_000)
    }
  }

  @Test("a server that cannot be reached is a failed attempt; the next one may find it")
  func unreachable() async throws {
    let port = try await freePorts(1)[0]
    var options = try options(attempts: 5, backoff: "0.3s")
    options.backoff.initial = .milliseconds(50)
    options.backoff.maximum = .milliseconds(100)
    try await withChannel(to: "ipv4:127.0.0.1:\(port)", options: options) { channel in
      async let reply = channel.unary(method("M"), [7], CallOptions(timeout: .seconds(20)))
      try await Task.sleep(for: .milliseconds(100))
      let server = try await ScriptedServer(port: port)
      let echo = try await reply
      #expect(echo == [7])
      _ = server
    }
  }

  @Test(
    "a call that has sent more than the buffer holds is not retried; all that is kept is given back"
  )
  func buffers() async throws {
    for (perCall, total) in [(1_000, 1 << 20), (1 << 20, 1_000)] {
      let attempts = Attempts()
      let server = try await flaky(1, attempts)
      var options = try options()
      options.maxRetryBufferSize = perCall
      options.maxRetryBufferTotal = total
      try await withChannel(to: server.target, options: options) { channel in
        let large = [UInt8](repeating: 1, count: 2_000)
        let error = await failure { _ = try await channel.unary(method("M"), large) }
        #expect(error?.code == .unavailable)
        #expect(attempts.all.count == 1)
        #expect(channel.context.retryBuffer.load(ordering: .relaxed) == 0)
        let small = try await channel.unary(method("M"), [1])
        #expect(small == [1])
        #expect(channel.context.retryBuffer.load(ordering: .relaxed) == 0)
      }
    }
  }

  @Test("a handler reads which attempt it serves, and says when the next one is to come, or none")
  func handlers() async throws {
    let seen = Locked<[Int]>([])
    let service = AdHocService(unary: [
      "Later": { payload, call in
        seen.withLock { $0.append(call.previousAttempts) }
        if call.previousAttempts == 2 { return payload }
        try call.setRetryPushback(.milliseconds(1))
        throw RPCError(.unavailable, "later")
      },
      "Never": { _, call in
        seen.withLock { $0.append(call.previousAttempts) }
        try call.setRetryPushback(nil)
        throw RPCError(.unavailable, "never")
      },
    ])
    // The policy's own wait would be over a minute.
    let options = try options(backoff: "100s")
    try await withServer([service]) { _, port in
      try await withChannel(to: "ipv4:127.0.0.1:\(port)", options: options) { channel in
        let limit = CallOptions(timeout: .seconds(20))
        let reply = try await channel.unary(AdHocService.method("Later"), [7], limit)
        #expect(reply == [7])
        #expect(seen.withLock { $0 } == [0, 1, 2])
        let error = await failure {
          _ = try await channel.unary(AdHocService.method("Never"), [7], limit)
        }
        #expect(error?.message == "never")
        #expect(seen.withLock { $0 } == [0, 1, 2, 0])
      }
    }
  }
}
