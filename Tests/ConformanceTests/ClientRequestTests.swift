// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Glibc
import Testing
import TrunkSockets
import TrunkTesting
import Trunkcall

private let cancel: UInt32 = 8

/// What a client under test sends for one unary call, which is answered.
private func request(
  _ payload: [UInt8] = [1], _ options: CallOptions = CallOptions()
) async throws -> ScriptedRequest {
  var seen: ScriptedRequest?
  try await withScriptedServer { channel, listener in
    async let reply = channel.unary(method("Name"), payload, options)
    let peer = try await listener.accept()
    let request = try #require(try await peer.request())
    try await peer.answer(request.stream, messages: [[]])
    _ = try await reply
    seen = request
  }
  return try #require(seen)
}

@Suite("5.7, the client's side: requests", .timeLimit(.minutes(2)))
struct ClientRequestTests {
  @Test("pseudo-headers, then te, timeout and the rest of the definition, then custom metadata")
  func order() async throws {
    var options = CallOptions(timeout: .seconds(50))
    options.metadata = ["x-a": "1", "b": "2"]
    options.metadata.add("3", for: "X-A")
    options.metadata.add(binary: [0, 1], for: "c-bin")
    let request = try await request([1], options)
    #expect(
      request.head.map(\.name) == [
        ":method", ":scheme", ":path", ":authority", "te", "grpc-timeout", "content-type",
        "grpc-accept-encoding", "user-agent", "x-a", "b", "x-a", "c-bin",
      ])
    #expect(request[":method"] == "POST" && request[":scheme"] == "http")
    #expect(request.path == "/t.S/Name" && request["te"] == "trailers")
    #expect(request["content-type"] == "application/grpc")
    #expect(request.head.filter { $0.name == "x-a" }.map(\.value) == ["1", "3"])
    // Unpadded.
    #expect(request["c-bin"] == "AAE")
    // grpc-<language>[-<variant>]/<version>
    #expect(request["user-agent"]?.wholeMatch(of: /grpc-swift-[a-z]+\/[0-9.]+/) != nil)
  }

  @Test("grpc-timeout: at most eight digits and a unit, never above what is left; none without one")
  func timeout() async throws {
    #expect(try await request()["grpc-timeout"] == nil)
    let units: [Character: Int64] = [
      "n": 1, "u": 1_000, "m": 1_000_000, "S": 1_000_000_000, "M": 60_000_000_000,
      "H": 3_600_000_000_000,
    ]
    for seconds: Int64 in [5, 99, 86_400, 3_153_600_000] {
      let value = try #require(
        try await request([1], CallOptions(timeout: .seconds(seconds)))["grpc-timeout"])
      let match = try #require(value.wholeMatch(of: /([0-9]{1,8})([HMSmun])/), "\(value)")
      let unit = try #require(match.2.first.flatMap { units[$0] })
      let sent = try #require(Int64(match.1)) * unit
      #expect(sent > 0 && sent <= seconds * 1_000_000_000)
      #expect(sent / 1_000_000_000 >= (seconds - 4) * 99 / 100)
    }
  }

  @Test("a request is one length-prefixed message with flag 0, and its end is on DATA")
  func message() async throws {
    for payload in [[], [1, 2, 3], [UInt8](repeating: 7, count: 50_000)] as [[UInt8]] {
      let request = try await request(payload)
      #expect(request.data == ScriptedPeer.message(payload))
      guard case .data(_, _, endStream: true)? = request.frames.last else {
        return #expect(Bool(false), "\(request.frames)")
      }
    }
  }

  @Test("a stream of requests ends with END_STREAM on a DATA frame, an empty one if need be")
  func emptyEnd() async throws {
    try await withScriptedServer { channel, listener in
      async let opened = channel.clientStreaming(method("M"))
      let peer = try await listener.accept()
      let call = try await opened
      try await call.requests.write([1])
      let head = try #require(try await peer.requestHead())
      #expect(!head.hasEnded)
      #expect(try await peer.message(on: head.stream) == [1])
      async let reply = call.response()
      #expect(
        try await peer.next(where: { $0.stream == head.stream })
          == .data(head.stream, [], endStream: true))
      try await peer.answer(head.stream, messages: [[2]])
      #expect(try await reply == [2])
    }
  }

  @Test(
    "reserved and impossible metadata is refused before anything is sent",
    arguments: [
      ("grpc-anything", "1"), (":path", "/"), ("te", "trailers"), ("content-type", "x"),
      ("user-agent", "x"), ("host", "x"), ("connection", "close"), ("a b", "1"), ("ä", "1"),
      ("", "1"), ("grpc-status", "0"), ("x", "a\nb"), ("x", "\u{7F}"), ("x-bin", "*"),
    ])
  func refused(name: String, value: String) async throws {
    try await withScriptedServer { channel, listener in
      let error = await failure {
        _ = try await channel.unary(method("M"), [], CallOptions(metadata: [name: value]))
      }
      #expect(error?.code == .internal && error?.origin == .local)
    }
  }

  @Test("cancelling and the deadline send RST_STREAM CANCEL, whatever has come by then")
  func cancels() async throws {
    try await withScriptedServer { channel, listener in
      let call = Task { try await channel.unary(method("M"), [1]) }
      let peer = try await listener.accept()
      let first = try #require(try await peer.request())
      call.cancel()
      #expect(
        try await peer.next(where: { $0.stream == first.stream }) == .reset(first.stream, cancel))
      let cancelled = await failure { _ = try await call.value }
      #expect(cancelled?.code == .cancelled)

      async let late = failure {
        _ = try await channel.unary(method("M"), [1], CallOptions(timeout: .milliseconds(400)))
      }
      let second = try #require(try await peer.request())
      try await peer.send(.headers(second.stream, ScriptedPeer.responseHead()))
      #expect(
        try await peer.next(where: { $0.stream == second.stream }) == .reset(second.stream, cancel))
      #expect(await late?.code == .deadlineExceeded)
    }
  }

  @Test("CANCELLED that comes after the deadline is shown as DEADLINE_EXCEEDED")
  func cancelledLate() async throws {
    let group = try EventLoopGroup(loops: 1)
    defer { group.shutdown() }
    var options = ChannelOptions()
    options.group = group
    try await withScriptedServer(options: options) { channel, listener in
      channel.connect()
      let peer = try await listener.accept()
      try await channel.ready(within: .seconds(10))
      async let outcome = failure {
        _ = try await channel.unary(method("M"), [1], CallOptions(timeout: .milliseconds(400)))
      }
      let request = try #require(try await peer.request())
      // The client is busy until its deadline is over: the reset is the first that it sees then.
      let isBusy = Locked(false)
      group.loops[0].later {
        isBusy.withLock { $0 = true }
        usleep(500_000)
      }
      #expect(try await holds { isBusy.withLock { $0 } })
      try await peer.send(.reset(request.stream, cancel))
      #expect(await outcome?.code == .deadlineExceeded)
    }
  }

  @Test("PING comes back with the same eight bytes, before, between and after the frames of a call")
  func ping() async throws {
    try await withScriptedServer { channel, listener in
      async let reply = channel.unary(method("M"), [1])
      let peer = try await listener.accept()
      let request = try #require(try await peer.request())
      let answer = ScriptedPeer.response(request.stream, messages: [[5]])
      for (index, frame) in answer.enumerated() {
        try await peer.send(.ping([UInt8](repeating: UInt8(index), count: 8)), frame)
      }
      try await peer.send(.ping([UInt8](repeating: 9, count: 8)))
      #expect(try await reply == [5])
      for index in [0, 1, 2, 9] as [UInt8] {
        let ack = try await peer.next(where: { if case .ping = $0 { true } else { false } })
        #expect(ack == .ping([UInt8](repeating: index, count: 8), ack: true))
      }
    }
  }

  @Test("a connection begins with the preface and SETTINGS, without an upgrade; push is off")
  func preface() async throws {
    try await withScriptedServer { channel, listener in
      channel.connect()
      // `accept` has read the preface.
      let peer = try await listener.accept()
      guard case .settings(let entries)? = try await peer.next() else {
        return #expect(Bool(false), "no SETTINGS")
      }
      #expect(entries.contains(.enablePush(0)))
      #expect(entries.contains(.maxHeaderListSize(16_384)))
    }
  }
}
