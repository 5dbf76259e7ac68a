// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// `unix:path`, `unix:///absolute/path` and `unix-abstract:name` (naming.md).
public struct UnixResolver: Resolver {
  /// The namespace of the socket's name, which is also the scheme.
  public enum Namespace: String, Sendable, Hashable {
    /// The file system.
    case path = "unix"
    /// Linux's abstract socket namespace (`unix(7)`); Linux only.
    case abstract = "unix-abstract"
  }

  /// The only namespace it accepts.
  public let namespace: Namespace
  /// `unix` or `unix-abstract`.
  public var scheme: String { namespace.rawValue }

  /// A resolver for one of the two schemes.
  public init(_ namespace: Namespace) { self.namespace = namespace }

  /// - Throws: ``TargetError`` for an authority, an empty path or name, or more than 107 bytes.
  public func validate(_ target: Target) throws(TargetError) { _ = try address(in: target) }

  /// `localhost`, as in the other gRPC implementations: a path is no `:authority`.
  public func authority(of target: Target) -> String { "localhost" }

  /// Reports the path once and returns when the channel closes.
  public func resolve(_ target: Target, _ session: ResolverSession) async throws {
    try await session.reportForGood([Endpoint(address(in: target))])
  }

  private func address(in target: Target) throws(TargetError) -> Address {
    try target.rejectUnknownParameters(known: [])
    try target.rejectAuthority()
    guard !target.endpoint.isEmpty else {
      throw target.error(
        .missingAddress, column: target.pathColumn,
        namespace == .path
          ? "missing path; allowed: unix:path, unix:///absolute/path"
          : "missing name; allowed: unix-abstract:name")
    }
    // sockaddr_un has 108 bytes, one of them for the NUL (at the end, or in front).
    guard target.path.utf8.count <= 107 else {
      throw target.error(
        .malformed, column: target.pathColumn,
        "\(target.path.utf8.count) bytes are too long for a unix socket; allowed: 107")
    }
    return namespace == .path ? .unix(target.path) : .unixAbstract(target.path)
  }
}
