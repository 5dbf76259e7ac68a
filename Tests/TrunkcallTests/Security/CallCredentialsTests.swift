// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Testing
import TrunkSockets
import TrunkWire

@testable import Trunkcall

@Suite("Call credentials", .timeLimit(.minutes(1)))
struct CallCredentialsTests {
  private struct Token: CallCredentials {
    var allowsPlaintext = true
    var make: @Sendable (CallCredentialsRequest) async throws -> Metadata
    func metadata(for call: CallCredentialsRequest) async throws -> Metadata {
      try await make(call)
    }
  }
  private func metadata(_ request: CallCredentialsRequest) -> Metadata {
    ["authorization": "Bearer \(request.serviceURL) \(request.path)"]
  }
  private let service = AdHocService(
    unary: ["Show": { _, call in Array((call.metadata["authorization"] ?? "none").utf8) }],
    streams: [
      "ShowStream": { _, replies, call in
        try await replies.write(Array((call.metadata["authorization"] ?? "none").utf8))
      }
    ])

  private func with(
    _ credentials: [any CallCredentials], _ body: (GRPCChannel) async throws -> Void
  ) async throws {
    try await withServer([service]) { _, port in
      var options = ChannelOptions()
      options.credentials = credentials
      options.authority = "orders.example"
      try await withChannel(to: "ipv4:127.0.0.1:\(port)", options: options) { channel in
        try await body(channel)
      }
    }
  }

  @Test("they are asked with service and method before calls of every shape; the call's come last")
  func added() async throws {
    try await with([Token { metadata($0) }]) { channel in
      let expected = "Bearer http://orders.example/t.AdHoc /t.AdHoc/Show"
      let reply = try await channel.unary(AdHocService.method("Show"), [])
      #expect(String(decoding: reply, as: UTF8.self) == expected)
      let stream = try await channel.bidirectional(AdHocService.method("ShowStream"))
      try await stream.requests.finish()
      let first = try await stream.responses.next()
      #expect(first.map { String(decoding: $0, as: UTF8.self) } == expected + "Stream")
      var options = CallOptions()
      options.credentials = [Token { _ in ["authorization": "second"] }]
      let both = try await channel.unary(AdHocService.method("Show"), [], options)
      #expect(String(decoding: both, as: UTF8.self).hasPrefix("Bearer"), "the first value of two")
    }
  }

  @Test("without TLS they are not even asked, unless they allow it")
  func plaintext() async throws {
    let asked = Locked(0)
    var token = Token { _ in
      asked.withLock { $0 += 1 }
      return [:]
    }
    token.allowsPlaintext = false
    try await with([token]) { channel in
      let error = await failure { _ = try await channel.unary(AdHocService.method("Show"), []) }
      #expect(error?.code == .unauthenticated)
      #expect(error?.message == "call credentials are not sent over a channel without TLS")
    }
    #expect(asked.withLock { $0 } == 0)
  }

  @Test("what they throw is the call's end: statuses by A54, the rest UNAUTHENTICATED")
  func failing() async throws {
    struct Sick: Error {}
    for (thrown, code) in [
      (Sick() as any Error, RPCError.Code.unauthenticated),
      (RPCError(.unavailable, "later"), .unavailable),
      (RPCError(.permissionDenied, "no"), .permissionDenied),
      (RPCError(.invalidArgument, "odd"), .internal),
    ] {
      try await with([Token { _ in throw thrown }]) { channel in
        let error = await failure { _ = try await channel.unary(AdHocService.method("Show"), []) }
        #expect(error?.code == code)
      }
    }
  }

  @Test("the deadline covers them")
  func slow() async throws {
    let token = Token { _ in
      try await Task.sleep(for: .seconds(30))
      return [:]
    }
    try await with([token]) { channel in
      let error = await failure {
        _ = try await channel.unary(
          AdHocService.method("Show"), [], CallOptions(timeout: .milliseconds(50)))
      }
      #expect(error?.code == .deadlineExceeded)
    }
  }

  @Test("metadata that cannot travel fails the call before anything is sent")
  func bad() async throws {
    try await with([Token { _ in ["authorization": "line\nbreak"] }]) { channel in
      let error = await failure { _ = try await channel.unary(AdHocService.method("Show"), []) }
      #expect(error?.code == .internal)
    }
  }
}
