// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import TrunkWire

/// `pick_first`, the default: one connection, to the first address that can be connected to (gRFC
/// A61, A62).
///
/// It has a single subchannel over all addresses of all endpoints, families interleaved (RFC 8305
/// §4); the subchannel races them (happy eyeballs). The policy's state is the subchannel's, except:
/// - TRANSIENT_FAILURE is sticky until READY (gRFC A62);
/// - READY -> IDLE stays idle until a call wants a connection. READY -> CONNECTING and ->
///   TRANSIENT_FAILURE follow the subchannel, whose pass is over all addresses (gRFC A105).
public struct PickFirst: Balancer {
  /// `pick_first`.
  public static var name: String { "pick_first" }

  /// `{"shuffleAddressList": bool}`.
  public struct Config: Sendable, Hashable {
    /// Shuffles the endpoints of each resolution by their weights, which spreads clients over the
    /// servers (gRFC A62, A113). Default false.
    public var shuffleAddressList = false
    /// By default no shuffling.
    public init(shuffleAddressList: Bool = false) { self.shuffleAddressList = shuffleAddressList }
  }

  /// - Throws: ``ServiceConfigError`` if `shuffleAddressList` is no boolean.
  public static func parse(_ json: [UInt8]) throws(ServiceConfigError) -> Config {
    let fields = try JSONReader(JSONValue(parsing: json), path: name)
    return Config(shuffleAddressList: try fields.bool("shuffleAddressList") ?? false)
  }

  private var config: Config
  /// As resolved, before shuffling: the same list again changes nothing.
  private var endpoints: [Endpoint.Identity] = []
  private var subchannel: (id: SubchannelID, endpoint: Endpoint)?
  private var state = ConnectivityState.connecting
  private var lastError = "nothing resolved yet"

  /// Without a subchannel until the first resolution.
  public init(_ config: Config) { self.config = config }

  /// Holds from the next resolution; the connection stays.
  public mutating func reconfigure(_ config: Config) -> Bool {
    self.config = config
    return true
  }

  /// See ``Balancer/handle(_:_:)``.
  public mutating func handle(_ event: BalancerEvent, _ actions: inout BalancerActions) {
    switch event {
    case .resolved(let resolution): replace(resolution, &actions)
    case .resolutionFailed(let note):
      guard subchannel == nil else { return }
      enter(.transientFailure, note, &actions)
    case .subchannel(let id, let state, let error):
      guard id == subchannel?.id else { return }  // closed before
      subchannelChanged(state, error, &actions)
    case .exitIdle:
      if let subchannel, state == .idle { actions.connect(subchannel.id) }
    case .completed, .timer: break
    }
  }

  /// Picks the one subchannel when READY, else waits or fails.
  public mutating func makePicker() -> any Picker {
    switch (state, subchannel) {
    case (.ready, let subchannel?): SinglePicker(id: subchannel.id)
    case (.idle, let subchannel?): ConstantPicker(.connect(subchannel.id))
    case (.transientFailure, _): ConstantPicker(.fail(RPCError(.unavailable, lastError)))
    default: ConstantPicker(.wait)
    }
  }

  private mutating func replace(_ resolution: Resolution, _ actions: inout BalancerActions) {
    let usable = resolution.endpoints.filter { !$0.addresses.isEmpty }
    guard !usable.isEmpty else {
      // gRFC A61: an empty list is a failure, and the resolver is asked again.
      if let subchannel { actions.close(subchannel.id) }
      subchannel = nil
      endpoints = []
      actions.resolveAgain()
      enter(.transientFailure, resolution.note ?? "the resolver reported no address", &actions)
      return
    }
    let identities = usable.map(\.identity)
    guard identities != endpoints else { return }
    endpoints = identities

    let merged = merge(usable, &actions)
    guard let id = subchannel?.id else {
      let id = actions.open(merged, SubchannelOptions(showsHealth: false))
      subchannel = (id, merged)
      actions.connect(id)
      // Connections that failed are sticky (gRFC A62), an empty list before this one is not.
      enter(.connecting, nil, &actions)
      return
    }
    subchannel = (id, merged)
    actions.update(id, merged)
    // If its address is no longer listed, the connection ends and a new one is made; else no
    // effect.
    if state != .idle { actions.connect(id) }
  }

  /// All addresses as one endpoint, each once.
  private func merge(_ endpoints: [Endpoint], _ actions: inout BalancerActions) -> Endpoint {
    let ordered =
      config.shuffleAddressList ? shuffled(endpoints, &actions.random) : endpoints
    var seen: Set<Address> = []
    let addresses = ordered.flatMap(\.addresses).filter { seen.insert($0).inserted }
    return Endpoint(interleaved(addresses), serverName: ordered.first?.serverName)
  }

  private mutating func subchannelChanged(
    _ new: ConnectivityState, _ error: String?, _ actions: inout BalancerActions
  ) {
    switch new {
    case .ready: enter(.ready, nil, &actions)
    case .transientFailure:
      actions.resolveAgain()  // gRFC A61: on entering TRANSIENT_FAILURE and after each pass
      enter(.transientFailure, error, &actions)
    case .connecting:
      if state == .ready { actions.resolveAgain() }
      if state != .transientFailure { enter(.connecting, nil, &actions) }
    case .idle:
      if state == .transientFailure {
        if let subchannel { actions.connect(subchannel.id) }
      } else {
        if state == .ready { actions.resolveAgain() }
        enter(.idle, nil, &actions)
      }
    case .shutdown: break
    }
  }

  /// Sets the state, and reports it to the channel if the picker changes with it.
  private mutating func enter(
    _ new: ConnectivityState, _ error: String?, _ actions: inout BalancerActions
  ) {
    let changed = new != state || new == .transientFailure || new == .connecting
    state = new
    lastError = error ?? lastError
    if changed { actions.changed(new) }
  }
}

/// A random order in which each next endpoint is one of the rest with a probability by weight: by
/// descending u^(1 / weight), u uniform over 0..<1 (gRFC A113; Efraimidis, Spirakis 2006).
private func shuffled(
  _ endpoints: [Endpoint], _ random: inout any RandomNumberGenerator & Sendable
) -> [Endpoint] {
  let keyed = endpoints.map { endpoint in
    // (-ln u) / weight, ascending, is the same order; u is in the middle of one of 2^53 parts.
    let uniform = (Double(random.next() >> 11) + 0.5) * 0x1p-53
    return (
      key: -Elementary.logarithm(uniform) / Double(max(1, endpoint.weight)), endpoint: endpoint
    )
  }
  return keyed.sorted { $0.key < $1.key }.map(\.endpoint)
}

/// RFC 8305 §4: address families alternate, the first address's family first; order within a family
/// is kept. Whatever is not an IPv6 literal counts as the other family.
private func interleaved(_ addresses: [Address]) -> [Address] {
  func isV6(_ address: Address) -> Bool {
    if case .host(let host, _) = address { IPLiteral.isV6(host) } else { false }
  }
  guard let first = addresses.first else { return [] }
  let leads = addresses.filter { isV6($0) == isV6(first) }
  let follows = addresses.filter { isV6($0) != isV6(first) }
  var result: [Address] = []
  for i in 0..<max(leads.count, follows.count) {
    if i < leads.count { result.append(leads[i]) }
    if i < follows.count { result.append(follows[i]) }
  }
  return result
}
