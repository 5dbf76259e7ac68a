// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import TrunkWire

/// The state of a channel as a value: takes resolutions, runs the load-balancing policy, puts out
/// commands for connections, and pickers. No I/O, no clock.
///
/// ```
///   IDLE ── exitIdle ──► (resolver) ── resolution ──► policy's own state
///                             └── failed, or a bad first config ──► TRANSIENT_FAILURE
///   any ── enterIdle ──► IDLE: without a policy and subchannels
/// ```
/// - The policy is chosen by the service config, else by the channel's option (gRPC,
///   service_config.md).
/// - Where the resolver divides its endpoints, the policy is inside of one that makes the groups
///   (``EndpointGroups``).
/// - A bad config never replaces a good one; a channel that never had one fails calls with the
///   parse error (gRFC A21).
/// - Until the resolver has answered the application's config holds, also where it fails.
/// - Another policy takes over gracefully (load-balancing.md): until it is READY, FAILED or
///   IDLE, a READY old one continues to serve. Then the old one's subchannels are closed.
package struct ChannelCore: Sendable {
  package enum Event: Sendable {
    case resolution(Resolution)
    /// One line: what the resolver threw.
    case resolutionFailed(note: String)
    case subchannel(SubchannelID, ConnectivityState, error: String?)
    case completed([PickOutcome])
    /// A time that was asked for by ``Action/wake(at:)`` has come.
    case timer
    /// A call, `connect()` or `ready(within:)` wants a connection.
    case exitIdle
    /// No call for the idle timeout.
    case enterIdle
    case shutDown
  }

  package enum Action: Sendable, Hashable {
    case open(SubchannelID, Endpoint, SubchannelOptions)
    case update(SubchannelID, Endpoint)
    case reportLoad(SubchannelID, every: Duration?)
    case connect(SubchannelID)
    case close(SubchannelID)
    case resolveAgain
    /// Send ``Event/timer`` at that time: nanoseconds on the clock of `now`.
    case wake(at: UInt64)
    /// The channel's state, when it changed; the last one in a list holds.
    case changed(ConnectivityState)
    /// The service config in force, when it changed.
    case configured(ServiceConfig)
  }

  package struct Options: Sendable {
    package var registry = BalancerRegistry()
    /// The policy's name when the service config names none; nil: pick_first.
    package var balancer: String?
    /// Used when the resolver gives no config (service_config.md).
    package var defaultServiceConfig: ServiceConfig?
    /// False ignores the resolver's config (service_config.md).
    package var usesResolverConfig = true
    package init() {}
  }

  package private(set) var state = ConnectivityState.idle
  package private(set) var serviceConfig: ServiceConfig?
  /// The resolver's last report, for the diagnostics of a failed call.
  package private(set) var resolver = ResolverStatus()
  /// Why the last service config was refused, for the diagnostics.
  package private(set) var configError: ServiceConfigError?

  /// Where ``serviceConfig`` comes from.
  package private(set) var configOrigin = ChannelExplanation.ConfigOrigin.none

  /// What ``policy`` was made of: the config's choice, and the groups around it.
  private var made: (choice: BalancerChoice, groups: EndpointGroups?)?

  private let options: Options
  private var actions: BalancerActions
  private var policy = ChildPolicy()
  /// The picker's answer while no policy serves.
  private var constantPick = Pick.wait
  private var pickerHasChanged = true

  package init(
    _ options: Options = Options(),
    random: any RandomNumberGenerator & Sendable = SystemRandomNumberGenerator()
  ) {
    self.options = options
    self.actions = BalancerActions(random: random)
  }

  /// The picker for the present state, if it changed since the last call. Call at most once a tick.
  package mutating func takePicker() -> (any Picker)? {
    guard pickerHasChanged else { return nil }
    pickerHasChanged = false
    return policy.isInstalled ? policy.makePicker() : ConstantPicker(constantPick)
  }

  /// The policy in use; nil if there is none.
  package func explainPolicy(now: UInt64) -> PolicyExplanation? {
    let explanation = policy.explain(now: now)
    // A resolver that has groups but one of them only: as without.
    guard made?.groups != nil, let only = explanation?.children.first,
      explanation?.children.count == 1,
      explanation?.name == Priority.name
    else { return explanation }
    return only.policy
  }

  package mutating func handle(_ event: Event, now: UInt64) -> [Action] {
    guard state != .shutdown else { return [] }
    var out: [Action] = []
    let before = state
    actions.now = now
    switch event {
    case .resolution(let resolution): resolved(resolution, now, &out)
    case .resolutionFailed(let note): resolutionFailed(note, now, &out)
    case .subchannel(let id, let state, let error):
      send(.subchannel(id, state, error: error))
    case .completed(let outcomes): send(.completed(outcomes))
    case .timer: send(.timer)
    case .exitIdle:
      if !policy.isInstalled, state == .idle { enter(.connecting, .wait) }
      send(.exitIdle)
    case .enterIdle:
      policy.close(&actions)
      enter(.idle, .wait)
    case .shutDown:
      policy.close(&actions)
      enter(.shutdown, .drop(RPCError(.unavailable, "the channel is closed")))
    }
    for command in actions.drain() { if let action = Action(command) { out.append(action) } }
    if state != before { out.append(.changed(state)) }
    return out
  }
}

