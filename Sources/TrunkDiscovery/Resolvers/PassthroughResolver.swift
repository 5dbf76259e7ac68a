// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// `passthrough:///host:port`: the target's path is the address (naming.md). A name is looked up
/// when connecting.
public struct PassthroughResolver: Resolver {
  /// `passthrough`.
  public var scheme: String { "passthrough" }
  /// It has no settings.
  public init() {}

  /// - Throws: ``TargetError`` for an authority, or a missing or malformed host or port.
  public func validate(_ target: Target) throws(TargetError) { _ = try address(in: target) }

  /// Reports the address once and returns when the channel closes.
  public func resolve(_ target: Target, _ session: ResolverSession) async throws {
    try await session.reportForGood([Endpoint(address(in: target))])
  }

  private func address(in target: Target) throws(TargetError) -> Address {
    try target.rejectUnknownParameters(known: [])
    try target.rejectAuthority()
    guard !target.endpoint.isEmpty else {
      throw target.error(
        .missingAddress, column: target.endpointColumn,
        "missing address; allowed: passthrough:///host:port")
    }
    let parsed = try target.endpointHostPort()
    guard let port = parsed.port else {
      throw target.error(
        .missingPort, column: target.endpointColumn + target.endpoint.count,
        "missing port; allowed: passthrough:///host:port")
    }
    return Address(parsed.host, port)
  }
}

extension ResolverSession {
  /// For resolvers whose result never changes: reports it and waits until the channel closes.
  func reportForGood(_ endpoints: [Endpoint]) async throws {
    report(Resolution(endpoints))
    while true { try await refreshRequested() }
  }
}

extension Target {
  /// For schemes in which `scheme://authority/…` has no meaning: `passthrough://host:1` is refused.
  func rejectAuthority() throws(TargetError) {
    guard !authority.isEmpty else { return }
    throw error(
      .malformed, column: authorityColumn,
      "\(scheme ?? "") takes no authority; put a third \"/\" before \"\(authority)\"")
  }
}
