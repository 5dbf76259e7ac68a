// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
public import TrunkWire

/// The state of a channel or subchannel (connectivity-semantics-and-api.md).
public enum ConnectivityState: Sendable, Hashable {
  /// `idle`: no connection and none wanted. `connecting`: an attempt is under way. `ready`:
  /// connected, the server's SETTINGS arrived. `transientFailure`: the last attempts failed, the
  /// back-off runs. `shutdown`: closed for good.
  case idle, connecting, ready, transientFailure, shutdown
}

/// Names one subchannel within one channel; never reused.
public struct SubchannelID: Sendable, Hashable {
  /// Counted up from 1 by ``BalancerActions``.
  public let raw: UInt64
  /// For tests of a policy; in a channel ``BalancerActions/open(_:_:)`` makes the names.
  public init(_ raw: UInt64) { self.raw = raw }
}

/// The outcome of a call whose pick had a token (``Pick/use(_:token:)``). A policy that wants
/// the outcomes of all calls, at the time they end, gives its subchannels a ``CallObserver``.
public struct PickOutcome: Sendable, Hashable {
  /// The subchannel of the pick.
  public var subchannel: SubchannelID
  /// The token of the pick.
  public var token: UInt64
  /// nil for OK.
  public var code: RPCError.Code?
  /// From the pick to the end of the call.
  public var latency: Duration
  /// The server's; empty if there were none.
  public var trailingMetadata: Metadata
  /// The server's load report (gRFC A51); nil without one. Decoded at each access.
  public var loadReport: LoadReport? { LoadReport(trailers: trailingMetadata) }

  /// For tests of a policy; a channel makes them.
  public init(
    subchannel: SubchannelID, token: UInt64, code: RPCError.Code?, latency: Duration,
    trailingMetadata: Metadata = Metadata()
  ) {
    self.subchannel = subchannel
    self.token = token
    self.code = code
    self.latency = latency
    self.trailingMetadata = trailingMetadata
  }
}

/// Input of a load-balancing policy. Snapshots, never differences.
public enum BalancerEvent: Sendable {
  /// The resolver reported; the endpoints replace all earlier ones.
  case resolved(Resolution)
  /// Resolution failed; the policy keeps what it has, and fails calls only if it has nothing.
  case resolutionFailed(note: String)
  /// A subchannel changed state; `error` is the reason of `.transientFailure` ("connection
  /// refused").
  case subchannel(SubchannelID, ConnectivityState, error: String?)
  /// Outcomes since the last batch; at most one batch a tick.
  case completed([PickOutcome])
  /// The application wants a connection (`connect()`, `ready(within:)`, or a call in IDLE).
  case exitIdle
  /// A time that a policy of the channel asked for has come (``BalancerActions/wake(at:)``). It may
  /// be another policy's, so a policy compares its own times with ``BalancerActions/now``.
  case timer
}

/// The commands of a policy: a plain list, so that tests can compare it.
public struct BalancerActions: Sendable {
  /// One command to the channel.
  public enum Command: Sendable, Hashable {
    /// Make a new, idle subchannel. It tries the endpoint's addresses in order (happy eyeballs, RFC
    /// 8305).
    case open(SubchannelID, Endpoint, SubchannelOptions)
    /// Give the subchannel new addresses: a READY one stays if its address is still listed.
    case update(SubchannelID, Endpoint)
    /// Change the ``SubchannelOptions/loadReportInterval`` of the subchannel, its connection kept. A
    /// wrapper that has a wish of its own passes the smaller one on.
    case reportLoad(SubchannelID, every: Duration?)
    /// Make an IDLE subchannel connect; one in back-off connects when the back-off ends.
    case connect(SubchannelID)
    /// Let its calls finish and start no new ones on it.
    case close(SubchannelID)
    /// Publish the policy's own state; `makePicker()` is called after it, at most once a tick.
    case changed(ConnectivityState)
    /// Ask the resolver for a fresher answer (``ResolverSession/refreshRequested()``).
    case resolveAgain
    /// Send ``BalancerEvent/timer`` at that time, in nanoseconds on the clock of
    /// ``BalancerActions/now``. Each time asked for comes once.
    case wake(at: UInt64)
  }
  /// In the order given, since the last ``drain()``.
  public private(set) var commands: [Command] = []
  package private(set) var lastID: UInt64
  /// The policy's source of randomness; tests pass a seeded one.
  public var random: any RandomNumberGenerator & Sendable
  /// When the event happened: nanoseconds on a monotonic clock, which is also that of
  /// ``PickContext/nanoseconds``.
  public var now: UInt64

  /// No commands. A channel makes one for its policies; tests of a policy make their own.
  public init(
    lastID: UInt64 = 0,
    random: any RandomNumberGenerator & Sendable = SystemRandomNumberGenerator(), now: UInt64 = 0
  ) {
    self.lastID = lastID
    self.random = random
    self.now = now
  }

