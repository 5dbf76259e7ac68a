// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// What Consul answers for a target at one moment, and for each instance of the service why it is used
/// or not: ``ConsulResolver/explain(_:)-(String)``.
///
/// ```
/// consul:///orders?tag=v2 has 1 usable instance of 3
/// agent       127.0.0.1:8500, Consul 1.8.7, no token is sent
/// request     GET /v1/health/service/orders?passing&tag=v2
///             200: 1 instance; index 57, leader known, last contact 0 ms ago, consistency leader
/// request     GET /v1/health/service/orders
///             200: 3 instances; index 57, leader known, last contact 0 ms ago, consistency leader
/// in          10.0.0.7:50051 orders-7 on node-a: passing, weight 1, tags v2
/// out         10.0.0.8:50051 orders-8 on node-b: check "service:orders-8" is critical: refused
/// out         10.0.0.9:50051 orders-9 on node-b: the tag "v2" is missing, it has v1
/// process     no watch of this target; 3 watches, 3 of 100 long polls to the agent
/// ```
///
/// Where the process has a channel to the target, its watches are part of it, and the instances that
/// they keep although Consul's answer does not have them.
public struct ConsulExplanation: Sendable, Hashable {
  /// As written, secrets redacted.
  public var target: String
  /// The agent's address.
  public var agent: String
  /// As the agent says, e.g. `1.8.7`; nil if it could not be read.
  public var agentVersion: String?
  /// Where the ACL token comes from; never the token.
  public var token: String
  /// Why Consul could not be asked, in one line: no request was answered. nil: at least one was.
  public var problem: String?
  /// In the order in which they were sent.
  public var requests: [ConsulRequestExplanation]
  /// Those that are used first, in order of data centers, then by id.
  public var instances: [ConsulInstanceExplanation]
  /// Entries of the answers that could not be read: which, and why.
  public var unreadable: [String]
  /// The service config's key; nil if the target has none.
  public var config: ConsulConfigExplanation?
  /// What an operator can do.
  public var advice: [String]
  /// The watches that this process has for the target; empty: it has no channel to it.
  public var watches: [ConsulWatchStatistics]
  /// All watches of this process.
  public var processWatches: Int
  /// The long polls that the agent holds for this process.
  public var polls: ConsulAgentStatistics

  /// How many instances calls may go to, those of other data centers and the last resort included.
  public var usable: Int { instances.count { $0.isUsed } }
}

/// One request of a ``ConsulExplanation`` and what came of it.
public struct ConsulRequestExplanation: Sendable, Hashable {
  /// What it is for.
  public enum Purpose: String, Sendable, Hashable {
    /// The query that the resolver sends; one for each data center, or target of a discovery chain.
    case query
    /// The service's discovery chain.
    case chain
    /// The same without `stale`: the answer was older than `max-stale`.
    case leader
    /// The same without health, tags, filter and node metadata, to know what those leave out.
    case all
    /// That with the filter alone, to know what the filter leaves out.
    case filter
    /// What a prepared query asks for.
    case definition
    /// The service config's key.
    case config
    /// The agent's version.
    case agent
    /// The data centers that the agent knows.
    case datacenters
  }
  /// What it is for.
  public var purpose: Purpose
  /// `GET`
  public var method: String
  /// Path and query as sent. The token is in a header, which is not shown.
  public var path: String
  /// Of the answer; nil if there was none.
  public var status: Int?
  /// One line: what the answer has, or Consul's own error text, or why there is no answer.
  public var outcome: String
  /// X-Consul-Index: the watch asks with it next.
  public var index: UInt64?
  /// X-Consul-KnownLeader.
  public var knowsLeader: Bool?
  /// X-Consul-LastContact: since the server that answered heard of the leader.
  public var lastContact: Duration?
  /// Age: of an answer from the agent's cache; above zero while the agent is cut off from the servers.
  public var age: Duration?
  /// X-Cache: `HIT` or `MISS`.
  public var cache: String?
  /// X-Consul-Query-Backend (1.10): `streaming` or `blocking-query`.
  public var backend: String?
  /// X-Consul-Effective-Consistency, e.g. `leader`; of an answer without it what was asked for: `default`,
  /// `stale` or `consistent`. nil: the request has no consistency.
  public var consistency: String?
  /// X-Consul-Results-Filtered-By-ACLs (1.11): instances are hidden.
  public var isFilteredByACLs = false
  /// X-Consul-Default-ACL-Policy (1.12): `allow` or `deny`.
  public var defaultPolicy: String?

  /// Whether the status is 2xx.
  public var succeeded: Bool { status.map { (200...299).contains($0) } ?? false }
}

/// The service config's key of a ``ConsulExplanation``.
public struct ConsulConfigExplanation: Sendable, Hashable {
  /// What it holds.
  public enum State: String, Sendable, Hashable {
    /// A service config, which channels use.
    case valid
    /// No service config for this client, or there is no such key: the channel's own default holds.
    case none
    /// Something that cannot be used: channels keep the config before it.
    case invalid
    /// It could not be read.
    case unknown
  }
  /// `trunkcall/orders`.
  public var key: String
  /// What it holds.
  public var state: State
  /// The place and the reason if it is invalid or unknown; else what it is, in words.
  public var reason: String
  /// X-Consul-Index of the answer.
  public var index: UInt64?
}

/// One instance of a ``ConsulExplanation``.
public struct ConsulInstanceExplanation: Sendable, Hashable {
  /// Whether calls go to it.
  public enum Use: String, Sendable, Hashable {
    /// They do.
    case used
    /// While no data center, or target of a chain, that is preferred to its own has a usable instance.
    case standby
    /// They do, although Consul's answer does not have it: a watch of this process keeps it.
    case kept
    /// While no other instance is READY: a watch of this process saw it vanish with most others.
    case lastResort
    /// They do not.
    case unused
  }
  /// A check that is not passing.
  public struct Check: Sendable, Hashable {
    /// Its id.
    public var id: String
    /// `warning`, `critical`
    public var status: String
    /// Its last output, of a maintenance check the reason; the first 200 characters on one line.
    public var output: String
  }
  /// The service's id, unique on its node only.
  public var id: String
  /// The node's name.
  public var node: String
  /// The node's data center; nil if the answer has none.
  public var datacenter: String?
  /// The data center, or the target of a discovery chain, for which it was found; nil: there is only
  /// one query.
  public var part: String?
  /// What calls would go to, `10.0.0.7:50051`.
  public var address: String
  /// The worst state of its checks and its node's: `passing`, `warning` or `critical`.
  public var health: String
  /// Those that are not passing.
  public var checks: [Check]
  /// For its state.
  public var weight: Int
  /// In Consul's order.
  public var tags: [String]
  /// Whether calls go to it.
  public var use: Use
  /// Why Consul's answer does not have it, or this library leaves it out; empty if it is in.
  public var reasons: [String]
  /// By which holds it is kept, or a last resort.
  public var holds: [ConsulHold] = []

  /// Whether calls may go to it.
  public var isUsed: Bool { use != .unused }
}
