// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import Synchronization
internal import TrunkSockets

/// A server's counters since its start.
public struct ServerStatistics: Sendable, Hashable {
  /// Calls whose handlers have started.
  public var callsStarted: UInt64 = 0
  /// Ended by the server with status OK.
  public var callsSucceeded: UInt64 = 0
  /// Ended by the server with a status other than OK.
  public var callsFailed: UInt64 = 0
  /// Ended by the client, or with its connection.
  public var callsCancelled: UInt64 = 0
  /// Open now.
  public var connections = 0
  /// Connections that ended before the client's SETTINGS, in TLS or HTTP/2.
  public var handshakesFailed: UInt64 = 0
  /// Handlers that have not ended, those of cancelled calls included.
  public var handlersRunning = 0
  /// Calls that wait for their handlers' start.
  public var callsWaiting = 0
  /// Events of ``ServerEvent``; those that never happened have no entry.
  public var events: [ServerEvent: UInt64] = [:]
  /// Methods whose handlers were moved to the global pool.
  public var movedMethods: [String] = []
  /// One for each event loop of the server, always in the same order; empty before it listens.
  public var loops: [LoopStatistics] = []

  /// The same with ``movedMethods`` set.
  static func + (statistics: ServerStatistics, moved: [String]) -> ServerStatistics {
    var statistics = statistics
    statistics.movedMethods = moved
    return statistics
  }
}

/// A server's share of one event loop, and the cost of other threads for that loop.
///
/// Divided by the calls, the latter are the hops between threads per call: close to 0 for handlers
/// that stay on their loop. They are the loop's, for everything that runs on it: with
/// ``ServerOptions/loops`` the server alone, else the whole process.
public struct LoopStatistics: Sendable, Hashable {
  /// Open now.
  public var connections = 0
  /// Calls whose handlers have started.
  public var callsStarted: UInt64 = 0
  /// Times another thread had to wake the loop, by a write to its eventfd.
  public var wakeups: UInt64 = 0
  /// Jobs posted by other threads through the loop's locked inbox.
  public var remoteJobs: UInt64 = 0
  /// Times the inbox's lock was held by another thread when it was wanted.
  public var contendedLocks: UInt64 = 0

  init(of loop: ServerLoop) {
    connections = loop.counters.connections.load(ordering: .relaxed)
    callsStarted = loop.counters.callsStarted.load(ordering: .relaxed)
    wakeups = loop.loop.counters.wakeups
    remoteJobs = loop.loop.counters.remoteJobs
    contendedLocks = loop.loop.counters.contentions
  }
}
