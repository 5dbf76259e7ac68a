// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Testing
import TrunkTesting
import Trunkcall

private let enhanceYourCalm: UInt32 = 11
private let options = CallOptions(timeout: .seconds(20))

@Suite("5.2 and 5.7: GOAWAY at every moment, and REFUSED_STREAM", .timeLimit(.minutes(2)))
struct GoAwayTests {
  @Test("goaway: after it the next call goes to a different connection, and the old one is closed")
  func afterCall() async throws {
    try await withScriptedServer { channel, listener in
      async let first = channel.unary(method("M"), [1], options)
      let peer = try await listener.accept()
      let request = try #require(try await peer.request())
      try await peer.answer(request.stream, messages: [[1]])
      #expect(try await first == [1])
      try await peer.send(.goAway(lastStream: request.stream, code: 0))
      _ = try await peer.rest()
      async let second = channel.unary(method("M"), [2], options)
      let next = try await listener.accept()
      try await next.answer(try #require(try await next.request()).stream, messages: [[2]])
      #expect(try await second == [2])
    }
  }

  /// Frames before GOAWAY, whose last stream is the call's, and frames after it.
  @Test(
    "a call at or below the last stream finishes, at whatever moment GOAWAY comes",
    arguments: [0, 1, 2])
  func lower(before: Int) async throws {
    try await withScriptedServer { channel, listener in
      async let reply = channel.unary(method("M"), [1], options)
      let peer = try await listener.accept()
      let stream = try #require(try await peer.request()).stream
      let answer = ScriptedPeer.response(stream, messages: [[7]])
      try await peer.send(Array(answer.prefix(before)))
      try await peer.send(.goAway(lastStream: .max, code: 0), .goAway(lastStream: stream, code: 0))
      try await peer.send(Array(answer.dropFirst(before)))
      #expect(try await reply == [7])
      _ = try await peer.rest()
    }
  }

  @Test("a call above the last stream was not processed: it goes to another connection, once")
  func above() async throws {
    try await withScriptedServer { channel, listener in
      async let reply = channel.unary(method("M"), [1], options)
      let first = try await listener.accept()
      _ = try #require(try await first.request())
      try await first.send(.goAway(lastStream: 0, code: enhanceYourCalm, debug: "busy"))
      let second = try await listener.accept()
      let request = try #require(try await second.request())
      #expect(request.messages == [[1]])
      try await second.answer(request.stream, messages: [[7]])
      #expect(try await reply == [7])

      // Twice in a row is enough: UNAVAILABLE, for a policy to retry.
      async let outcome = failure { _ = try await channel.unary(method("M"), [2], options) }
      _ = try #require(try await second.request())
      try await second.send(.goAway(lastStream: request.stream, code: 0))
      let third = try await listener.accept()
      _ = try #require(try await third.request())
      try await third.send(.goAway(lastStream: 0, code: 0))
      #expect(await outcome?.code == .unavailable)
    }
  }

  @Test("a call that has its headers is not sent again, wherever the last stream is")
  func committed() async throws {
    try await withScriptedServer { channel, listener in
      async let outcome = failure { _ = try await channel.unary(method("M"), [1], options) }
      let peer = try await listener.accept()
      let stream = try #require(try await peer.request()).stream
      try await peer.send(
        .headers(stream, ScriptedPeer.responseHead()), .goAway(lastStream: 0, code: 0))
      #expect(await outcome?.code == .unavailable)
    }
  }

  @Test("GOAWAY before and right behind SETTINGS: the call goes on to a server that takes it")
  func early() async throws {
    try await withScriptedServer { channel, listener in
      async let reply = channel.unary(
        method("M"), [1], CallOptions(timeout: .seconds(20), waitForReady: true))
      let first = try await listener.accept(settings: nil)
      try await first.send(.goAway(lastStream: 0, code: 0))
      _ = try await first.rest()
      let second = try await listener.accept(settings: nil)
      try await second.send(.settings([]), .goAway(lastStream: 0, code: 0))
      let third = try await listener.accept()
      try await third.answer(try #require(try await third.request()).stream, messages: [[7]])
      #expect(try await reply == [7])
    }
  }

  /// nginx ends a connection after `keepalive_requests`, Envoy after `max_requests_per_connection`.
  @Test("a server that ends every connection after one call is called without a pause")
  func everyCall() async throws {
    let calls = 40
    try await withScriptedServer { channel, listener in
      let server = Task {
        for index in 0..<calls {
          let peer = try await listener.accept()
          let stream = try #require(try await peer.request()).stream
          var frames = ScriptedPeer.response(stream, messages: [[7]])
          // In every order that servers have.
          frames.insert(.goAway(lastStream: stream, code: 0), at: [3, 0, 1][index % 3])
          try await peer.send(frames)
          Task { _ = try? await peer.rest() }
        }
      }
      // A pause would be of a second and more, each longer than the one before.
      for _ in 0..<calls {
        #expect(try await channel.unary(method("M"), [1], CallOptions(timeout: .seconds(5))) == [7])
      }
      try await server.value
    }
  }

  @Test("after useless connections calls fail, and say what happened and when it goes on")
  func diagnostics() async throws {
    var channelOptions = ChannelOptions()
    channelOptions.backoff.initial = .seconds(30)
    try await withScriptedServer(options: channelOptions) { channel, listener in
      async let outcome = failure {
        _ = try await channel.unary(method("M"), [1], CallOptions(timeout: .seconds(2)))
      }
      for _ in 0..<2 {
        let peer = try await listener.accept(settings: nil)
        try await peer.send(.settings([]), .goAway(lastStream: 0, code: 0))
      }
      let error = await outcome
      #expect(error?.code == .unavailable)
      let diagnostics = error?.diagnostics ?? ""
      #expect(diagnostics.contains("GOAWAY before it answered a call"), "\(diagnostics)")
      #expect(diagnostics.contains("attempt 2, next in"), "\(diagnostics)")
    }
  }

  @Test("a server that closes behind its GOAWAY leaves UNAVAILABLE for calls it had taken")
  func closes() async throws {
    try await withScriptedServer { channel, listener in
      async let outcome = failure { _ = try await channel.unary(method("M"), [1], options) }
      let peer = try await listener.accept()
      let stream = try #require(try await peer.request()).stream
      try await peer.send(.goAway(lastStream: stream, code: 2, debug: "out of order"))
      await peer.close()
      let error = await outcome
      #expect(error?.code == .unavailable && error?.message.contains("out of order") == true)
    }
  }

  @Test("a client that closes says GOAWAY")
  func ours() async throws {
    let listener = try await ScriptedPeerListener.listen()
    defer { listener.close() }
    let channel = try GRPCChannel(to: "ipv4:127.0.0.1:\(listener.port)")
    async let reply = channel.unary(method("M"), [1], options)
    let peer = try await listener.accept()
    try await peer.answer(try #require(try await peer.request()).stream, messages: [[7]])
    #expect(try await reply == [7])
    await channel.close()
    let last = try await peer.rest()
    #expect(last.contains(.goAway(lastStream: 0, code: 0)))
  }

  @Test("REFUSED_STREAM: sent again once, then UNAVAILABLE; what may have been processed never")
  func refused() async throws {
    try await withScriptedServer { channel, listener in
      async let outcome = failure { _ = try await channel.unary(method("M"), [1], options) }
      let peer = try await listener.accept()
      for _ in 0..<2 {
        try await peer.send(.reset(try #require(try await peer.request()).stream, 7))
      }
      #expect(await outcome?.code == .unavailable)
      async let cancelled = failure { _ = try await channel.unary(method("M"), [1], options) }
      try await peer.send(.reset(try #require(try await peer.request()).stream, 8))
      #expect(await cancelled?.code == .cancelled)
    }
  }
}
