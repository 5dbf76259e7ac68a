// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// The parts of a `dns:` target: `dns:///host[:port]`, `dns://server[:53]/host[:port]`,
/// `dns:host[:port]`
/// (naming.md).
package struct DNSTarget: Sendable, Hashable {
  /// A name or an IP literal without brackets.
  package let host: String
  /// 443 unless written.
  package let port: UInt16
  /// The DNS server to ask, port 53 unless written; nil asks the system.
  package let server: Address?
  /// Whether ``host`` is an IP literal: answered at once, without a look-up.
  package let isLiteral: Bool

  package init(_ target: Target) throws(TargetError) {
    try target.rejectUnknownParameters(known: [])
    guard !target.endpoint.isEmpty else {
      throw target.error(
        .missingAddress, column: target.endpointColumn,
        "missing address; allowed: dns:///host[:port], dns://server[:53]/host[:port]")
    }
    let name = try target.endpointHostPort()
    host = name.host
    port = name.port ?? 443
    isLiteral = name.isLiteral
    server = try target.authorityHostPort()?.address(defaultPort: 53)
  }

  /// The whole answer if nothing needs to be looked up.
  package var immediate: Resolution? {
    isLiteral ? Resolution([Endpoint(Address(host, port))]) : nil
  }
}
