// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import TrunkDiscovery

/// How to reach a Consul agent: address, credentials, tenancy.
///
/// Descriptions and errors never show the credentials.
public struct ConsulAgent: Sendable, Hashable {
  /// The source of an ACL token (Consul, ACL). Sent as `X-Consul-Token`.
  public enum Token: Sendable, Hashable {
    /// The token itself.
    case value(String)
    /// A file that holds only the token; white space around it is ignored. Read again when it
    /// changes and after the agent answered 403.
    case file(String)
  }

  /// As in CONSUL_HTTP_ADDR: `host[:port]`, `http[s]://host[:port][/prefix]`, `unix:///path`.
  public var address: String
  /// Further agents of the same cluster, in order of preference, in the forms of ``address``; at most 15.
  /// Default none. Targets only: the next one is asked when one cannot be reached, does not answer in time,
  /// or answers with 429, 5xx or what is not Consul's; the first one is tried again every minute, and used when it knows a
  /// leader. Token, tenancy and TLS settings are those of this value.
  public var alternatives: [String] = []
  /// nil: no token is sent, and the agent's default policy holds.
  public var token: Token?
  /// `user[:password]` for HTTP basic authentication, e.g. for a proxy before the agent.
  public var basicAuth: String?
  /// Consul Enterprise; sent as `ns` when set.
  public var namespace: String?
  /// Consul Enterprise; sent as `partition` when set.
  public var partition: String?
  /// Use TLS although the address does not begin with `https://` (CONSUL_HTTP_SSL). An `http://`
  /// address does not turn it off. Default false.
  public var usesTLS = false
  /// Certificates and names; used with TLS only.
  public var tls = ConsulTLS()
  /// The error in the environment that this was made from.
  var environmentProblem: String?

  /// - Parameter address: default `127.0.0.1:8500`; checked by ``validate()`` and at the first use.
  public init(
    _ address: String = "127.0.0.1:8500", token: Token? = nil, basicAuth: String? = nil,
    namespace: String? = nil, partition: String? = nil
  ) {
    self.address = address
    self.token = token
    self.basicAuth = basicAuth
    self.namespace = namespace
    self.partition = partition
  }

  /// Checks address and TLS settings without connecting.
  /// - Throws: ``ConsulError/badAddress(_:reason:)``.
  public func validate() throws(ConsulError) {
    let addresses = try parsedAddresses()
    guard alternatives.count <= ConsulAgent.maximumAlternatives else {
      throw .badAddress(
        description,
        reason: "\(alternatives.count) alternatives; allowed: "
          + "\(ConsulAgent.maximumAlternatives) at most")
    }
    if let problem = environmentProblem ?? tls.problem {
      throw .badAddress(description, reason: problem)
    }
    #if !TLS
      if addresses.contains(where: isSecure) {
        throw .badAddress(
          description,
          reason: "TLS to the agent needs the package trait TLS; allowed: http://, unix://")
      }
    #else
      _ = addresses
    #endif
  }

  /// Whether requests to it go over TLS.
  func isSecure(_ address: AgentAddress) -> Bool {
    guard case .host = address.address else { return false }
    return address.isSecure || usesTLS
  }

  static let maximumAlternatives = 15

  package func parsedAddress() throws(ConsulError) -> AgentAddress {
    try AgentAddress(parsing: address)
  }

  /// In order of preference; not empty.
  func parsedAddresses() throws(ConsulError) -> [AgentAddress] {
    var addresses = [try parsedAddress()]
    for text in alternatives { addresses.append(try AgentAddress(parsing: text)) }
    return addresses
  }
}

extension ConsulAgent: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
  public var description: String { AgentAddress.redacted(address) }
  public var debugDescription: String { "ConsulAgent(\(description))" }
  /// Without the credentials, so that `dump` does not show them either.
  public var customMirror: Mirror { Mirror(self, children: ["address": description]) }
}
