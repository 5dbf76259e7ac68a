// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// The load-balancing policies of a channel, by name. A value: handed to a channel, never
/// global.
public struct BalancerRegistry: Sendable {
  private var types: [String: any Balancer.Type] = [:]

  /// With the built-ins, `pick_first`, `round_robin` and `least_request_experimental`.
  public init() {
    register(PickFirst.self)
    register(RoundRobin.self)
    register(LeastRequest.self)
  }

  /// Adds a policy; one of the same name is replaced.
  public mutating func register<B: Balancer>(_: B.Type) { types[B.name] = B.self }

  /// Adds a policy that only chooses among READY subchannels (``PickPolicy``); one of the same name
  /// is replaced.
  public mutating func register<P: PickPolicy>(_: P.Type) {
    register(PickPolicyBalancer<P>.self)
  }

  /// Of all policies it holds, sorted.
  public var names: [String] { types.keys.sorted() }
  /// Whether it holds a policy of this name.
  public func contains(_ name: String) -> Bool { types[name] != nil }

  /// Makes a policy.
  /// - Parameter json: its config object, UTF-8; `{}` if it has none.
  /// - Throws: ``ServiceConfigError`` for an unknown name or a config that the policy refuses.
  public func make(
    _ name: String, json: [UInt8] = Array("{}".utf8)
  ) throws(ServiceConfigError) -> any Balancer {
    guard let type = types[name] else {
      throw ServiceConfigError(path: "loadBalancingPolicy", unknown(name))
    }
    return try type.make(json: json)
  }

  /// The policy for a service config, by gRFC A24's order: the first known entry of
  /// `loadBalancingConfig`, else `loadBalancingPolicy`, else the channel's option, else pick_first.
  /// - Throws: ``ServiceConfigError`` if the list or the option names no known policy.
  package func choose(
    _ config: ServiceConfig?, option: String?
  ) throws(ServiceConfigError) -> BalancerChoice {
    if let list = config?.balancers {
      for (i, choice) in list.enumerated() where contains(choice.name) {
        var found = choice
        found.path = "loadBalancingConfig[\(i)].\(choice.name)"
        return found
      }
      throw ServiceConfigError(
        path: "loadBalancingConfig",
        list.count == 1
          ? unknown(list[0].name)
          : "no known policy among \(list.map(\.name)); allowed: \(names.joined(separator: ", "))")
    }
    if let name = config?.balancer {
      guard contains(name) else {
        throw ServiceConfigError(path: "loadBalancingPolicy", unknown(name))
      }
      return BalancerChoice(name)
    }
    return BalancerChoice(option ?? PickFirst.name)
  }

  /// Checks what the application sets when it makes a channel: the policy option, and the policies
  /// of a default service config.
  package func check(option: String, config: ServiceConfig?) throws(ServiceConfigError) {
    do throws(ServiceConfigError) { _ = try make(option) } catch {
      throw ServiceConfigError(
        path: "balancer", contains(option) ? error.reason : unknown(option))
    }
    guard let config else { return }
    let choice = try choose(config, option: option)
    _ = try make(choice.name, json: choice.json)
  }

  private func unknown(_ name: String) -> String {
    "unknown policy \"\(name)\"\(NearestName.hint(name, among: names)); allowed: "
      + names.joined(separator: ", ")
  }
}

/// A policy's name and its config.
public struct BalancerChoice: Sendable, Hashable {
  /// As registered, e.g. `round_robin`.
  public var name: String
  /// The config object in canonical form (UTF-8, keys sorted), so that equal configs are equal.
  public var json: [UInt8]
  /// Where it stands in the service config, for errors.
  package var path = ""

  /// - Parameter json: UTF-8; ``BalancerRegistry/make(_:json:)`` checks it.
  public init(_ name: String, json: [UInt8] = Array("{}".utf8)) {
    self.name = name
    self.json = json
  }

  public static func == (a: BalancerChoice, b: BalancerChoice) -> Bool {
    a.name == b.name && a.json == b.json
  }
  public func hash(into hasher: inout Hasher) {
    hasher.combine(name)
    hasher.combine(json)
  }
}
