// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// The parts of a `dns:` target: `dns:///host[:port]`, `dns://server[:53]/host[:port]`,
/// `dns:host[:port]` (naming.md), and our own `dns:///name?srv[=service]`.
package struct DNSTarget: Sendable, Hashable {
  /// A name or an IP literal without brackets. With ``service``, the name whose SRV records are
  /// asked for.
  package let host: String
  /// 443 unless written; of no use with ``service``.
  package let port: UInt16
  /// The DNS server to ask, port 53 unless written; nil asks the system.
  package let server: Address?
  /// Whether ``host`` is an IP literal: answered at once, without a look-up.
  package let isLiteral: Bool
  /// Which SRV records are asked for; nil: the host's addresses.
  package let service: Service?

  /// `srv` asks for the SRV records of the name as written, `srv=grpc` for those of
  /// `_grpc._tcp.NAME` (RFC 2782).
  package struct Service: Sendable, Hashable {
    /// The name that is asked for.
    package let name: String
    /// `priorities=all`: also the records of higher priority numbers.
    package let allPriorities: Bool
  }

  package init(_ target: Target) throws(TargetError) {
    try target.rejectUnknownParameters(known: ["srv", "priorities"])
    guard !target.endpoint.isEmpty else {
      throw target.error(
        .missingAddress, column: target.endpointColumn,
        "missing address; allowed: dns:///host[:port], dns://server[:53]/host[:port], "
          + "dns:///name?srv")
    }
    let name = try target.endpointHostPort()
    host = name.host
    port = name.port ?? 443
    isLiteral = name.isLiteral
    server = try target.authorityHostPort()?.address(defaultPort: 53)
    service = try DNSTarget.service(of: name, target)
  }

  private static func service(
    of name: HostPort, _ target: Target
  ) throws(TargetError) -> Service? {
    let priorities = target.parameters.first { $0.name == "priorities" }
    guard let srv = target.parameters.first(where: { $0.name == "srv" }) else {
      if let priorities {
        throw target.error(
          .badParameter, column: priorities.column, "priorities are those of SRV records: with srv")
      }
      return nil
    }
    if let value = priorities?.value, value != "first", value != "all" {
      throw target.error(
        .badParameter, column: priorities?.column ?? 0,
        "priorities \"\(value)\"; allowed: first, all")
    }
    guard name.port == nil, !name.isLiteral else {
      throw target.error(
        .badParameter, column: srv.column,
        "SRV records are those of a name, and have the port; allowed: dns:///name?srv")
    }
    let isLabel = srv.value.utf8.allSatisfy { byte in
      let letter = byte | 0x20
      return (0x61...0x7a).contains(letter) || (0x30...0x39).contains(byte) || byte == 0x2d
    }
    guard isLabel, srv.value.utf8.count <= 62 else {
      throw target.error(
        .badParameter, column: srv.column,
        "srv \"\(srv.value)\" is no service; allowed: letters, digits, \"-\", as in srv=grpc")
    }
    return Service(
      name: srv.value.isEmpty ? name.host : "_\(srv.value)._tcp.\(name.host)",
      allPriorities: priorities?.value == "all")
  }

  /// The name that calls and certificates are for: with ``service`` without the labels of service
  /// and protocol. It is the target's, not that of an SRV record: an answer of DNS proves nothing
  /// (RFC 6125 §6.2.1).
  package static func authority(of target: Target) -> String {
    guard let name = try? DNSTarget(target), name.service != nil else { return target.endpoint }
    return name.ownName
  }

  /// ``host``, with ``service`` without the labels of service and protocol.
  package var ownName: String {
    guard service != nil else { return host }
    let own = host.split(separator: ".").drop { $0.hasPrefix("_") }
    return own.isEmpty ? host : own.joined(separator: ".")
  }

  /// The whole answer if nothing needs to be looked up.
  package var immediate: Resolution? {
    isLiteral ? Resolution([Endpoint(Address(host, port))]) : nil
  }
}
