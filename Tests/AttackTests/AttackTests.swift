// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

import Glibc
import ProcessSupport
import Testing
import TrunkSockets
import TrunkTesting
import TrunkWire
import Trunkcall

@Suite("Attacks on a server in a process of its own", .serialized, .timeLimit(.minutes(5)))
struct AttackTests {
  private static let mebibyte = 1 << 20
  /// What any one attack may cost: 64 MiB, and the freed memory that the heaps of two loops keep
  /// (`freeMemoryKept`).
  /// A sanitizer allocates memory of its own: the process's is no measure of the server's.
  static let allowance = getenv("TRUNKCALL_SANITIZER") == nil ? 96 * mebibyte : Int.max

  @Test(
    "out of descriptors a server goes on, and accepts again when there are some (CVE-2023-4785)")
  func descriptors() async throws {
    let victim = try await Victim.start(descriptors: 48)
    try await withChannel(to: victim.target) { channel in
      _ = try await victim.statistics(channel)
      var peers: [ScriptedPeer] = []
      for _ in 0..<60 { peers.append(try await ScriptedPeer.connect(port: victim.port)) }
      let paused = try await holds {
        try await victim.statistics(channel)["acceptPaused", default: 0] > 2
      }
      #expect(paused, "and the neighbour is answered meanwhile")
      // It pauses, it does not spin: 50 ms each.
      let before = try await victim.statistics(channel)["acceptPaused"] ?? 0
      try await Task.sleep(for: .milliseconds(500))
      let after = try await victim.statistics(channel)["acceptPaused"] ?? 0
      #expect(after - before <= 100, "\(after - before) pauses in 500 ms")
      for peer in peers { await peer.close() }
      let served = try await holds {
        let peer = try await ScriptedPeer.connect(port: victim.port)
        try await peer.call(1, "/t.Attacked/Echo", messages: [[7]])
        let reply = try? await peer.response(1)
        await peer.close()
        return reply?.messages == [[7]]
      }
      #expect(served)
      print("attack: 60 connections at 48 descriptors: \(after) pauses, the neighbour is answered")
    }
  }

  @Test(
    "a neighbour is answered throughout; memory, descriptors and handlers come back",
    arguments: Attack.all)
  func attack(_ attack: Attack) async throws {
    let victim = try await Victim.start("handshake=2000", "headers=1000")
    try await withChannel(to: victim.target) { channel in
      // Warm, so that what grows is the attack's.
      for call in 0..<200 { _ = try await channel.unary(Victim.method("Echo"), [UInt8(call)]) }
      // A timer of the process's pool has a descriptor of its own.
      let short = CallOptions(timeout: .milliseconds(20))
      _ = try? await channel.unary(Victim.method("Wait"), [], short)
      _ = try await holds { try await victim.statistics(channel)["running"] == 1 }
      let memory = victim.memory
      let descriptors = victim.descriptors
      let isOver = Locked(false)
      async let neighbour = Neighbour.run(channel) { isOver.withLock { $0 } }
      let end = ContinuousClock.now + .milliseconds(400)
      let (strikes, peak) = await withTaskGroup(of: (Int, Int).self) { group in
        for _ in 0..<2 {
          group.addTask {
            var strikes = 0
            while ContinuousClock.now < end || strikes < 3 {
              try? await attack.strike(victim.port)
              strikes += 1
            }
            return (strikes, 0)
          }
        }
        group.addTask {
          var peak = 0
          while !Task.isCancelled {
            peak = max(peak, victim.memory)
            try? await Task.sleep(for: .milliseconds(5))
          }
          return (0, peak)
        }
        var strikes = 0
        for _ in 0..<2 { strikes += await group.next()?.0 ?? 0 }
        group.cancelAll()
        return (strikes, await group.next()?.1 ?? 0)
      }
      isOver.withLock { $0 = true }
      let calls = await neighbour
      #expect(calls.failures.isEmpty && calls.calls > 0)
      let isBack = try await holds(within: .seconds(60)) {
        let statistics = try await victim.statistics(channel)
        // The call that asks is one of them. The process's pool opens up to three descriptors for kinds of
        // timers when it first has one, as late as under load; an attack has at least six connections.
        return statistics["connections"] == 1 && statistics["running"] == 1
          && victim.descriptors <= descriptors + 3
      }
      let statistics = try await victim.statistics(channel)
      #expect(isBack, "\(statistics), \(victim.descriptors) descriptors, not \(descriptors)")
      let growth = max(peak, victim.memory) - memory
      #expect(growth < AttackTests.allowance)
      let events = statistics.filter {
        !["started", "running", "waiting", "connections"].contains($0.key)
      }
      print(
        "attack: \(attack.name): \(strikes) connections, memory +\(growth / 1_024) KiB, "
          + "neighbour \(calls.calls) calls, worst \(calls.worst), events \(events)")
    }
  }
}
