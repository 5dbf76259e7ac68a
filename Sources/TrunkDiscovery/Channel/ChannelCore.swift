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
/// - A bad config never replaces a good one; a channel that never had one fails calls with the
///   parse error (gRFC A21).
/// - Another policy takes over gracefully (load-balancing.md): until it is READY, FAILED or
///   IDLE, a READY old one continues to serve. Then the old one's subchannels are closed.
package struct ChannelCore: Sendable {
  package enum Event: Sendable {
    case resolution(Resolution)
    /// One line: what the resolver threw.
    case resolutionFailed(note: String)
    case subchannel(SubchannelID, ConnectivityState, error: String?)
    case completed([PickOutcome])
    /// A call, `connect()` or `ready(within:)` wants a connection.
    case exitIdle
    /// No call for the idle timeout.
    case enterIdle
    case shutDown
  }

  package enum Action: Sendable, Hashable {
    case open(SubchannelID, Endpoint, load: LoadCounter?)
    case update(SubchannelID, Endpoint)
    case connect(SubchannelID)
    case close(SubchannelID)
    case resolveAgain
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

  private let options: Options
  private var actions: BalancerActions
  private var serving: PolicySlot?
  /// The policy that will take over.
  private var pending: PolicySlot?
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
    return serving?.makePicker() ?? ConstantPicker(constantPick)
  }

  package mutating func handle(_ event: Event, now: UInt64) -> [Action] {
    guard state != .shutdown else { return [] }
    var out: [Action] = []
    let before = state
    switch event {
    case .resolution(let resolution): resolved(resolution, now, &out)
    case .resolutionFailed(let note): resolutionFailed(note, now, &out)
    case .subchannel(let id, let state, let error):
      send(.subchannel(id, state, error: error), to: owner(of: id), &out)
    case .completed(let outcomes): completed(outcomes, &out)
    case .exitIdle:
      if serving == nil, state == .idle { enter(.connecting, .wait) }
      send(.exitIdle, to: .serving, &out)
      send(.exitIdle, to: .pending, &out)
    case .enterIdle:
      release(&out)
      enter(.idle, .wait)
    case .shutDown:
      release(&out)
      enter(.shutdown, .drop(RPCError(.unavailable, "the channel is closed")))
    }
    if state != before { out.append(.changed(state)) }
    return out
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
      // gRFC A21: a channel with a good older config keeps it, with the new endpoints.
      if serving != nil {
        send(.resolved(resolution), to: latest, &out)
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
    let choice = try options.registry.choose(config, option: options.balancer)
    try install(choice, &out)
    let effective = config ?? ServiceConfig()
    if effective != serviceConfig {
      serviceConfig = effective
      out.append(.configured(effective))
    }
    send(.resolved(resolution), to: latest, &out)
  }

  /// Makes `choice` the policy that gets the events: in place, or by a graceful switch.
  private mutating func install(
    _ choice: BalancerChoice, _ out: inout [Action]
  ) throws(ServiceConfigError) {
    if serving?.choice == choice {
      ChannelCore.drop(&pending, &out)
      return
    }
    if pending?.choice == choice { return }
    do throws(ServiceConfigError) {
      if try pending?.reconfigure(choice) == true { return }
      if try serving?.reconfigure(choice) == true {
        ChannelCore.drop(&pending, &out)
        pickerHasChanged = true
        return
      }
      let slot = PolicySlot(
        balancer: try options.registry.make(choice.name, json: choice.json), choice: choice)
      ChannelCore.drop(&pending, &out)
      if serving == nil {
        serving = slot
        adoptState()
      } else {
        pending = slot
      }
    } catch {
      // The policy names its own fields only; the full path starts at the config's root.
      guard error.path.hasPrefix(choice.name), !choice.path.isEmpty else { throw error }
      let rest = error.path.dropFirst(choice.name.count)
      throw ServiceConfigError(path: choice.path + rest, error.reason)
    }
  }

  private mutating func resolutionFailed(
    _ note: String, _ now: UInt64, _ out: inout [Action]
  ) {
    resolver.failed(note, now)
    if serving != nil {
      send(.resolutionFailed(note: note), to: latest, &out)
    } else if configError == nil {
      enter(.transientFailure, .fail(RPCError(.unavailable, note)))
    }
  }
}

// MARK: - The two policies

extension ChannelCore {
  private enum Place { case serving, pending, nowhere }

  private var latest: Place { pending == nil ? .serving : .pending }

  private func owner(of id: SubchannelID) -> Place {
    if serving?.open.contains(id) == true { return .serving }
    return pending?.open.contains(id) == true ? .pending : .nowhere
  }

  private mutating func send(_ event: BalancerEvent, to place: Place, _ out: inout [Action]) {
    switch place {
    case .serving:
      if serving?.handle(event, &actions, &out) == true { adoptState() }
    case .pending: _ = pending?.handle(event, &actions, &out)
    case .nowhere: return
    }
    switchIfDue(&out)
  }

  /// load-balancing.md: the new policy serves when it is not CONNECTING, or the old one is
  /// not READY.
  private mutating func switchIfDue(_ out: inout [Action]) {
    guard let new = pending, new.state != .connecting || serving?.state != .ready else { return }
    pending = nil
    ChannelCore.drop(&serving, &out)
    serving = new
    adoptState()
  }

  private mutating func completed(_ outcomes: [PickOutcome], _ out: inout [Action]) {
    for place in [Place.serving, .pending] {
      let own = outcomes.filter { owner(of: $0.subchannel) == place }
      if !own.isEmpty { send(.completed(own), to: place, &out) }
    }
  }

  private mutating func adoptState() {
    guard let serving else { return }
    state = serving.state
    pickerHasChanged = true
  }

  /// Enters a state without a policy, in which every pick has one answer.
  private mutating func enter(_ new: ConnectivityState, _ pick: Pick) {
    state = new
    constantPick = pick
    pickerHasChanged = true
  }

  private static func drop(_ slot: inout PolicySlot?, _ out: inout [Action]) {
    slot?.close(&out)
    slot = nil
  }

  private mutating func release(_ out: inout [Action]) {
    ChannelCore.drop(&pending, &out)
    ChannelCore.drop(&serving, &out)
  }
}
