// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

import Testing
import TrunkHTTP2
import TrunkSockets
import TrunkTesting

@testable import Trunkcall

@Suite(
  "Idle, age, grace and keepalive of a server's connections (gRFC A8, A9)", .timeLimit(.minutes(2)))
struct ServerConnectionLifeTests {
  private typealias Peer = ScriptedPeer

  @Test("the defaults are those of gRPC")
  func defaults() {
    let options = ServerOptions()
    #expect(options.keepaliveTime == .seconds(7_200) && options.keepaliveTimeout == .seconds(20))
    #expect(options.minPingInterval == .seconds(300) && !options.permitsPingsWithoutCalls)
    #expect(options.life.isEndless)
  }

  /// The two steps: 2^31 - 1, then the last stream.
  private func expectDrain(_ peer: ScriptedPeer, _ reason: String, last: Int32) async throws {
    let first = try await peer.goAway()
    #expect(first?.lastStream == .max && first?.code == 0)
    let second = try await peer.goAway()
    #expect(second == .init(lastStream: last, code: 0, debug: reason))
  }

  @Test("an idle connection is let go of in two steps: max_idle")
  func idle() async throws {
    var options = ServerOptions()
    options.maxConnectionIdle = .milliseconds(100)
    try await withServer([ProbeService()], options: options) { server, port in
      let peer = try await Peer.connect(port: port)
      try await peer.call(1, "/t.Probe/Echo", messages: [[1]])
      #expect(try await peer.response(1).status == 0)
      try await expectDrain(peer, "max_idle", last: 1)
      #expect(try await peer.rest().isEmpty)
      #expect(server.statistics.events[.maxIdle] == 1)
    }
  }

  @Test("a connection with a call is not idle, however quiet")
  func busy() async throws {
    var options = ServerOptions()
    options.maxConnectionIdle = .milliseconds(50)
    try await withServer([ProbeService()], options: options) { server, port in
      let peer = try await Peer.connect(port: port)
      try await peer.send(.headers(1, Peer.request("/t.Probe/Chat")))
      try await Task.sleep(for: .milliseconds(200))
      try await peer.send(.data(1, Peer.message([1]), endStream: true))
      #expect(try await peer.response(1).messages == [[1]])
      #expect(server.statistics.events[.maxIdle] == nil || server.statistics.callsSucceeded == 1)
      try await expectDrain(peer, "max_idle", last: 1)
    }
  }

  @Test("an old connection is let go of, its call goes on; after the grace it is cut off")
  func age() async throws {
    var options = ServerOptions()
    options.maxConnectionAge = .milliseconds(200)
    options.maxConnectionAgeGrace = .milliseconds(300)
    let probe = ProbeService()
    try await withServer([probe], options: options) { server, port in
      let peer = try await Peer.connect(port: port)
      try await peer.send(.headers(1, Peer.request("/t.Probe/Chat")))
      try await expectDrain(peer, "max_age", last: 1)
      try await peer.send(.data(1, Peer.message([1])))
      #expect(try await peer.message(on: 1) == [1])
      _ = try await peer.rest()
      #expect(try await holds { probe.cancelled.withLock { $0 } == 1 })
      #expect(server.statistics.events[.maxAge] == 1)
      #expect(server.statistics.events[.ageGraceOver] == 1)
    }
  }

  @Test("our channel sees an aged connection as a change of connection, and no call fails")
  func ageWithChannel() async throws {
    var options = ServerOptions()
    options.maxConnectionAge = .milliseconds(50)
    try await withServer([ProbeService()], options: options) { server, port in
      try await withChannel(to: "ipv4:127.0.0.1:\(port)") { channel in
        let end = ContinuousClock.now + .milliseconds(800)
        var calls: UInt8 = 0
        while ContinuousClock.now < end {
          calls &+= 1
          let reply = try await channel.unary(ProbeService.method("Echo"), [calls])
          #expect(reply == [calls])
        }
      }
      #expect(server.statistics.events[.maxAge, default: 0] >= 2)
    }
  }

  @Test(
    "a client that is silent is asked; if it stays silent it is given up, its calls are cancelled")
  func keepalive() async throws {
    var options = ServerOptions()
    options.keepaliveTime = .milliseconds(50)
    options.keepaliveTimeout = .milliseconds(200)
    let probe = ProbeService()
    try await withServer([probe], options: options) { server, port in
      let alive = try await Peer.connect(port: port)
      try await alive.call(1, "/t.Probe/Wait", messages: [[1]])
      let mute = try await Peer.connect(port: port, answersByItself: false)
      try await mute.call(1, "/t.Probe/Wait", messages: [[1]])
      async let rest = mute.rest()
      var pings = 0
      while pings < 8, let frame = try await alive.next() {
        if case .ping(_, ack: false) = frame { pings += 1 }
      }
      #expect(pings == 8)
      let frames = try await rest
      #expect(frames.contains { if case .ping(_, ack: false) = $0 { true } else { false } })
      #expect(try await holds { probe.cancelled.withLock { $0 } == 1 })
      #expect(server.statistics.events[.keepaliveTimeout] == 1)
      #expect(server.statistics.connections == 1)
      await alive.close()
    }
  }
}
