// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
private import FoundationEssentials
package import TrunkDiscovery

/// The body of `PUT /v1/agent/service/register`. Empty fields are left out: an agent refuses fields
/// that it does not know (measured with 1.8.7).
package struct ServiceDefinition: Sendable, Hashable, Encodable {
  package struct Check: Sendable, Hashable, Encodable {
    package var grpc: String?
    package var tcp: String?
    package var http: String?
    package var ttl: String?
    package var interval: String?
    package var timeout: String?
    package var deregisterAfter: String?
    package var status: String?
    package var grpcUseTLS: Bool?
    package var tlsSkipVerify: Bool?
    package var tlsServerName: String?

    private enum CodingKeys: String, CodingKey {
      case grpc = "GRPC", tcp = "TCP", http = "HTTP", ttl = "TTL", interval = "Interval"
      case timeout = "Timeout", deregisterAfter = "DeregisterCriticalServiceAfter"
      case status = "Status", grpcUseTLS = "GRPCUseTLS", tlsSkipVerify = "TLSSkipVerify"
      case tlsServerName = "TLSServerName"
    }
  }
  package struct Weights: Sendable, Hashable, Encodable {
    package var passing: UInt16
    package var warning: UInt16
    private enum CodingKeys: String, CodingKey { case passing = "Passing", warning = "Warning" }
  }

  package var id: String
  package var name: String
  package var tags: [String]?
  package var address: String?
  package var port: UInt16
  package var meta: [String: String]?
  package var weights: Weights?
  package var check: Check?

  private enum CodingKeys: String, CodingKey {
    case id = "ID", name = "Name", tags = "Tags", address = "Address", port = "Port"
    case meta = "Meta", weights = "Weights", check = "Check"
  }

  /// - Parameters:
  ///   - bound: where the server listens.
  ///   - nodeAddress: of the agent's node; nil if that cannot be read: then the address stays
  ///     empty, which stands for the node's.
  ///   - security: the server's, for a check without a setting of its own.
  ///   - advertise: the address for clients; port 0 stands for the bound port.
  /// - Throws: ``ConsulError/nothingToAdvertise(service:)``.
  package init(
    _ name: String, bound: [Address], nodeAddress: String? = nil, advertise: Address?, id: String?,
    tags: [String], meta: [String: String], weights: ConsulWeights?, check: ConsulCheck,
    security: CheckedSecurity = CheckedSecurity(), deregisterCriticalAfter: Duration?
  ) throws(ConsulError) {
    guard
      let (host, port) = ServiceDefinition.reachable(
        advertise, bound: bound, nodeAddress: nodeAddress)
    else { throw .nothingToAdvertise(service: name) }
    // Consul, Agent Service API: host and port in the id, so that a restart replaces and clones do
    // not collide.
    self.id = id ?? [name, host, "\(port)"].compactMap { $0 }.joined(separator: "-")
    self.name = name
    self.tags = tags.isEmpty ? nil : tags
    address = host
    self.port = port
    self.meta = meta.isEmpty ? nil : meta
    self.weights = weights.map { Weights(passing: $0.passing, warning: $0.warning) }
    self.check = ServiceDefinition.check(
      // Without an address of its own it is on the agent's node, next to the agent.
      check, name: name, advertised: .host(host ?? "127.0.0.1", port), security: security,
      deregisterAfter: deregisterCriticalAfter)
  }

  /// Whether the listener does not give the address for clients, so that it must come from the
  /// agent.
  package static func needsNodeAddress(bound: [Address], advertise: Address?) -> Bool {
    guard case .host(let host, _)? = preferred(bound), advertise == nil else { return false }
    return isWildcard(host)
  }

  /// A nil host stands for the node's address.
  private static func reachable(
    _ advertise: Address?, bound: [Address], nodeAddress: String?
  ) -> (String?, UInt16)? {
    let first = preferred(bound).flatMap { address -> (String, UInt16)? in
      if case .host(let host, let port) = address { (host, port) } else { nil }
    }
    switch advertise {
    case .host(let host, 0): return first.map { (host, $0.1) }
    case .host(let host, let port): return (host, port)
    case .unix, .unixAbstract: return nil
    case nil:
      guard let first else { return nil }
      // A wildcard is no address to connect to, and 127.0.0.1 is another host everywhere else.
      return isWildcard(first.0) ? (nodeAddress, first.1) : (first.0, first.1)
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

  private static func isWildcard(_ host: String) -> Bool {
    ["0.0.0.0", "::", ""].contains(host)
  }

  private static func check(
    _ check: ConsulCheck, name: String, advertised: Address, security: CheckedSecurity,
    deregisterAfter: Duration?
  ) -> Check? {
    var made = Check()
    switch check.kind {
    case .grpc(let address):
      made.grpc = "\(address ?? advertised)/\(name)"
      if let tls = check.effectiveTLS(of: security) {
        made.grpcUseTLS = true
        made.tlsSkipVerify = tls.verifiesServer ? nil : true
        made.tlsServerName = tls.serverName
      }
    case .tcp(let address): made.tcp = "\(address ?? advertised)"
    case .http(let url): made.http = url
    case .ttl: made.ttl = ConsulDuration.text(check.interval)
    case .none: return nil
    }
    // Measured with 1.8.7: a TTL has no interval, every other check needs one.
    if check.kind != .ttl {
      made.interval = ConsulDuration.text(check.interval)
      made.timeout = check.effectiveTimeout.map(ConsulDuration.text)
    }
    made.deregisterAfter = deregisterAfter.map(ConsulDuration.text)
    // Consul, Agent Check API: true, because the server listens and is SERVING by now.
    made.status = "passing"
    return made
  }

  /// The body of the request, keys in alphabetical order.
  package func json() throws -> [UInt8] {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    return Array(try encoder.encode(self))
  }
}

/// RFC 1123 §2.1: letters, digits and inner hyphens, at most 63.
package enum DNSLabel {
  package static func isValid(_ name: String) -> Bool {
    let bytes = Array(name.utf8)
    guard (1...63).contains(bytes.count), bytes.first != UInt8(ascii: "-"),
      bytes.last != UInt8(ascii: "-")
    else { return false }
    return bytes.allSatisfy { byte in
      switch byte {
      case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
        UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"):
        true
      default: false
      }
    }
  }
}
