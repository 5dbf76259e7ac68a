// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
public import TrunkDiscovery

/// The address of an agent's HTTP API, in the forms of CONSUL_HTTP_ADDR: `host`, `host:port`,
/// `http://host:port/prefix`, `unix:///path` (Consul's api/api.go).
public struct AgentAddress: Sendable, Hashable, CustomStringConvertible {
  /// Host and port, or a unix socket.
  public var address: Address
  /// Path segments before `/v1`, for an agent behind a proxy.
  public var prefix: [String]
  /// `https://`: TLS to the agent.
  public var isSecure: Bool

  /// Consul's HTTP port unless written.
  public static let defaultPort: UInt16 = 8500
  /// `127.0.0.1:8500`, an agent's default.
  public static let local = AgentAddress(.host("127.0.0.1", defaultPort))

  /// Nothing is checked; ``init(parsing:)`` checks.
  public init(_ address: Address, prefix: [String] = [], isSecure: Bool = false) {
    self.address = address
    self.prefix = prefix
    self.isSecure = isSecure
  }

  /// - Throws: ``ConsulError/badAddress(_:reason:)``, which names what is allowed.
  public init(parsing text: String) throws(ConsulError) {
    var rest = text.trimmed[...]
    func bad(_ reason: String) -> ConsulError {
      .badAddress(AgentAddress.redacted(text), reason: reason)
    }
    var isSecure = false
    if let separator = rest.firstIndexOf("://") {
      let scheme = rest[..<separator].lowercased()
      rest = rest[separator...].dropFirst(3)
      switch scheme {
      case "http": break
      case "unix":
        guard !rest.isEmpty else { throw bad("missing path; allowed: unix:///path") }
        self.init(.unix(String(rest)))
        return
      case "https": isSecure = true
      default:
        throw bad("unknown scheme \"\(scheme)\"; allowed: host[:port], http://, https://, unix://")
      }
    }
    let slash = rest.firstIndex(of: "/") ?? rest.endIndex
    // Checked before any error that would quote it.
    guard !rest[..<slash].contains("@") else {
      throw bad("an address holds no user and password; use CONSUL_HTTP_AUTH")
    }
    let prefix = rest[slash...].split(separator: "/").map(String.init)
    do throws(HostPort.Failure) {
      let host = try HostPort(parsing: rest[..<slash])
      self.init(
        host.address(defaultPort: AgentAddress.defaultPort), prefix: prefix, isSecure: isSecure)
    } catch {
      throw bad("\(error.reason); allowed: host[:port], http[s]://host[:port], unix:///path")
    }
  }

  /// `127.0.0.1:8500`, `unix:/path`, `proxy:80/prefix`.
  public var description: String { prefix.reduce(address.description) { "\($0)/\($1)" } }

  /// A unix socket or a loopback address: the agent is on this host.
  package var isLocal: Bool {
    guard case .host(let host, _) = address else { return true }
    return host.hasPrefix("127.") || ["::1", "localhost"].contains(host)
  }

  /// Without the part before an `@`, which may be a password.
  package static func redacted(_ text: String) -> String {
    guard let at = text.lastIndex(of: "@") else { return text }
    return "***" + text[at...]
  }

  /// The value of the Host header; a unix socket has none of its own.
  package var hostHeader: String {
    if case .host = address { address.description } else { "localhost" }
  }
}

extension Substring {
  /// The index of the first occurrence of a short text.
  fileprivate func firstIndexOf(_ text: String) -> Index? {
    indices.first { self[$0...].hasPrefix(text) }
  }
}
