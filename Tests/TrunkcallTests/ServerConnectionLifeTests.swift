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
      let first = try await peer.goAway()
      #expect(first == .init(lastStream: .max, code: 0))
      #expect(try await peer.goAway() == .init(lastStream: 0, code: 0, debug: "max_idle"))
      #expect(try await peer.rest().isEmpty)
      #expect(server.statistics.events[.maxIdle] == 1)
    }
  }

  @Test("a connection with a call is not idle, however quiet; without it, it is")
  func busy() async throws {
    var options = ServerOptions()
    options.maxConnectionIdle = .milliseconds(50)
    try await withServer([ProbeService()], options: options) { server, port in
      try await inTime {
        let before = server.statistics.events[.maxIdle] ?? 0
        let peer = try await Peer.connect(port: port)
        try await peer.send(.headers(1, Peer.request("/t.Probe/Chat")))
        try await peer.send(.data(1, Peer.message([1])))
        guard try await peer.message(on: 1) == [1] else { return false }
        guard server.statistics.events[.maxIdle, default: 0] == before else { return false }
        // Several times the idle limit: nothing may happen in it.
        try await Task.sleep(for: .milliseconds(200))
        #expect(server.statistics.events[.maxIdle, default: 0] == before)
        try await peer.send(.data(1, Peer.message([2]), endStream: true))
        #expect(try await peer.message(on: 1) == [2])
        try await expectDrain(peer, "max_idle", last: 1)
        return true
      }
    }
  }

  @Test("an old connection is let go of, its call goes on; after the grace it is cut off")
  func age() async throws {
    var options = ServerOptions()
    options.maxConnectionAge = .milliseconds(300)
    options.maxConnectionAgeGrace = .seconds(1)
    let probe = ProbeService()
    try await withServer([probe], options: options) { server, port in
      try await inTime {
        let peer = try await Peer.connect(port: port)
        try await peer.send(.headers(1, Peer.request("/t.Probe/Chat")))
        let first = try await peer.goAway()
        let second = try await peer.goAway()
        guard first?.lastStream == .max, second?.lastStream == 1 else { return false }
        #expect(second?.debug == "max_age" && second?.code == 0)
        try await peer.send(.data(1, Peer.message([1])))
        guard try await peer.message(on: 1) == [1] else { return false }
        _ = try await peer.rest()
        #expect(try await holds { server.statistics.handlersRunning == 0 })
        #expect(probe.cancelled.withLock { $0 } >= 1)
        #expect(server.statistics.events[.maxAge, default: 0] >= 1)
        #expect(server.statistics.events[.ageGraceOver, default: 0] >= 1)
        return true
      }
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

  @Test("a client that answers is asked again and again, and kept")
  func keepalive() async throws {
    var options = ServerOptions()
    options.keepaliveTime = .milliseconds(50)
    try await withServer([ProbeService()], options: options) { server, port in
      let peer = try await Peer.connect(port: port)
      for _ in 0..<5 { #expect(try await peer.next { isPing($0) } != nil) }
      #expect(server.statistics.connections == 1)
      await peer.close()
    }
  }

  @Test("a client that stays silent after a PING is given up, its calls are cancelled")
  func silent() async throws {
    var options = ServerOptions()
    options.keepaliveTime = .milliseconds(50)
    options.keepaliveTimeout = .milliseconds(500)
    let probe = ProbeService()
    try await withServer([probe], options: options) { server, port in
      try await inTime {
        let peer = try await Peer.connect(port: port, answersByItself: false)
        try await peer.call(1, "/t.Probe/Wait", messages: [[1]])
        let frames = try await peer.rest()
        guard server.statistics.callsStarted > 0 else { return false }
        #expect(frames.contains { isPing($0) })
        #expect(try await holds { server.statistics.handlersRunning == 0 })
        #expect(probe.cancelled.withLock { $0 } >= 1)
        #expect(server.statistics.events[.keepaliveTimeout, default: 0] >= 1)
        return true
      }
    }
  }

  private func isPing(_ frame: ScriptedFrame) -> Bool {
    if case .ping(_, ack: false) = frame { true } else { false }
  }
}

/// On a busy machine a short time may be over before the test has come to use it: then again.
func inTime(_ body: () async throws -> Bool) async throws {
  for _ in 0..<20 {
    if let isDone = try? await body(), isDone { return }
  }
  #expect(try await body())
}
