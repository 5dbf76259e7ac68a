// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

import FoundationEssentials
import Glibc
import ProcessSupport
import Testing
import TrunkSockets
import TrunkTesting
import TrunkWire
import Trunkcall

@Suite("Much at once", .serialized, .timeLimit(.minutes(5)))
struct LoadTests {
  private typealias Peer = ScriptedPeer
  private static let mebibyte = 1 << 20

  @Test("400 answers of 1 MiB, asked for and never read: bounded, shed, and none is lost")
  func unreadReplies() async throws {
    let victim = try await Victim.start("streams=500")
    try await withChannel(to: victim.target) { channel in
      _ = try await victim.statistics(channel)
      let memory = victim.memory
      let peer = try await Peer.connect(port: victim.port)
      for call in 0..<400 {
        try await peer.call(
          Peer.stream(call), "/t.Attacked/Reply", messages: [Array("1048576".utf8)])
      }
      // Those that are shed are told at once, though no window is open.
      var statuses: [Int32: String] = [:]
      func note(_ frame: ScriptedFrame) {
        guard case .headers(let stream, let fields, endStream: true) = frame else { return }
        statuses[stream] = fields.first { $0.name == "grpc-status" }?.value
      }
      while statuses.count < 283, let frame = try await peer.next() { note(frame) }
      #expect(statuses.values.allSatisfy { $0 == "8" })
      var figures = try await victim.statistics(channel)
      // 16 MiB and the one that went beyond, less what the first window took.
      #expect(figures["started", default: 0] <= 2 + 18)
      let waiting = figures["waiting", default: 0]
      #expect(waiting <= 100 && figures["callShed", default: 0] >= 280)
      let growth = victim.memory - memory
      #expect(growth < AttackTests.allowance)
      print("load: 400 unread answers of 1 MiB: \(figures), memory +\(growth / 1_024) KiB")

      // The client reads after all: everything that was taken in is answered.
      try await peer.send(.windowUpdate(0, 0x7000_0000))
      for call in 0..<400 where statuses[Peer.stream(call)] == nil {
        try await peer.send(.windowUpdate(Peer.stream(call), 2 << 20))
      }
      while statuses.count < 400, let frame = try await peer.next() { note(frame) }
      #expect(statuses.values.filter { $0 == "0" }.count == 400 - figures["callShed", default: 0])
      #expect(statuses.count == 400)
      figures = try await victim.statistics(channel)
      #expect(figures["waiting"] == 0 && figures["running"] == 1)
      await peer.close()
    }
  }

