// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// A policy's name and its parsed config, from which the policy is made; so nothing can fail then.
/// ``BalancerRegistry/prepare(_:)`` makes it.
public struct PreparedPolicy: Sendable, Hashable {
  /// The name and the config as JSON.
  public let choice: BalancerChoice
  private let new: @Sendable () -> any Balancer
  private let change: @Sendable (inout any Balancer) -> Bool

  fileprivate init<B: Balancer>(_: B.Type, _ choice: BalancerChoice, _ config: B.Config) {
    self.choice = choice
    new = { B(config) }
    change = { balancer in
      guard var own = balancer as? B else { return false }
      defer { balancer = own }
      return own.reconfigure(config)
    }
  }

  func make() -> any Balancer { new() }

  /// Gives a policy the config. False if it is another policy's, or this one cannot take it.
  func reconfigure(_ balancer: inout any Balancer) -> Bool { change(&balancer) }

  /// Equal if the name and the config are.
  public static func == (a: PreparedPolicy, b: PreparedPolicy) -> Bool { a.choice == b.choice }
  public func hash(into hasher: inout Hasher) { hasher.combine(choice) }
}

extension Balancer {
  /// For a registry that holds an `any Balancer.Type`.
  static func prepare(
    _ choice: BalancerChoice, policies: BalancerRegistry
  ) throws(ServiceConfigError) -> PreparedPolicy {
    PreparedPolicy(Self.self, choice, try parse(choice.json, policies: policies))
  }
}
