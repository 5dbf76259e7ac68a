// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Glibc
import GreeterStubs
import SwiftProtobuf
import TrunkSockets
import TrunkWire
import Trunkcall

/// Calls at a steady rate, whatever becomes of the earlier ones.
final class Traffic: Sendable {
  struct Outcome: Sendable {
    /// By ``monotonic()``.
    var start: UInt64
    var end: UInt64
    var peer: String
    var error: RPCError?
  }
  private let channel: GRPCChannel
  private let outcomes = Locked<[Outcome]>([])
  private let runner = Locked<Task<Void, Never>?>(nil)

  /// Each call has a deadline of 5 s.
  init(_ channel: GRPCChannel, perSecond rate: Int) {
    self.channel = channel
    let task = Task { [self] in
      await withTaskGroup(of: Void.self) { group in
        var next = ContinuousClock.now
        while !Task.isCancelled {
          group.addTask { await self.call() }
          next += .nanoseconds(1_000_000_000 / rate)
          try? await Task.sleep(until: next)
        }
        await group.waitForAll()
      }
    }
    runner.withLock { $0 = task }
  }

  /// One after the other, with a pause of a millisecond.
  static func inTurn(_ channel: GRPCChannel) -> Traffic {
    let traffic = Traffic(channel)
    let task = Task {
      while !Task.isCancelled {
        await traffic.call()
        try? await Task.sleep(for: .milliseconds(1))
      }
    }
    traffic.runner.withLock { $0 = task }
    return traffic
  }
  private init(_ channel: GRPCChannel) { self.channel = channel }

  private func call() async {
    let start = monotonic()
    var outcome = Outcome(start: start, end: start, peer: "", error: nil)
    let greeting = Helloworld_HelloRequest.with { $0.name = "cluster" }
    // Not cancelled with the traffic: what has begun shall end by itself.
    let task = Task.detached { [channel] () async throws -> String in
      try await channel.unaryResponse(
        Helloworld_Greeter.Methods.sayHello, greeting, CallOptions(timeout: .seconds(5))
      ).peer
    }
    do { outcome.peer = try await task.value } catch {
      outcome.error = error as? RPCError ?? RPCError(.unknown, "\(error)")
    }
    outcome.end = monotonic()
    let finished = outcome
    outcomes.withLock { $0.append(finished) }
  }

  var all: [Outcome] { outcomes.withLock { $0 } }
  var failures: [Outcome] { all.filter { $0.error != nil } }

  /// No further calls; waits for those that are under way.
  func stop() async {
    let task = runner.withLock { $0 }
    task?.cancel()
    await task?.value
  }
}
