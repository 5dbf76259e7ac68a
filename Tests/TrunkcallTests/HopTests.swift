// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

import Testing
import TrunkSockets
import TrunkTesting

@testable import Trunkcall

@Suite("Deadlines and cancellation from hop to hop", .timeLimit(.minutes(2)))
struct HopTests {
  /// What the handlers of two servers in a row have seen.
  private final class Trace: Sendable {
    let remaining = Locked<[Duration]>([])
    let begun = Locked(0)
    let cancelled = Locked(0)
  }

  /// A front server whose handler asks a back server, whose handler waits.
  private func withHops(
    _ trace: Trace, _ body: (GRPCServer, UInt16) async throws -> Void
  ) async throws {
    let back = AdHocService(unary: [
      "Wait": { payload, call in
        trace.remaining.withLock { $0.append(call.timeRemaining ?? .seconds(-1)) }
        trace.begun.withLock { $0 += 1 }
        do { try await Task.sleep(for: .seconds(60)) } catch {
          trace.cancelled.withLock { $0 += 1 }
          throw error
        }
        return payload
      }
    ])
    try await withServer([back]) { behind, backPort in
      try await withChannel(to: "ipv4:127.0.0.1:\(backPort)") { channel in
        let front = AdHocService(unary: [
          "Forward": { payload, call in
            trace.remaining.withLock { $0.append(call.timeRemaining ?? .seconds(-1)) }
            do { return try await channel.unary(AdHocService.method("Wait"), payload) } catch {
              if Task.isCancelled { trace.cancelled.withLock { $0 += 1 } }
              throw error
            }
          }
        ])
        try await withServer([front]) { server, port in
          try await body(server, port)
          let ended = try await holds {
            trace.cancelled.withLock { $0 } == 2 && server.statistics.handlersRunning == 0
              && behind.statistics.handlersRunning == 0
          }
          #expect(ended)
        }
      }
    }
  }

  @Test("a deadline never grows on its way, and ends the handlers of every hop")
  func deadline() async throws {
    let trace = Trace()
    try await withHops(trace) { _, port in
      try await withChannel(to: "ipv4:127.0.0.1:\(port)") { channel in
        try await channel.ready(within: .seconds(20))
        let error = await failure {
          _ = try await channel.unary(
            AdHocService.method("Forward"), [1], CallOptions(timeout: .seconds(1)))
        }
        #expect(error?.code == .deadlineExceeded)
      }
    }
    let remaining = trace.remaining.withLock { $0 }
    #expect(remaining.count == 2 && remaining.allSatisfy { $0 > .zero })
    #expect(remaining[0] <= .seconds(1) && remaining[1] <= remaining[0])
  }

  @Test("a task that is cancelled ends the handlers of every hop")
  func cancel() async throws {
    let trace = Trace()
    try await withHops(trace) { _, port in
      try await withChannel(to: "ipv4:127.0.0.1:\(port)") { channel in
        let task = Task {
          await failure { _ = try await channel.unary(AdHocService.method("Forward"), [1]) }
        }
        let begun = try await holds { trace.begun.withLock { $0 } == 1 }
        #expect(begun)
        task.cancel()
        #expect(await task.value?.code == .cancelled)
      }
    }
    #expect(trace.remaining.withLock { $0 } == [.seconds(-1), .seconds(-1)], "no deadline was set")
  }

  @Test(
    "a client that goes away, or resets, ends the handlers of every hop", arguments: [true, false])
  func goesAway(_ resets: Bool) async throws {
    let trace = Trace()
    try await withHops(trace) { _, port in
      let peer = try await ScriptedPeer.connect(port: port)
      try await peer.call(1, "/t.AdHoc/Forward", messages: [[1]])
      #expect(try await holds { trace.begun.withLock { $0 } == 1 })
      if resets { try await peer.send(.reset(1, 8)) } else { await peer.close() }
      #expect(try await holds { trace.cancelled.withLock { $0 } == 2 })
      await peer.close()
    }
  }
}
