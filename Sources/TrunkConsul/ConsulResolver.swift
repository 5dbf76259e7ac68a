// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
public import Logging
public import TrunkDiscovery

/// Finds the instances of a Consul service, and reports every change of them to the channel.
///
/// Targets: `consul://[agent[:8500]]/service[?parameters]`, e.g. `consul:///helloworld?tag=v1`.
/// Only instances whose checks all pass are used, unless `passing=false` or `warning=include` is
/// given. Parameters: `tag` (repeatable, all must match), `tags=a,b`, `passing` / `healthy`,
/// `warning=include`, `dc` (several, `dc1,dc2`: the next one while those before it have no usable
/// instance), `ns`, `partition`, `near`, `filter`, `node-meta=k:v`,
/// `peer`, `sg`, `connect`, `chain` (the service's discovery chain), `prepared` (a prepared query by name or id, executed every `interval`, 1s...10m,
/// default 10s), `stale` / `allow-stale`, `max-stale` (default 10s), `consistent` / `require-consistent`, `cached`, `wait` (1s...10m, default 60s),
/// `address` (`lan`, `wan`, …), `config=kv:path` (a service config from Consul's KV store), `token`, `token-file`, `unix=/path`.
///
/// A watcher (Consul, Blocking Queries): a channel's request for a fresher result has no effect,
/// except after a failure, where it ends the back-off. While the agent is down the last good set
/// stays in force; before the first answer an empty set is reported with a note of the reason, and
/// the resolver retries.
///
/// Instances that all turn critical within one check interval are kept for a while, see
/// ``ConsulOptions/allCriticalHold``.
public struct ConsulResolver: Resolver {
  /// `consul`.
  public var scheme: String { "consul" }

  let options: ConsulOptions
  let watches: SharedWatches

  /// - Parameter options: settings that targets do not have.
  public init(_ options: ConsulOptions = ConsulOptions()) {
    self.init(options, watches: .shared)
  }

  package init(_ options: ConsulOptions, watches: SharedWatches) {
    self.options = options
    self.watches = watches
  }

  /// - Throws: ``TargetError`` for an unknown or malformed parameter, a missing service name, or an
  ///   agent's address that cannot be used.
  public func validate(_ target: Target) throws(TargetError) {
    let consul = try ConsulTarget(
      target, agent: options.agent, configKey: options.serviceConfigKey)
    do throws(ConsulError) {
      try consul.agent.validate()
    } catch {
      // The address is from the options or the environment: the error points to where the target
      // has none.
      throw target.error(.missingAddress, column: target.authorityColumn, "\(error)")
    }
  }

  /// One second: a request for a refresh costs nothing except after a failure.
  public var refreshInterval: Duration? { .seconds(1) }

  /// Reports snapshots until cancelled. The order of endpoints is that of their instance ids, or
  /// the agent's with `near`.
  /// - Throws: ``ConsulError``: an agent's address that cannot be used, too many watches.
  public func resolve(_ target: Target, _ session: ResolverSession) async throws {
    let consul = try ConsulTarget(
      target, agent: options.agent, configKey: options.serviceConfigKey)
    try await watches.withConfig(of: consul, options.watch, session) { session in
      try await resolve(consul, session)
    }
  }

  private func resolve(_ consul: ConsulTarget, _ session: ResolverSession) async throws {
    let plans = PlanWatches(
      watches: watches, agent: consul.agent,
      name: try consul.agent.parsedAddress().description, options: options.watch, session: session)
    try await plans.run(
      consul.chainQuery.map { .chain($0, of: consul.query) } ?? .fixed(consul.plan))
  }
}

