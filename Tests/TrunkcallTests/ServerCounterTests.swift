// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Testing
import TrunkSockets
import TrunkTesting

@testable import Trunkcall

@Suite("What a server counts comes back to zero", .timeLimit(.minutes(2)))
struct ServerCounterTests {
  @Test("a client that is let go of in its handshake gives its slot back")
  func idleHandshakes() async throws {
    var options = ServerOptions()
    options.loops = 1
    options.maxHandshakes = 4
    options.maxConnectionIdle = .milliseconds(20)
    try await withServer([ProbeService()], options: options) { server, port in
      // Each round takes a second; a slot that stays taken is missing in the second one.
      for _ in 0..<2 {
        var silent: [ScriptedPeer] = []
        for _ in 0..<4 {
          silent.append(
            try await ScriptedPeer.connect(port: port, preface: false, answersByItself: false))
        }
        for peer in silent { _ = try await peer.rest() }
        #expect(try await holds { server.statistics.connections == 0 })
      }
      #expect(server.statistics.events[.handshakeRefused] == nil)
      let peer = try await ScriptedPeer.connect(port: port)
      try await peer.call(1, "/t.Probe/Echo", messages: [[7]])
      #expect(try await peer.response(1).messages == [[7]])
      await peer.close()
    }
  }

  /// One client that does a few things at random and goes.
  private static func misbehave(_ port: UInt16, _ seed: UInt64) async {
    var random = Seeded(seed)
    do {
      let peer = try await ScriptedPeer.connect(
        port: port, preface: Int.random(in: 0..<4, using: &random) > 0,
        answersByItself: Bool.random(using: &random))
      var stream: Int32 = 1
      for _ in 0..<Int.random(in: 0..<8, using: &random) {
        switch Int.random(in: 0..<7, using: &random) {
        case 0: try await peer.call(stream, "/t.Probe/Echo", messages: [[1]])
        case 1: try await peer.call(stream, "/t.Probe/Wait", messages: [[1]])
        case 2: try await peer.send(.headers(stream, ScriptedPeer.request("/t.Probe/Chat")))
        case 3: try await peer.send(.headers(stream, ScriptedPeer.request("/t.Probe/Flood")))
        case 4: try await peer.send(.reset(max(1, stream - 2), 8))
        case 5: try await peer.send(raw: [0, 0, 0])
        default: try await Task.sleep(for: .milliseconds(Int.random(in: 0..<30, using: &random)))
        }
        stream += 2
      }
      await peer.close()
    } catch {}
  }

  private struct Seeded: RandomNumberGenerator {
    private var state: UInt64
    init(_ seed: UInt64) { state = seed &* 0x9e37_79b9_7f4a_7c15 | 1 }
    mutating func next() -> UInt64 {
      state ^= state << 13
      state ^= state >> 7
      state ^= state << 17
      return state
    }
  }

  @Test(
    "drain, close, timeout and handshake in any order: all counters come back to zero",
    arguments: 1...6 as ClosedRange<UInt64>)
  func chaos(_ seed: UInt64) async throws {
    var random = Seeded(seed)
    var options = ServerOptions()
    options.loops = 2
    options.maxHandshakes = 8
    options.maxConnections = 12
    options.handshakeTimeout = .milliseconds(Int.random(in: 10..<60, using: &random))
    options.maxConnectionIdle = .milliseconds(Int.random(in: 5..<60, using: &random))
    options.maxConnectionAge = .milliseconds(Int.random(in: 10..<100, using: &random))
    options.maxConnectionAgeGrace = .milliseconds(Int.random(in: 0..<50, using: &random))
    options.maxHandlersPerConnection = 2
    options.maxWaitingCalls = 3
    options.drain = .milliseconds(Int.random(in: 0..<50, using: &random))
    let stopsEarly = seed % 2 == 0
    let probe = ProbeService()
    let server = GRPCServer(on: .tcp("127.0.0.1", 0), services: [probe], options: options)
    let running = Task { try await server.run() }
    guard case .host(_, let port)? = try await server.listeningAddresses().first else { return }
    await withDiscardingTaskGroup { group in
      for client in 0..<40 {
        group.addTask { await ServerCounterTests.misbehave(port, seed * 1_000 + UInt64(client)) }
      }
      if stopsEarly {
        group.addTask {
          try? await Task.sleep(for: .milliseconds(20))
          server.shutDown()
        }
      }
    }
    let loops = server.loops
    func isQuiet() -> Bool {
      let statistics = server.statistics
      return statistics.connections == 0 && statistics.handlersRunning == 0
        && statistics.callsWaiting == 0 && loops.allSatisfy { $0.server.handshakes.taken == 0 }
        && loops.allSatisfy { $0.server.connections.taken == 0 }
    }
    let quiet = try await holds { isQuiet() }
    #expect(quiet, "\(server.statistics)")
    server.shutDown()
    try await running.value
    #expect(isQuiet())
  }

  @Test("a slot is released once, wherever it ends")
  func slots() async throws {
    let count = SlotCount(limit: 2)
    do {
      let first = count.take()
      let second = count.take()
      let third = count.take()
      let got = [first == nil, second == nil, third == nil]
      #expect(got == [false, false, true] && count.taken == 2)
    }
    #expect(count.taken == 0)
    for isTaken in [true, false] {
      guard let slot = count.take() else { return }
      let handover = SlotTransfer(slot)
      if isTaken { await Task.detached { _ = handover.take() }.value }
      #expect(count.taken == (isTaken ? 0 : 1))
    }
    #expect(count.taken == 0)
  }
}
