// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// A simple load-balancing policy: the library keeps one connection per endpoint, the policy only
/// chooses among those that are READY. ``Balancer`` is the protocol of policies that open and close
/// connections themselves. A channel knows either by its ``BalancerRegistry``.
///
/// ```swift
/// struct LeastLoaded: PickPolicy {
///   static let name = "least_loaded"
///   let ready: [ReadySubchannel]
///   init(_ ready: [ReadySubchannel]) { self.ready = ready }
///   mutating func pick(_ call: borrowing PickContext) -> ReadySubchannel {
///     ready.min { $0.callsInFlight < $1.callsInFlight } ?? ready[0]
///   }
/// }
/// ```
public protocol PickPolicy: ConfiguredPickPolicy where Config == NoConfig {
  /// Called whenever the set of READY subchannels changes, or an endpoint's weight or attributes.
  /// - Parameter ready: never empty; in the resolver's order.
  init(_ ready: [ReadySubchannel])
}

extension PickPolicy {
  /// Ignores all fields (gRFC A21).
  public static func parse(_ json: [UInt8]) throws(ServiceConfigError) -> NoConfig { NoConfig() }
  /// As ``init(_:)``.
  public init(_ ready: [ReadySubchannel], _ config: NoConfig) { self.init(ready) }
}

/// A policy without settings.
public struct NoConfig: Sendable, Hashable {
  /// There is nothing to set.
  public init() {}
}

/// A ``PickPolicy`` with settings, from its object in `loadBalancingConfig`. docs/balancing.md has an
/// example.
public protocol ConfiguredPickPolicy: Sendable {
  /// As in the service config, e.g. `least_loaded`.
  static var name: String { get }
  /// The policy's settings, parsed.
  associatedtype Config: Sendable
  /// Parses the policy's JSON object (UTF-8; `{}` if absent). A bad config never replaces a good one.
  static func parse(_ json: [UInt8]) throws(ServiceConfigError) -> Config
  /// Called whenever the set of READY subchannels changes, an endpoint's weight or attributes, or the
  /// config.
  /// - Parameter ready: never empty; in the resolver's order.
  init(_ ready: [ReadySubchannel], _ config: Config)
  /// Chooses one for a call. Each event loop owns a copy: plain mutation, no lock.
  mutating func pick(_ call: borrowing PickContext) -> ReadySubchannel
}

/// A connected server that a ``PickPolicy`` may choose.
public struct ReadySubchannel: Sendable, Hashable {
  /// The same for as long as the endpoint's identity is the same.
  public let id: SubchannelID
  /// With its weight and attributes as the resolver last reported them.
  public let endpoint: Endpoint
  let load: LoadCounter?

  /// For tests of a policy; in a channel the library makes them.
  public init(_ id: SubchannelID, _ endpoint: Endpoint, load: LoadCounter? = nil) {
    self.id = id
    self.endpoint = endpoint
    self.load = load
  }

  /// Calls under way on it, from this channel.
  public var callsInFlight: Int { load?.callsInFlight ?? 0 }
}

extension ReadySubchannel {
  init(_ ready: ReadySet<LoadCounter>.Ready) {
    self.init(ready.id, ready.endpoint, load: ready.observer)
  }
}

/// The ``Balancer`` of a ``PickPolicy``: ``ReadySet`` keeps the connections.
struct PickPolicyBalancer<Policy: ConfiguredPickPolicy>: Balancer {
  static var name: String { Policy.name }
  static func parse(_ json: [UInt8]) throws(ServiceConfigError) -> Policy.Config {
    try Policy.parse(json)
  }

  private var config: Policy.Config
  private var set = ReadySet { LoadCounter() }

  init(_ config: Policy.Config) { self.config = config }
  mutating func reconfigure(_ config: Policy.Config) -> Bool {
    self.config = config
    return true
  }

  mutating func handle(_ event: BalancerEvent, _ actions: inout BalancerActions) {
    set.handle(event, &actions)
  }

  mutating func makePicker() -> any Picker {
    set.picker { PickPolicyPicker(policy: Policy($0.map { ReadySubchannel($0) }, config)) }
  }
}

private struct PickPolicyPicker<Policy: ConfiguredPickPolicy>: Picker {
  var policy: Policy
  mutating func pick(_ call: borrowing PickContext) -> Pick { .use(policy.pick(call).id) }
}
