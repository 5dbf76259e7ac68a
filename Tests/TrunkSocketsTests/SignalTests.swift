// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Glibc
import Testing

@testable import TrunkSockets

@Suite("Signals", .serialized)
struct SignalTests {
  private func isCaught(_ number: Int32) -> Bool {
    var action = sigaction()
    sigaction(number, nil, &action)
    return action.__sigaction_handler.sa_handler != nil
  }

  @Test(
    "SIGINT and SIGTERM end the wait, and the old handlers come back", arguments: [SIGINT, SIGTERM])
  func caught(_ number: Int32) async throws {
    let waiting = Task { try await TerminationSignals.wait() }
    // Without a handler the signal would end the tests themselves.
    try #require(await eventually { isCaught(SIGINT) && isCaught(SIGTERM) })
    kill(getpid(), number)
    #expect(try await waiting.value == number)
    #expect(!isCaught(SIGINT) && !isCaught(SIGTERM))
  }

  @Test("cancelling the wait puts the old handlers back")
  func cancelled() async throws {
    let waiting = Task { try await TerminationSignals.wait() }
    try #require(await eventually { isCaught(SIGTERM) })
    waiting.cancel()
    await #expect(throws: CancellationError.self) { try await waiting.value }
    #expect(await eventually { !isCaught(SIGINT) && !isCaught(SIGTERM) })
  }
}