/// Settings for all targets of the resolver.
public struct ConsulOptions: Sendable {
  /// Used when the target names no agent; its credentials and tenancy are sent with every query.
  /// Default: from the environment (CONSUL_HTTP_ADDR, …), else 127.0.0.1:8500.
  public var agent: ConsulAgent
  /// How long a watch continues after the last channel that used it has closed. Default 60 s.
  public var linger: Duration
  /// Long polls to one agent at once, abandoned ones included; 160 at most. Default 100: an agent
  /// allows 200 connections from one address, and holds those of abandoned queries until their wait
  /// is over. A watch beyond them queries every 5 s ±20 % instead, which delays its changes as much.
  public var maximumWatches: Int
  /// How long the last good set is kept when an agent that was down returns with an empty one.
  /// Default 30 s.
  public var emptyHold: Duration
  /// How long instances are kept that all turned critical within ``allCriticalWindow``, as when
  /// every agent restarts at once: without them every call fails, though the servers may be
  /// healthy. Only those that are still registered and not in maintenance. The resolver's note
  /// names it. Default 30 s; zero: off.
  public var allCriticalHold = Duration.seconds(30)
  /// See ``allCriticalHold``. Default 10 s, the usual interval between checks.
  public var allCriticalWindow = Duration.seconds(10)
  /// How long instances are kept that vanish from the answers of a server that knows no leader
  /// (Consul, Consistency Modes): nothing can be deregistered then, and its data is more likely
  /// old than right. Default 10 min; zero: off.
  public var leaderlessHold = Duration.seconds(600)
  /// The key of Consul's KV store that holds the service config of targets without `config`, e.g.
  /// `trunkcall/orders`. Default nil: none.
  public var serviceConfigKey: String?
  /// Instances that vanish in one answer are a last resort for ``panicHold`` if they are more than this
  /// part of the set, 0...1: calls go to them while no instance of the answer is READY. Not those in
  /// maintenance, which `ConsulRegistration` enters before it leaves. The resolver's note names it.
  /// Default 0.5.
  public var panicThreshold = 0.5
  /// … and at least so many. Default 3.
  public var panicMinimum = 3
  /// How long they are. Default 5 min; zero: off.
  public var panicHold = Duration.seconds(300)
  /// Keeps the last good instances on disk, for a start while Consul is down. Default nil: off.
  public var failStatic: ConsulFailStatic?
  /// By which watches pause, back off, hold and linger. Default: the system's; a test's `ManualClock` makes
  /// them take no time. The deadlines of requests are always the system's.
  public var clock: any Clock<Duration> = ContinuousClock()
  /// Gets one line per change, at debug level; what becomes of a service config at notice and warning.
  public var logger: Logger

  /// - Parameters: see the properties of the same names.
  public init(
    agent: ConsulAgent = .fromEnvironment, linger: Duration = .seconds(60),
    maximumWatches: Int = 100, emptyHold: Duration = .seconds(30),
    logger: Logger = Logger(label: "trunkcall.consul")
  ) {
    self.agent = agent
    self.linger = linger
    self.maximumWatches = maximumWatches
    self.emptyHold = emptyHold
    self.logger = logger
  }

  var watch: WatchOptions {
    var timing = BlockingQueryTiming()
    timing.holdTime = emptyHold
    timing.allCriticalHold = allCriticalHold
    timing.allCriticalWindow = allCriticalWindow
    timing.leaderlessHold = leaderlessHold
    timing.panicThreshold = panicThreshold
    timing.panicMinimum = panicMinimum
    timing.panicHold = panicHold
    var watch = WatchOptions(
      linger: linger, maximumWatches: maximumWatches, timing: timing, logger: logger)
    watch.failStatic = failStatic
    watch.clock = WatchClock(clock)
    return watch
  }
}

/// Where the last good instances of each query are kept on disk, and for how long they are good for a
/// start while Consul cannot be asked (what networks call fail-static).
///
/// A file is written after an answer that changed something, at most every 10 s, and once an hour
/// without a change; never from an answer that ACLs filtered, that comes from servers without a leader,
/// or while vanished instances are a last resort. Each is replaced as a whole, so that several
/// processes can share a directory. A file that another user owns or may write is not used.
public struct ConsulFailStatic: Sendable, Hashable {
  /// Made with mode 0700 if its parent is there; files have mode 0600.
  public var directory: String
  /// Older files are not used. Default 24 h.
  public var maximumAge: Duration

  /// - Parameters: see the properties of the same names.
  public init(directory: String, maximumAge: Duration = .seconds(86_400)) {
    self.directory = directory
    self.maximumAge = maximumAge
  }
}

extension Resolver where Self == ConsulResolver {
  /// Consul's resolver, for `resolvers: [.consul()]`.
  public static func consul(_ options: ConsulOptions = ConsulOptions()) -> ConsulResolver {
    ConsulResolver(options)
  }
}
