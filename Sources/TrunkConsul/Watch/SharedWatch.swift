// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
package import Logging

/// One watch per agent and query, shared by all channels of the process (an agent allows 200
/// connections from one address, and a long poll holds one).
///
/// A watch outlives its last subscriber for a while, because an abandoned long poll keeps its
/// connection at the agent until its wait ends (measured with 1.8.7); the next subscriber takes it
/// over, its last answer included. Abandoned polls are still counted (``PollBudget``).
package final class SharedWatches: Sendable {
  package struct Key: Hashable, Sendable {
    package var agent: ConsulAgent
    package var query: ConsulQuery
  }
  package typealias Snapshot = BlockingQuery.Snapshot

  package struct ConfigKey: Hashable, Sendable {
    package var agent: ConsulAgent
    package var query: ConfigQuery
  }
  private let services = WatchTable<Key, Snapshot>()
  private let configs = WatchTable<ConfigKey, ConfigSnapshot>()
  private let budgets = PollBudgets()

  /// Used by ``ConsulResolver``.
  package static let shared = SharedWatches()

  package init() {}

  /// How many watches run, lingering ones included.
  package var count: Int { services.count + configs.count }

  /// Snapshots from now on, the latest known one first; only the newest is kept for a slow reader.
  /// Ends when its task is cancelled.
  /// - Throws: ``ConsulError``: an agent's address that cannot be used, too many watches.
  package func subscribe(
    _ key: Key, _ options: WatchOptions
  ) throws(ConsulError) -> AsyncStream<Snapshot> {
    try services.subscribe(key, linger: options.linger, clock: options.clock) {
      () throws(ConsulError) in
      let client = try AgentClient(key.agent)
      let polls = try makeRoom(for: client.name, options)
      return { wakeUp in
        let watch = QueryWatch(
          client: client, query: key.query, timing: options.timing,
          file: options.failStatic.map { InstanceFile($0, agent: client.name, key.query) },
          polls: polls, wakeUp: wakeUp, clock: options.clock, logger: options.logger)
        return { publish in await watch.run(publish) }
      }
    }
  }

  /// As for a service; both count together.
  package func subscribe(
    _ key: ConfigKey, _ options: WatchOptions
  ) throws(ConsulError) -> AsyncStream<ConfigSnapshot> {
    try configs.subscribe(key, linger: options.linger, clock: options.clock) {
      () throws(ConsulError) in
      let client = try AgentClient(key.agent)
      let polls = try makeRoom(for: client.name, options)
      return { wakeUp in
        let watch = ConfigWatch(
          client: client, query: key.query, timing: options.timing, polls: polls, wakeUp: wakeUp,
          clock: options.clock, logger: options.logger)
        return { publish in await watch.run(publish) }
      }
    }
  }

  /// A call found no server: a watch in back-off queries again now.
  package func wake(_ key: Key) { services.wake(key) }
  package func wake(_ key: ConfigKey) { configs.wake(key) }

  /// Ends a watch without subscribers if there are too many.
  private func makeRoom(
    for agent: String, _ options: WatchOptions
  ) throws(ConsulError) -> PollCounter {
    if count >= options.maximumWatches, !services.endIdle(), !configs.endIdle() {
      throw .tooManyWatches(agent: agent, limit: options.maximumWatches)
    }
    return PollCounter(
      budgets: budgets, agent: agent, limit: options.maximumWatches, clock: options.clock)
  }
}

/// The limits and times of a subscription.
package struct WatchOptions: Sendable {
  package var linger: Duration
  package var maximumWatches: Int
  package var timing: BlockingQueryTiming
  package var clock = WatchClock.system
  package var failStatic: ConsulFailStatic?
  package var logger: Logger

  package init(
    linger: Duration = .seconds(60), maximumWatches: Int = 100,
    timing: BlockingQueryTiming = BlockingQueryTiming(),
    logger: Logger = Logger(label: "trunkcall.consul")
  ) {
    self.linger = linger
    self.maximumWatches = maximumWatches
    self.timing = timing
    self.logger = logger
  }
}
