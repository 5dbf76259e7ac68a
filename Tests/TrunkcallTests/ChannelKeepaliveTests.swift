// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

import Testing
import TrunkHTTP2
import TrunkSockets
import TrunkTesting

@testable import Trunkcall

@Suite("Keepalive of a channel (gRFC A8)", .timeLimit(.minutes(2)))
struct ChannelKeepaliveTests {
  private func options(_ time: Duration, timeout: Duration = .seconds(20)) -> ChannelOptions {
    var options = ChannelOptions()
    options.keepaliveFloor = .zero
    options.keepaliveTime = time
    options.keepaliveTimeout = timeout
    options.livenessTimeout = nil
    return options
  }

  private func isPing(_ frame: ScriptedFrame) -> Bool {
    if case .ping(_, ack: false) = frame { true } else { false }
  }

  @Test("10 s is the floor, none the default, 20 s the timeout")
  func defaults() {
    var options = ChannelOptions()
    #expect(options.keepalive == nil && options.keepaliveTimeout == .seconds(20))
    options.keepaliveTime = .seconds(1)
    #expect(options.keepalive?.time == 10_000_000_000)
    #expect(
      options.keepalive?.timeout == 20_000_000_000 && options.keepalive?.withoutCalls == false)
  }

  @Test("a silent server with a call is asked; without an answer its calls fail with UNAVAILABLE")
  func dead() async throws {
    let listener = try await ScriptedPeerListener.listen()
    let options = options(.milliseconds(50), timeout: .milliseconds(200))
    try await withChannel(to: "ipv4:127.0.0.1:\(listener.port)", options: options) { channel in
      async let error = failure { _ = try await channel.unary(method("M"), [1]) }
      let peer = try await listener.accept(answersByItself: false)
      #expect(try await peer.next(where: isPing) != nil)
      let seen = await error
      #expect(seen?.code == .unavailable && seen?.origin == .local)
      #expect(seen?.message.contains("no answer to a keepalive ping") == true)
      _ = try await peer.rest()
    }
    listener.close()
  }

  @Test("a server that answers is kept, and asked again")
  func alive() async throws {
    let listener = try await ScriptedPeerListener.listen()
    let options = options(.milliseconds(20), timeout: .seconds(20))
    try await withChannel(to: "ipv4:127.0.0.1:\(listener.port)", options: options) { channel in
      async let error = failure { _ = try await channel.unary(method("M"), [1]) }
      let peer = try await listener.accept()
      for _ in 0..<3 { #expect(try await peer.next(where: isPing) != nil) }
      try await peer.send(
        .headers(
          1,
          [
            ScriptedHeader(":status", "200"), ScriptedHeader("content-type", "application/grpc"),
            ScriptedHeader("grpc-status", "10"),
          ], endStream: true))
      #expect(await error?.code == .aborted)
    }
    listener.close()
  }

  @Test("without a call nobody is asked, unless that is wished", arguments: [false, true])
  func withoutCalls(_ wished: Bool) async throws {
    let listener = try await ScriptedPeerListener.listen()
    var options = options(.milliseconds(20))
    options.keepaliveWithoutCalls = wished
    try await withChannel(to: "ipv4:127.0.0.1:\(listener.port)", options: options) { channel in
      channel.connect()
      let peer = try await listener.accept()
      try await channel.ready(within: .seconds(5))
      if wished {
        #expect(try await peer.next(where: isPing) != nil)
      } else {
        // What the client sends for a PING of the server's shows all that came before it.
        try await Task.sleep(for: .milliseconds(100))
        try await peer.send(.ping([9, 9, 9, 9, 9, 9, 9, 9]))
        var pings = 0
        while let frame = try await peer.next() {
          if isPing(frame) { pings += 1 }
          if case .ping(_, ack: true) = frame { break }
        }
        #expect(pings == 0)
        // A call wakes it.
        async let error = failure { _ = try await channel.unary(method("M"), [1]) }
        #expect(try await peer.next(where: isPing) != nil)
        await peer.close()
        #expect(await error?.code == .unavailable)
      }
    }
    listener.close()
  }

  @Test("too_many_pings doubles the time for the channel's next connections")
  func tooManyPings() async throws {
    let listener = try await ScriptedPeerListener.listen()
    let options = options(.milliseconds(400))
    try await withChannel(to: "ipv4:127.0.0.1:\(listener.port)", options: options) { channel in
      channel.connect()
      let first = try await listener.accept()
      try await channel.ready(within: .seconds(5))
      try await first.send(.goAway(lastStream: 0, code: 11, debug: "too_many_pings"))
      _ = try await first.rest()
      async let error = failure { _ = try await channel.unary(method("M"), [1]) }
      let second = try await listener.accept()
      #expect(try await second.next(where: isPing) != nil)
      let time = await channel.keepaliveTime
      #expect(time == 800_000_000)
      await second.close()
      #expect(await error?.code == .unavailable)
    }
    listener.close()
  }

  @Test(
    "a server's own limit of PINGs is felt: our channel and our server, until the time has doubled")
  func bothSides() async throws {
    var server = ServerOptions()
    server.minPingInterval = .seconds(60)
    try await withServer([ProbeService()], options: server) { server, port in
      let options = options(.milliseconds(30))
      try await withChannel(to: "ipv4:127.0.0.1:\(port)", options: options) { channel in
        let error = await failure {
          _ = try await channel.unary(
            ProbeService.method("Wait"), [1], CallOptions(timeout: .seconds(10)))
        }
        #expect(error?.code == .unavailable)
        #expect(error?.message.contains("too_many_pings") == true)
      }
      #expect(server.statistics.events[.tooManyPings] == 1)
    }
  }
}

extension GRPCChannel {
  /// Of the connections that are made from now on, in nanoseconds.
  fileprivate var keepaliveTime: UInt64? {
    get async {
      let context = context
      return await context.controlLoop.perform {
        context.controller.value.connectionSettings.keepalive?.time
      }
    }
  }
}