  /// Appends ``Command/open(_:_:_:)`` with a new id.
  public mutating func open(
    _ endpoint: Endpoint, _ options: SubchannelOptions = SubchannelOptions()
  ) -> SubchannelID {
    lastID += 1
    let id = SubchannelID(lastID)
    commands.append(.open(id, endpoint, options))
    return id
  }
  /// Appends ``Command/update(_:_:)``.
  public mutating func update(_ id: SubchannelID, _ endpoint: Endpoint) {
    commands.append(.update(id, endpoint))
  }
  /// Appends ``Command/reportLoad(_:every:)``.
  public mutating func reportLoad(_ id: SubchannelID, every interval: Duration?) {
    commands.append(.reportLoad(id, every: interval))
  }
  /// Appends ``Command/connect(_:)``.
  public mutating func connect(_ id: SubchannelID) { commands.append(.connect(id)) }
  /// Appends ``Command/close(_:)``.
  public mutating func close(_ id: SubchannelID) { commands.append(.close(id)) }
  /// Appends ``Command/changed(_:)``.
  public mutating func changed(_ state: ConnectivityState) { commands.append(.changed(state)) }
  /// Appends ``Command/resolveAgain``.
  public mutating func resolveAgain() { commands.append(.resolveAgain) }
  /// Appends ``Command/wake(at:)``.
  public mutating func wake(at time: UInt64) { commands.append(.wake(at: time)) }
  /// Appends a child's command: a wrapper passes it on as it is, or changed.
  public mutating func append(_ command: Command) { commands.append(command) }

  /// Runs `body` with a list of its own, for a child policy: ids, randomness and the time go on.
  package mutating func collect(_ body: (inout BalancerActions) -> Void) -> [Command] {
    var own = BalancerActions(lastID: lastID, random: random, now: now)
    body(&own)
    lastID = own.lastID
    random = own.random
    return own.commands
  }

  /// Returns the commands and removes them; ids are not reused.
  public mutating func drain() -> [Command] {
    defer { commands.removeAll(keepingCapacity: true) }
    return commands
  }
}

/// A load-balancing policy, full tier: a value that turns events into actions.
///
/// It owns no task, lock, timer or clock. The channel calls it from one place at a time. A policy of
/// policies runs each of them in a ``ChildPolicy``.
public protocol Balancer: Sendable {
  /// As in the service config, e.g. `round_robin`.
  static var name: String { get }
  /// The policy's settings, parsed.
  associatedtype Config: Sendable
  /// Parses the policy's JSON object from `loadBalancingConfig` (UTF-8 bytes; `{}` if absent).
  /// A bad config never replaces a good one. Errors name the path of the field.
  static func parse(_ json: [UInt8]) throws(ServiceConfigError) -> Config
  /// As ``parse(_:)``, for a policy whose config names other policies
  /// (``BalancerRegistry/prepare(list:path:)``). The default parses without them.
  /// - Parameter policies: those of the channel.
  static func parse(
    _ json: [UInt8], policies: BalancerRegistry
  ) throws(ServiceConfigError) -> Config
  /// A policy with a config, before its first event.
  init(_ config: Config)
  /// Takes a new config in place, connections kept. The default answers false: the channel then
  /// makes a new policy and switches over gracefully.
  mutating func reconfigure(_ config: Config) -> Bool
  /// Takes one event and appends the commands that follow from it.
  mutating func handle(_ event: BalancerEvent, _ actions: inout BalancerActions)
  /// The picker for the present state; called at most once per tick, after `.changed`.
  mutating func makePicker() -> any Picker
  /// What `explain()` of a channel shows of the policy. The default: its name.
  /// - Parameter now: nanoseconds on the clock of ``BalancerActions/now``.
  func explain(now: UInt64) -> PolicyExplanation
}

extension Balancer {
  /// The name alone.
  public func explain(now: UInt64) -> PolicyExplanation { PolicyExplanation(Self.name) }

  /// Without the other policies.
  public static func parse(
    _ json: [UInt8], policies: BalancerRegistry
  ) throws(ServiceConfigError) -> Config { try parse(json) }

  /// False: the channel makes a new policy.
  public mutating func reconfigure(_ config: Config) -> Bool { false }
}

/// The part of a call that a picker may look at.
public struct PickContext: Sendable {
  /// `/package.Service/Method`.
  public var path: String
  /// The call's request metadata.
  public var metadata: Metadata
  /// Uniform over 64 bits, new for each pick.
  public var random: UInt64
  /// Nanoseconds on a monotonic clock.
  public var nanoseconds: UInt64

  /// For tests of a picker; a channel makes them.
  public init(
    path: String, metadata: Metadata = Metadata(), random: UInt64 = 0, nanoseconds: UInt64 = 0
  ) {
    self.path = path
    self.metadata = metadata
    self.random = random
    self.nanoseconds = nanoseconds
  }
}

/// What a picker decides for one call (gRPC's load-balancing.md).
public enum Pick: Sendable {
  /// Send the call there. With a token the policy gets the outcome (``PickOutcome``).
  case use(SubchannelID, token: UInt64? = nil)
  /// Hold the call until the next picker.
  case wait
  /// Hold the call until the next picker, and connect that subchannel (ring_hash).
  case connect(SubchannelID)
  /// Fail the call unless it waits for ready.
  case fail(RPCError)
  /// Fail the call even if it waits for ready.
  case drop(RPCError)
}

/// Picks a subchannel for each call. Never suspends, never does I/O.
///
/// Each event loop owns a copy, so that `pick` is plain mutation without a lock or shared counter.
public protocol Picker: Sendable {
  /// Decides about one call; called again for a call that waited.
  mutating func pick(_ call: borrowing PickContext) -> Pick
}
