// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import Synchronization
internal import TrunkHTTP2
internal import TrunkSockets

/// The counters of a server on one loop: written on the loop, read on any thread.
final class ServerCounters: Sendable {
  let callsStarted = Atomic<UInt64>(0)
  let callsSucceeded = Atomic<UInt64>(0)
  let callsFailed = Atomic<UInt64>(0)
  let callsCancelled = Atomic<UInt64>(0)
  let connections = Atomic<Int>(0)
  let handshakesFailed = Atomic<UInt64>(0)
  private let running = Atomic<Int>(0)
  private let waiting = Atomic<Int>(0)
  /// Behind a lock: events are rare, and some are noted on other threads.
  private let events = Locked<[ServerEvent: UInt64]>([:])

  var handlersRunning: Int { running.load(ordering: .relaxed) }
  var callsWaiting: Int { waiting.load(ordering: .relaxed) }
  var eventCounts: [ServerEvent: UInt64] { events.withLock { $0 } }
  func note(_ event: ServerEvent) { events.withLock { $0[event, default: 0] += 1 } }

  // One writer: a load and a store do, where an atomic addition would lock the bus.
  private func bump(_ counter: borrowing Atomic<UInt64>) {
    counter.store(counter.load(ordering: .relaxed) &+ 1, ordering: .relaxed)
  }
  func started() { bump(callsStarted) }
  func handshakeFailed() { bump(handshakesFailed) }
  func cancelled() { bump(callsCancelled) }
  func succeeded() { bump(callsSucceeded) }
  func failed() { bump(callsFailed) }
  func running(_ change: Int) {
    running.store(running.load(ordering: .relaxed) + change, ordering: .relaxed)
  }
  func waiting(_ change: Int) {
    waiting.store(waiting.load(ordering: .relaxed) + change, ordering: .relaxed)
  }
  func connected(_ count: Int) { connections.store(count, ordering: .relaxed) }
}
