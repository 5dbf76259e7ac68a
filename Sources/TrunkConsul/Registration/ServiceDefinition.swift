// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
private import FoundationEssentials
package import TrunkDiscovery

/// The body of `PUT /v1/agent/service/register`. Empty fields are left out: an agent refuses fields
/// that it does not know (measured with 1.8.7).
package struct ServiceDefinition: Sendable, Hashable, Encodable {
  package struct Weights: Sendable, Hashable, Codable {
    package var passing: Int
    package var warning: Int
    private enum CodingKeys: String, CodingKey { case passing = "Passing", warning = "Warning" }
  }
  package struct TaggedAddress: Sendable, Hashable, Codable {
    package var address: String
    package var port: Int
    private enum CodingKeys: String, CodingKey { case address = "Address", port = "Port" }
  }

  package var id: String
  package var name: String
  package var tags: [String]?
  package var address: String?
  package var port: UInt16
  package var meta: [String: String]?
  package var weights: Weights?
  package var taggedAddresses: [String: TaggedAddress]?
  package var enableTagOverride: Bool?
  package var checks: [CheckDefinition]

  private enum CodingKeys: String, CodingKey {
    case id = "ID", name = "Name", tags = "Tags", address = "Address", port = "Port"
    case meta = "Meta", weights = "Weights", taggedAddresses = "TaggedAddresses"
    case enableTagOverride = "EnableTagOverride", check = "Check", checks = "Checks"
  }

  package func encode(to encoder: any Encoder) throws {
    var fields = encoder.container(keyedBy: CodingKeys.self)
    try fields.encode(id, forKey: .id)
    try fields.encode(name, forKey: .name)
    try fields.encodeIfPresent(tags, forKey: .tags)
    try fields.encodeIfPresent(address, forKey: .address)
    try fields.encode(port, forKey: .port)
    try fields.encodeIfPresent(meta, forKey: .meta)
    try fields.encodeIfPresent(weights, forKey: .weights)
    try fields.encodeIfPresent(taggedAddresses, forKey: .taggedAddresses)
    try fields.encodeIfPresent(enableTagOverride, forKey: .enableTagOverride)
    if checks.count > 1 {
      try fields.encode(checks, forKey: .checks)
    } else {
      try fields.encodeIfPresent(checks.first, forKey: .check)
    }
  }

  /// The body of the request, keys in alphabetical order.
  package func json() throws -> [UInt8] {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    return Array(try encoder.encode(self))
  }

  /// With a status for checks that the agent does not know yet: without one they are critical
  /// (Consul, Agent Check API).
  func initially(isPassing: Bool) -> ServiceDefinition {
    var definition = self
    for index in checks.indices {
      definition.checks[index].status = isPassing ? "passing" : "critical"
    }
    return definition
  }
}

/// What of a registration does not change while it runs.
package struct ServiceTemplate: Sendable {
  package var name: String
  package var advertise: Address?
  package var id: String?
  package var checks: [ConsulCheck]
  package var deregisterCriticalAfter: Duration?
  package var security = CheckedSecurity()

  package init(
    _ name: String, advertise: Address? = nil, id: String? = nil, checks: [ConsulCheck],
    deregisterCriticalAfter: Duration? = nil, security: CheckedSecurity = CheckedSecurity()
  ) {
    self.name = name
    self.advertise = advertise
    self.id = id
    self.checks = checks
    self.deregisterCriticalAfter = deregisterCriticalAfter
    self.security = security
  }

  /// - Parameters:
  ///   - bound: where the server listens.
  ///   - nodeAddress: of the agent's node; nil if that cannot be read: then the address stays
  ///     empty, which stands for the node's.
  /// - Throws: ``ConsulError/nothingToAdvertise(service:)``,
  ///   ``ConsulError/invalidService(_:reason:)``.
  package func definition(
    _ content: ConsulService, bound: [Address], nodeAddress: String?
  ) throws(ConsulError) -> ServiceDefinition {
    guard let (host, port) = reachable(bound, nodeAddress) else {
      throw .nothingToAdvertise(service: name)
    }
    // Consul, Agent Service API: host and port in the id, so that a restart replaces and clones do
    // not collide.
    let id = id ?? [name, host, "\(port)"].compactMap { $0 }.joined(separator: "-")
    var definition = ServiceDefinition(
      id: id, name: name, address: host, port: port,
      // Without an address of its own it is on the agent's node, next to the agent.
      checks: CheckDefinition.list(
        checks, of: id, name: name, advertised: .host(host ?? "127.0.0.1", port),
        security: security, deregisterAfter: deregisterCriticalAfter))
    definition.tags = content.tags.isEmpty ? nil : content.tags
    definition.meta = content.meta.isEmpty ? nil : content.meta
    definition.weights = content.weights.map {
      .init(passing: Int($0.passing), warning: Int($0.warning))
    }
    definition.enableTagOverride = content.allowsTagOverride ? true : nil
    if !content.taggedAddresses.isEmpty {
      definition.taggedAddresses = content.taggedAddresses.compactMapValues {
        guard case .host(let host, let own) = $0 else { return nil }
        return .init(address: host, port: Int(own == 0 ? port : own))
      }
    }
    if let problem = problem(of: content) ?? problem(ofAddress: host, id: id) {
      throw .invalidService(name, reason: problem)
    }
    return definition
  }

  /// Whether the listener does not give the address for clients, so that it must come from the
  /// agent.
  package func needsNodeAddress(_ bound: [Address]) -> Bool {
    guard case .host(let host, _)? = ServiceTemplate.preferred(bound), advertise == nil else {
      return false
    }
    return ServiceTemplate.isWildcard(host)
  }

  /// A nil host stands for the node's address.
  private func reachable(_ bound: [Address], _ nodeAddress: String?) -> (String?, UInt16)? {
    let first = ServiceTemplate.preferred(bound).flatMap { address -> (String, UInt16)? in
      if case .host(let host, let port) = address { (host, port) } else { nil }
    }
    switch advertise {
    case .host(let host, 0): return first.map { (host, $0.1) }
    case .host(let host, let port): return (host, port)
    case .unix, .unixAbstract: return nil
    case nil:
      guard let first else { return nil }
      // A wildcard is no address to connect to, and 127.0.0.1 is another host everywhere else.
      return ServiceTemplate.isWildcard(first.0) ? (nodeAddress, first.1) : (first.0, first.1)
    }
  }

  /// The address that others may reach: the loopback only if there is no other.
  private static func preferred(_ bound: [Address]) -> Address? {
    let hosts = bound.filter { if case .host = $0 { true } else { false } }
    return hosts.first {
      guard case .host(let host, _) = $0 else { return false }
      return !host.hasPrefix("127.") && host != "::1" && host != "localhost"
    } ?? hosts.first
  }

  static func isWildcard(_ host: String) -> Bool { ["0.0.0.0", "::", ""].contains(host) }
}