extension ChannelCore.Action {
  /// nil for a policy's own state, which ``ChildPolicy/state`` has.
  fileprivate init?(_ command: BalancerActions.Command) {
    switch command {
    case .open(let id, let endpoint, let options): self = .open(id, endpoint, options)
    case .update(let id, let endpoint): self = .update(id, endpoint)
    case .reportLoad(let id, let interval): self = .reportLoad(id, every: interval)
    case .connect(let id): self = .connect(id)
    case .close(let id): self = .close(id)
    case .resolveAgain: self = .resolveAgain
    case .wake(let time): self = .wake(at: time)
    case .changed: return nil
    }
  }
}

// MARK: - Resolution

extension ChannelCore {
  private mutating func resolved(
    _ resolution: Resolution, _ now: UInt64, _ out: inout [Action]
  ) {
    resolver.answered(resolution, now)
    do throws(ServiceConfigError) {
      try adopt(resolution, &out)
      configError = nil
    } catch {
      configError = error
      // gRFC A21: a channel with a good older config keeps it, with the new endpoints and groups.
      if policy.isInstalled, let choice = made?.choice {
        do throws(ServiceConfigError) { try install(choice, resolution.groups) } catch {
          // Groups deeper than policies may be: the endpoints stay in the ones before.
        }
        send(.resolved(resolution))
      } else {
        enter(.transientFailure, .fail(RPCError(.unavailable, "\(error)")))
      }
    }
  }

  private mutating func adopt(
    _ resolution: Resolution, _ out: inout [Action]
  ) throws(ServiceConfigError) {
    if options.usesResolverConfig, let error = resolution.serviceConfigError { throw error }
    let own = options.usesResolverConfig ? resolution.serviceConfig : nil
    let config = own ?? options.defaultServiceConfig
    let origin: ChannelExplanation.ConfigOrigin =
      own != nil ? .resolver : config != nil ? .application : .none
    let choice = try options.registry.choose(config, option: options.balancer)
    let isFirst = !policy.isInstalled
    try install(choice, resolution.groups)
    configOrigin = origin
    let effective = config ?? ServiceConfig()
    if effective != serviceConfig {
      serviceConfig = effective
      out.append(.configured(effective))
    }
    send(.resolved(resolution))
    // The channel has left IDLE because somebody wants a connection.
    if isFirst { send(.exitIdle) }
  }

  private mutating func install(
    _ choice: BalancerChoice, _ groups: EndpointGroups?
  ) throws(ServiceConfigError) {
    let whole = groups?.policy(around: choice) ?? choice
    // An unchanged policy is not parsed again.
    if policy.policy?.choice == whole, let same = policy.policy {
      if policy.install(same, &actions) { published() }
    } else {
      // Its errors name places of the service config, which the groups are not in.
      if groups != nil { _ = try options.registry.prepare(choice) }
      if policy.install(try options.registry.prepare(whole), &actions) { published() }
    }
    made = (choice, groups)
  }

  private mutating func resolutionFailed(
    _ note: String, _ now: UInt64, _ out: inout [Action]
  ) {
    resolver.failed(note, now)
    if policy.isInstalled { return send(.resolutionFailed(note: note)) }
    // The application's config says what becomes of the calls that find no server.
    if serviceConfig == nil, configError == nil, let config = options.defaultServiceConfig {
      serviceConfig = config
      configOrigin = .application
      out.append(.configured(config))
    }
    // If a bad config is the reason already, its parse error says more.
    if configError == nil || state != .transientFailure {
      enter(.transientFailure, .fail(RPCError(.unavailable, note)))
    }
  }
}

// MARK: - The policy

extension ChannelCore {
  private mutating func send(_ event: BalancerEvent) {
    if policy.handle(event, &actions) { published() }
  }

  private mutating func published() {
    state = policy.state
    pickerHasChanged = true
  }

  /// Enters a state without a policy, in which every pick has one answer.
  private mutating func enter(_ new: ConnectivityState, _ pick: Pick) {
    state = new
    constantPick = pick
    pickerHasChanged = true
  }
}
