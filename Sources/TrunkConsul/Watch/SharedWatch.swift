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
  package struct ChainKey: Hashable, Sendable {
    package var agent: ConsulAgent
    package var query: ChainQuery
  }
  let services = WatchTable<Key, Snapshot>()
  let configs = WatchTable<ConfigKey, ConfigSnapshot>()
  let chains = WatchTable<ChainKey, ChainSnapshot>()
  let budgets = PollBudgets()
  private let limit: Int

  /// Of services, service configs and discovery chains together, lingering ones included: far more than
  /// a program has, so that one that makes names up ends.
  package static let most = 10_000

  /// Used by ``ConsulResolver``.
  package static let shared = SharedWatches()

  package init(limit: Int = SharedWatches.most) { self.limit = limit }

  /// How many watches run, lingering ones included.
  package var count: Int { services.count + configs.count + chains.count }

  /// Snapshots from now on, the latest known one first; only the newest is kept for a slow reader.
  /// Ends when its task is cancelled.
  /// - Throws: ``ConsulError``: an agent's address that cannot be used, too many watches.
  package func subscribe(
    _ key: Key, _ options: WatchOptions
  ) throws(ConsulError) -> AsyncStream<Snapshot> {
    try subscribe(key, of: key.agent, in: services, options) { client, polls, wakeUp in
      let watch = QueryWatch(
        client: client, query: key.query, timing: options.timing,
        file: options.failStatic.map { InstanceFile($0, agent: client.name, key.query) },
        polls: polls, wakeUp: wakeUp, clock: options.clock, logger: options.logger)
      return { publish in await watch.run(publish) }
    }
  }

  /// As for a service; both count together.
  package func subscribe(
    _ key: ConfigKey, _ options: WatchOptions
  ) throws(ConsulError) -> AsyncStream<ConfigSnapshot> {
    try subscribe(key, of: key.agent, in: configs, options) { client, polls, wakeUp in
      let watch = ValueWatch(
        client: client, source: key.query.source(client), timing: options.timing, polls: polls,
        wakeUp: wakeUp, clock: options.clock, logger: options.logger)
      return { publish in
        var reader = ConfigReader(key.query.key)
        await watch.run(publish) { reader.read($0) }
      }
    }
  }

  /// As for a service; all count together.
  package func subscribe(
    _ key: ChainKey, _ options: WatchOptions
  ) throws(ConsulError) -> AsyncStream<ChainSnapshot> {
    try subscribe(key, of: key.agent, in: chains, options) { client, polls, wakeUp in
      let watch = ValueWatch(
        client: client, source: key.query.source(client), timing: options.timing, polls: polls,
        wakeUp: wakeUp, clock: options.clock, logger: options.logger)
      return { publish in
        var reader = ChainReader(key.query.service)
        await watch.run(publish) { reader.read($0) }
      }
    }
  }

  private func subscribe<Key, Snapshot>(
    _ key: Key, of agent: ConsulAgent, in table: WatchTable<Key, Snapshot>, _ options: WatchOptions,
    _ make: (AgentClient, PollCounter, WakeUp) -> WatchTable<Key, Snapshot>.Run
  ) throws(ConsulError) -> AsyncStream<Snapshot> {
    try table.subscribe(key, linger: options.linger, clock: options.clock) {
      (wakeUp, record) throws(ConsulError) in
      let client = try AgentClient(agent, clock: options.clock, logger: options.logger)
      // A watch without subscribers makes room.
      if count >= limit, !services.endIdle(), !configs.endIdle(), !chains.endIdle() {
        throw .tooManyWatches(agent: client.name, limit: limit)
      }
      let polls = PollCounter(
        budgets: budgets, agent: { client.name }, limit: options.maximumWatches,
        clock: options.clock, record: record)
      return make(client, polls, wakeUp)
    }
  }

  /// A call found no server: a watch in back-off queries again now.
  package func wake(_ key: Key) { services.wake(key) }
  package func wake(_ key: ConfigKey) { configs.wake(key) }
  package func wake(_ key: ChainKey) { chains.wake(key) }
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