  @Test("400 streams of 1 MiB messages, never read: few handlers start, memory is bounded")
  func unreadStreams() async throws {
    let victim = try await Victim.start("streams=500")
    try await withChannel(to: victim.target) { channel in
      _ = try await victim.statistics(channel)
      let memory = victim.memory
      let peer = try await Peer.connect(port: victim.port)
      for call in 0..<400 {
        try await peer.call(
          Peer.stream(call), "/t.Attacked/Stream", messages: [Array("1048576".utf8)])
      }
      var shed = 0
      while shed < 283, let frame = try await peer.next() {
        if case .headers(_, let fields, endStream: true) = frame {
          #expect(fields.contains(ScriptedHeader("grpc-status", "8")))
          shed += 1
        }
      }
      let figures = try await victim.statistics(channel)
      let started = figures["started", default: 0]
      let waiting = figures["waiting", default: 0]
      // Two calls asked for figures; a few more may start where the first replies were smaller.
      #expect(started <= 2 + 18 && waiting <= 100)
      #expect(started - 2 + waiting + figures["callShed", default: 0] == 400, "none is lost")
      let growth = victim.memory - memory
      #expect(growth < AttackTests.allowance)
      print("load: 400 unread streams of 1 MiB messages: \(figures), memory +\(growth / 1_024) KiB")
      await peer.close()
      #expect(
        try await holds {
          let figures = try await victim.statistics(channel)
          return figures["running"] == 1 && figures["waiting"] == 0
        })
    }
  }

  /// Calls at once from one channel: how many came to which end.
  private func callAtOnce(
    _ calls: Int, _ channel: GRPCChannel, _ method: String, hold: Int
  ) async -> [String: Int] {
    let payload = Array(String(hold).utf8)
    return await withTaskGroup(of: String.self) { group in
      for _ in 0..<calls {
        group.addTask {
          do {
            let reply = try await channel.unary(
              Victim.method(method), payload, CallOptions(timeout: .seconds(60)))
            return reply == payload ? "ok" : "wrong reply"
          } catch { return "\((error as? RPCError)?.code ?? .unknown)" }
        }
      }
      var ends: [String: Int] = [:]
      for await end in group { ends[end, default: 0] += 1 }
      return ends
    }
  }

  private func measure(
    _ name: String, _ victim: Victim, _ channel: GRPCChannel, method: String = "Hold", calls: Int,
    hold: Int = 0
  ) async throws -> [String: Int] {
    try await channel.ready(within: .seconds(10))
    let server = victim.memory
    let client = ownMemory()
    let begin = ContinuousClock.now
    let isOver = Locked(false)
    async let peak = peaks(victim) { isOver.withLock { $0 } }
    let ends = await callAtOnce(calls, channel, method, hold: hold)
    isOver.withLock { $0 = true }
    let (serverPeak, clientPeak) = await peak
    print(
      "load: \(calls) calls at once, \(name): \(ends) in \(ContinuousClock.now - begin), memory of "
        + "the server +\((serverPeak - server) / 1_024) KiB, of the client "
        + "+\((clientPeak - client) / 1_024) KiB")
    return ends
  }

  private func peaks(_ victim: Victim, _ isOver: @Sendable () -> Bool) async -> (Int, Int) {
    var peak = (0, 0)
    while !isOver() {
      peak = (max(peak.0, victim.memory), max(peak.1, ownMemory()))
      try? await Task.sleep(for: .milliseconds(20))
    }
    return peak
  }

  private func ownMemory() -> Int { Victim.memory(of: getpid()) }

  @Test("10,000 calls in flight from one client are all OK where limits allow them")
  func allInFlight() async throws {
    let victim = try await Victim.start("streams=10000", "handlers=10000", "waiting=0")
    try await withChannel(to: victim.target) { channel in
      let running = Locked(0)
      let isOver = Locked(false)
      async let most: Void = {
        try? await withChannel(to: victim.target) { other in
          while !isOver.withLock({ $0 }) {
            let now = try await victim.statistics(other)["running"] ?? 0
            running.withLock { $0 = max($0, now) }
            // All of them, and the one that asks: only now may they end.
            if now > 10_000 { _ = try await other.unary(Victim.method("Release"), []) }
            try await Task.sleep(for: .milliseconds(20))
          }
        }
      }()
      let ends = try await measure(
        "all in flight", victim, channel, method: "Held", calls: 10_000)
      isOver.withLock { $0 = true }
      await most
      #expect(ends == ["ok": 10_000])
      #expect(running.withLock { $0 } > 10_000)
    }
  }

  @Test("10,000 calls at 100 streams are all OK: the client's queue respects the server's limit")
  func queued() async throws {
    let victim = try await Victim.start()
    try await withChannel(to: victim.target) { channel in
      let ends = try await measure("100 streams", victim, channel, calls: 10_000, hold: 10)
      #expect(ends == ["ok": 10_000])
    }
  }

  @Test("above the client's limit of waiting calls the rest is shed with a status, none is lost")
  func clientSheds() async throws {
    let victim = try await Victim.start()
    var options = ChannelOptions()
    options.maxQueuedCalls = 1_000
    try await withChannel(to: victim.target, options: options) { channel in
      let ends = try await measure(
        "100 streams, 1,000 may wait", victim, channel, calls: 10_000, hold: 100)
      #expect(ends["ok", default: 0] >= 1_100)
      #expect(ends["ok", default: 0] + ends["resourceExhausted", default: 0] == 10_000)
      #expect(ends["resourceExhausted", default: 0] > 0)
    }
  }

  @Test("above the server's limits the rest is shed with a status, none is lost")
  func serverSheds() async throws {
    let victim = try await Victim.start("streams=10000", "handlers=200", "waiting=100")
    try await withChannel(to: victim.target) { channel in
      let ends = try await measure(
        "200 handlers, 100 may wait", victim, channel, calls: 10_000, hold: 500)
      #expect(ends["ok", default: 0] >= 300)
      #expect(ends["ok", default: 0] + ends["resourceExhausted", default: 0] == 10_000)
      let figures = try await victim.statistics(channel)
      #expect(figures["callShed"] == ends["resourceExhausted"])
    }
  }
}
