// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// A simple load-balancing policy: the library keeps one connection per endpoint, the policy only
/// chooses among those that are READY. ``Balancer`` is the protocol of policies that open and close
/// connections themselves.
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
public protocol PickPolicy: Sendable {
  /// As in the service config, e.g. `least_loaded`.
  static var name: String { get }
  /// Called whenever the set of READY subchannels changes, or an endpoint's weight or attributes.
  /// - Parameter ready: never empty; in the resolver's order.
  init(_ ready: [ReadySubchannel])
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

/// The ``Balancer`` of a ``PickPolicy``: ``ReadySet`` keeps the connections.
struct PickPolicyBalancer<Policy: PickPolicy>: Balancer {
  static var name: String { Policy.name }
  static func parse(_ json: [UInt8]) throws(ServiceConfigError) {}

  private var set = ReadySet(countsLoad: true)

  init(_ config: Void) {}
  mutating func reconfigure(_ config: Void) -> Bool { true }

  mutating func handle(_ event: BalancerEvent, _ actions: inout BalancerActions) {
    set.handle(event, &actions)
  }

  mutating func makePicker() -> any Picker {
    set.picker { PickPolicyPicker(policy: Policy($0)) }
  }
}

private struct PickPolicyPicker<Policy: PickPolicy>: Picker {
  var policy: Policy
  mutating func pick(_ call: borrowing PickContext) -> Pick { .use(policy.pick(call).id) }
}
