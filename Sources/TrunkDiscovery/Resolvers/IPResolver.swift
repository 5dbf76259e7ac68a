// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// `ipv4:a:p,b:p` and `ipv6:[a]:p,[b]:p`: a list of addresses, each an endpoint of its own. The
/// port is 443 where none is written (naming.md).
public struct IPResolver: Resolver {
  /// The address family, which is also the scheme.
  public enum Family: String, Sendable, Hashable { case ipv4, ipv6 }

  /// The only family it accepts.
  public let family: Family
  /// `ipv4` or `ipv6`.
  public var scheme: String { family.rawValue }

  /// A resolver for one of the two schemes.
  public init(_ family: Family) { self.family = family }

  /// - Throws: ``TargetError`` for an authority, an empty list, or what is no literal of the
  ///   family.
  public func validate(_ target: Target) throws(TargetError) { _ = try addresses(in: target) }

  /// The first address: a list is no `:authority`.
  public func authority(of target: Target) -> String {
    String(target.endpoint.prefix { $0 != "," })
  }

  /// Reports the addresses once and returns when the channel closes.
  public func resolve(_ target: Target, _ session: ResolverSession) async throws {
    try await session.reportForGood(addresses(in: target).map { Endpoint($0) })
  }

  private func addresses(in target: Target) throws(TargetError) -> [Address] {
    try target.rejectUnknownParameters(known: [])
    try target.rejectAuthority()
    var column = target.endpointColumn
    var found: [Address] = []
    for part in target.endpoint.split(separator: ",", omittingEmptySubsequences: false) {
      guard !part.isEmpty else {
        throw target.error(.missingAddress, column: column, "missing address; allowed: \(allowed)")
      }
      let parsed = try target.hostPort(part, column: column)
      guard family == .ipv4 ? IPLiteral.isV4(parsed.host) : IPLiteral.isV6(parsed.host) else {
        throw target.error(
          .malformed, column: column, "\"\(parsed.host)\" is no \(label); allowed: \(allowed)")
      }
      found.append(parsed.address(defaultPort: 443))
      column += part.count + 1
    }
    return found
  }

  private var label: String { family == .ipv4 ? "IPv4 address" : "IPv6 address" }
  private var allowed: String {
    family == .ipv4 ? "ipv4:a.b.c.d[:port],…" : "ipv6:[address][:port],…"
  }
}
