// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// The resolvers of a channel, by scheme. A value: handed to a channel, never global.
public struct ResolverRegistry: Sendable {
  private var byScheme: [String: any Resolver] = [:]
  /// Used for a target without a scheme, or with an unknown one (naming.md).
  public var defaultScheme = "dns"

  /// Empty.
  public init() {}

  /// Those that need no look-up: `passthrough`, `ipv4`, `ipv6`, `unix`, `unix-abstract`.
  public static var literal: ResolverRegistry {
    var registry = ResolverRegistry()
    registry.register(PassthroughResolver())
    registry.register(IPResolver(.ipv4))
    registry.register(IPResolver(.ipv6))
    registry.register(UnixResolver(.path))
    registry.register(UnixResolver(.abstract))
    return registry
  }

  /// Adds a resolver; one with the same scheme is replaced.
  public mutating func register(_ resolver: any Resolver) { byScheme[resolver.scheme] = resolver }
  /// The resolver of a scheme in lower case; nil if there is none.
  public subscript(scheme: String) -> (any Resolver)? { byScheme[scheme] }
  /// Of all resolvers it holds, sorted.
  public var schemes: [String] { byScheme.keys.sorted() }

  /// The resolver for a target, and the target after that resolver's `validate`, its scheme set.
  ///
  /// No scheme, or an unknown one that is not followed by `//` (`localhost:50051`), means the
  /// default scheme (naming.md: `dns:///` + target).
  /// - Throws: ``TargetError``: malformed, unknown scheme, or the error of the resolver's
  ///   `validate`.
  public func find(_ text: String) throws(TargetError) -> (Target, any Resolver) {
    let target = try Target.parse(text)
    if let scheme = target.scheme, let resolver = byScheme[scheme] {
      try resolver.validate(target)
      return (target, resolver)
    }
    var bare = try TargetParser(text).parseAsEndpoint()
    guard let resolver = byScheme[defaultScheme] else { throw noDefault(target) }
    guard let scheme = target.scheme else {
      bare.scheme = defaultScheme
      try resolver.validate(bare)
      return (bare, resolver)
    }
    // `name:` and `name:50051` are hosts with a colon; `name:rest` and `name://…` are schemes.
    let rest = text.dropFirst(scheme.count + 1).prefix { $0 != "?" }
    guard rest.first.map({ $0.isASCII && $0.isNumber }) ?? true else {
      throw unknown(scheme, target)
    }
    bare.scheme = defaultScheme
    try resolver.validate(bare)
    return (bare, resolver)
  }

  private func unknown(_ scheme: String, _ target: Target) -> TargetError {
    target.error(
      .unknownScheme, column: 1,
      "unknown scheme \"\(scheme)\"\(hint(scheme)); allowed: \(schemes.joined(separator: ", "))")
  }

  /// Consul's resolver is in a module of its own and has to be registered.
  private func hint(_ scheme: String) -> String {
    if scheme == "consul" {
      return ": add the resolver with resolvers: [.consul()], of the module TrunkConsul"
    }
    return NearestName.hint(scheme, among: schemes)
  }

  private func noDefault(_ target: Target) -> TargetError {
    guard let scheme = target.scheme else {
      return target.error(
        .unknownScheme, column: 1,
        "it has no scheme, and no resolver has the default scheme \"\(defaultScheme)\"; "
          + "allowed: \(schemes.joined(separator: ", "))")
    }
    return unknown(scheme, target)
  }
}
