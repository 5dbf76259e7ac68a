// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// The load-balancing policies of a channel, by name. A value: handed to a channel, never
/// global.
public struct BalancerRegistry: Sendable {
  /// Policies inside of policies, at most; deeper configs are refused.
  package static let maximumDepth = 16

  /// The most entries of a ring of `ring_hash_experimental`, whatever its config allows. A channel sets
  /// it to its `ChannelOptions.maxRingSize`; for tests of a policy. Default 4,096.
  public var maxRingSize = RingHash.defaultCap

  private var types: [String: any Balancer.Type] = [:]
  /// Policies around the one that is parsed.
  private var depth = 0

  /// With the built-in policies, which docs/balancing.md describes.
  public init() {
    register(PickFirst.self)
    register(RoundRobin.self)
    register(WeightedRoundRobin.self)
    register(LeastRequest.self)
    register(OutlierDetection.self)
    register(Priority.self)
    register(WeightedTarget.self)
    register(RandomSubsetting.self)
    register(PeakEWMA.self)
    register(RingHash.self)
  }

  /// Adds a policy; one of the same name is replaced.
  public mutating func register<B: Balancer>(_: B.Type) { types[B.name] = B.self }

  /// Adds a policy that only chooses among READY subchannels (``PickPolicy``); one of the same name
  /// is replaced.
  public mutating func register<P: ConfiguredPickPolicy>(_: P.Type) {
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
    try prepare(BalancerChoice(name, json: json)).make()
  }

  /// Parses a policy's config, for a policy that is made later.
  /// - Throws: ``ServiceConfigError`` for an unknown name, a config that the policy refuses, or more
  ///   than 16 policies inside each other.
  public func prepare(_ choice: BalancerChoice) throws(ServiceConfigError) -> PreparedPolicy {
    guard let type = types[choice.name] else {
      throw ServiceConfigError(path: "loadBalancingPolicy", unknown(choice.name))
    }
    var inner = self
    inner.depth += 1
    do throws(ServiceConfigError) {
      guard depth < BalancerRegistry.maximumDepth else {
        throw ServiceConfigError(
          path: choice.name, "at most \(BalancerRegistry.maximumDepth) policies inside each other")
      }
      return try type.prepare(choice, policies: inner)
    } catch {
      // The policy names its own fields only; the full path starts at the config's root.
      guard error.path.hasPrefix(choice.name), !choice.path.isEmpty else { throw error }
      let rest = error.path.dropFirst(choice.name.count)
      throw ServiceConfigError(path: choice.path + rest, error.reason)
    }
  }

  /// The first known policy of a list such as `childPolicy`, parsed: an array of objects, each with
  /// the policy's name as its only key (gRFC A24).
  /// - Parameters:
  ///   - json: the array, UTF-8.
  ///   - path: where it stands, for errors, e.g. `outlier_detection_experimental.childPolicy`.
  /// - Throws: ``ServiceConfigError`` if it is no such list, or names no known policy.
  public func prepare(
    list json: [UInt8], path: String
  ) throws(ServiceConfigError) -> PreparedPolicy {
    try prepare(list: JSONValue(parsing: json), path: path)
  }

  package func prepare(
    list: JSONValue, path: String
  ) throws(ServiceConfigError) -> PreparedPolicy {
    try prepare(first(of: BalancerChoice.list(list, path: path), path: path))
  }

  /// The policy of a field such as `childPolicy`, which must be there.
  func prepare(
    _ name: String, of fields: JSONReader
  ) throws(ServiceConfigError) -> PreparedPolicy {
    try prepare(
      list: fields.required(name, fields.value(name)), path: fields.path(of: name))
  }

  /// The policy for a service config, by gRFC A24's order: the first known entry of
  /// `loadBalancingConfig`, else `loadBalancingPolicy`, else the channel's option, else pick_first.
  /// - Throws: ``ServiceConfigError`` if the list or the option names no known policy.
  package func choose(
    _ config: ServiceConfig?, option: String?
  ) throws(ServiceConfigError) -> BalancerChoice {
    if let list = config?.balancers {
      return try first(of: list, path: "loadBalancingConfig")
    }
    if let name = config?.balancer {
      guard contains(name) else {
        throw ServiceConfigError(path: "loadBalancingPolicy", unknown(name))
      }
      return BalancerChoice(name)
    }
    return BalancerChoice(option ?? PickFirst.name)
  }

  private func first(
    of list: [BalancerChoice], path: String
  ) throws(ServiceConfigError) -> BalancerChoice {
    for (i, choice) in list.enumerated() where contains(choice.name) {
      var found = choice
      found.path = "\(path)[\(i)].\(choice.name)"
      return found
    }
    throw ServiceConfigError(
      path: path,
      list.count == 1
        ? unknown(list[0].name)
        : "no known policy among \(list.map(\.name)); allowed: \(names.joined(separator: ", "))")
  }

  /// Checks what the application sets when it makes a channel: the policy option, and the policies
  /// of a default service config.
  package func check(option: String, config: ServiceConfig?) throws(ServiceConfigError) {
    do throws(ServiceConfigError) { _ = try make(option) } catch {
      throw ServiceConfigError(
        path: "balancer", contains(option) ? error.reason : unknown(option))
    }
    guard let config else { return }
    _ = try prepare(choose(config, option: option))
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

  /// gRFC A24: a list of objects, each with the policy's name as its only key.
  static func list(
    _ value: JSONValue, path: String
  ) throws(ServiceConfigError) -> [BalancerChoice] {
    guard case .array(let entries) = value else {
      throw ServiceConfigError(path: path, "an array is needed, not \(value.kind)")
    }
    var choices: [BalancerChoice] = []
    for (i, value) in entries.enumerated() {
      let entry = try JSONReader(value, path: "\(path)[\(i)]")
      guard entry.all.count == 1, let (name, config) = entry.all.first else {
        throw ServiceConfigError(
          path: entry.path, "one key, the policy's name, is needed, not \(entry.all.count)")
      }
      guard case .object = config else {
        throw entry.error(name, "an object is needed, not \(config.kind)")
      }
      choices.append(BalancerChoice(name, json: config.canonical))
    }
    return choices
  }
}
