// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// The watches of a process and the connections that they hold, at one moment:
/// ``ConsulResolver/statistics``. Nothing is asked for: reading it costs Consul nothing, so a program
/// may do so as often as it reports metrics.
public struct ConsulStatistics: Sendable, Hashable {
  /// Those that run, lingering ones included; by agent, kind and name.
  public var watches: [ConsulWatchStatistics]
  /// Those that watches hold connections to, by address.
  public var agents: [ConsulAgentStatistics]
}

/// The long polls that one agent holds for this process.
public struct ConsulAgentStatistics: Sendable, Hashable {
  /// The agent's address.
  public var address: String
  /// Under way.
  public var polls: Int
  /// Given up, and still held by the agent until their wait is over.
  public var abandonedPolls: Int
  /// How many of both there may be: ``ConsulOptions/maximumWatches``. A watch beyond them queries
  /// every 5 s instead.
  public var limit: Int
}

/// One watch of a process.
public struct ConsulWatchStatistics: Sendable, Hashable {
  /// What is watched.
  public enum Kind: String, Sendable, Hashable {
    /// The instances of a service, or of a prepared query.
    case instances
    /// The key of a service config.
    case config
    /// A service's discovery chain.
    case chain
  }
  /// What is watched.
  public var kind: Kind
  /// The agent's address.
  public var agent: String
  /// The service, the prepared query, or the key.
  public var name: String
  /// Path and query as last sent, index and wait included, never the token; empty before the first.
  public var request: String
  /// Channels that use it; 0: it lingers.
  public var subscribers: Int
  /// Requests so far.
  public var queries: Int
  /// Answers so far, those without news included.
  public var answers: Int
  /// What was published to channels so far: changes of the set, or of the note.
  public var updates: Int
  /// Requests without an answer of 2xx so far.
  public var failures: Int
  /// Since the last answer; nil: there was none. A long poll that waits makes it grow up to the wait.
  public var answerAge: Duration?
  /// X-Consul-Index of the last answer.
  public var index: UInt64?
  /// X-Consul-KnownLeader of the last answer.
  public var knowsLeader: Bool?
  /// X-Consul-LastContact of the last answer.
  public var lastContact: Duration?
  /// Why there is no answer since; nil: the last request was answered.
  public var problem: String?
  /// What was last published: instances in use, kept ones included.
  public var instances: Int
  /// What was last published: instances that vanished in a mass.
  public var lastResort: Int
  /// Why some of them are in use although Consul's answer does not have them.
  public var holds: [ConsulHold]
  /// Until the first of the holds ends; nil: none has an end.
  public var holdsEndIn: Duration?
  /// What was last published, in words, as in the channel's explanation.
  public var note: String
}

/// Why instances stay in use that Consul's answer does not have. Each but the first is turned off by the
/// property of ``ConsulOptions`` with its name.
public enum ConsulHold: String, Sendable, Hashable, CaseIterable {
  /// The agent does not answer, or refuses: the last good set stays in force until it answers.
  case lastGood
  /// There is no answer yet: the set is from disk.
  case failStatic
  /// The agent was lost and has come back with nothing.
  case emptyHold
  /// All turned critical within one check interval.
  case allCriticalHold
  /// The server that answers knows no leader.
  case leaderlessHold
  /// They vanished in a mass, and are a last resort.
  case panicHold
}

extension ConsulResolver {
  /// The watches of this process and the connections that they hold. All resolvers of a process share
  /// them.
  public var statistics: ConsulStatistics { watches.statistics(options.watch) }
}

extension SharedWatches {
  func statistics(_ options: WatchOptions) -> ConsulStatistics {
    let now = options.clock.now
    var watches = services.statuses.map { ConsulWatchStatistics($0, at: now) }
    watches += configs.statuses.map { ConsulWatchStatistics($0, at: now) }
    watches += chains.statuses.map { ConsulWatchStatistics($0, at: now) }
    watches.sort {
      ($0.agent, $0.kind.rawValue, $0.name, $0.request)
        < ($1.agent, $1.kind.rawValue, $1.name, $1.request)
    }
    return ConsulStatistics(
      watches: watches, agents: budgets.statistics(limit: options.maximumWatches, at: now))
  }
}

extension SharedWatches {
  /// nil: there is no such watch.
  func statistics(_ key: Key, _ options: WatchOptions) -> ConsulWatchStatistics? {
    services.status(key).map { ConsulWatchStatistics($0, at: options.clock.now) }
  }
  func statistics(_ key: ConfigKey, _ options: WatchOptions) -> ConsulWatchStatistics? {
    configs.status(key).map { ConsulWatchStatistics($0, at: options.clock.now) }
  }
  func statistics(_ key: ChainKey, _ options: WatchOptions) -> ConsulWatchStatistics? {
    chains.status(key).map { ConsulWatchStatistics($0, at: options.clock.now) }
  }
}

extension ConsulWatchStatistics {
  fileprivate init(
    _ status: WatchTable<SharedWatches.Key, SharedWatches.Snapshot>.Status,
    at now: ContinuousClock.Instant
  ) {
    self.init(
      .instances, status.key.agent, status.key.query.service, status.record.facts,
      subscribers: status.subscribers, at: now)
    instances = status.latest?.endpoints.count ?? 0
    lastResort = status.latest?.lastResort.count ?? 0
    note = status.latest?.note ?? ""
  }

  fileprivate init(
    _ status: WatchTable<SharedWatches.ConfigKey, ConfigSnapshot>.Status,
    at now: ContinuousClock.Instant
  ) {
    self.init(
      .config, status.key.agent, status.key.query.key, status.record.facts,
      subscribers: status.subscribers, at: now)
    note = status.latest?.note ?? ""
  }

  fileprivate init(
    _ status: WatchTable<SharedWatches.ChainKey, ChainSnapshot>.Status,
    at now: ContinuousClock.Instant
  ) {
    self.init(
      .chain, status.key.agent, status.key.query.service, status.record.facts,
      subscribers: status.subscribers, at: now)
    let latest = status.latest
    note = [latest?.routes?.description, latest?.problem].compactMap { $0 }.joined(separator: "; ")
  }

  fileprivate init(
    _ kind: Kind, _ agent: ConsulAgent, _ name: String, _ facts: WatchRecord.Facts,
    subscribers: Int, at now: ContinuousClock.Instant
  ) {
    let first = (try? agent.parsedAddress())?.description ?? agent.description
    self.init(
      kind: kind, agent: facts.agent.isEmpty ? first : facts.agent,
      name: name, request: facts.request, subscribers: subscribers, queries: facts.queries,
      answers: facts.answers, updates: facts.updates, failures: facts.failures,
      answerAge: facts.answeredAt.map { max(.zero, now - $0) }, index: facts.index,
      knowsLeader: facts.info.knowsLeader, lastContact: facts.info.lastContact,
      problem: facts.problem, instances: 0, lastResort: 0, holds: facts.holds.kinds,
      holdsEndIn: facts.holds.end.map { max(.zero, $0 - now) }, note: "")
  }
}
