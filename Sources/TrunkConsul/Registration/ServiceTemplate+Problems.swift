// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import TrunkDiscovery
private import TrunkSockets

/// What the agent would refuse, or silently change, found before it is asked (measured with 1.8.7).
extension ServiceTemplate {
  /// What is wrong, where, and what is allowed; nil: nothing.
  func problem(of content: ConsulService) -> String? {
    if name.isEmpty { return "its name is empty" }
    if let weights = content.weights, weights.passing == 0 || weights.warning == 0 {
      return "a weight is 0; 1 to 65535 are allowed"
    }
    return ServiceTemplate.problem(ofMeta: content.meta)
      ?? ServiceTemplate.problem(ofTagged: content.taggedAddresses)
      ?? problemOfChecks
  }

  func problem(ofAddress host: String?, id: String) -> String? {
    if id.isEmpty { return "its id is empty" }
    guard let host, ServiceTemplate.isWildcard(host) else { return nil }
    return "\"\(host)\" is no address that others can connect to"
  }

  private static func problem(ofMeta meta: [String: String]) -> String? {
    if meta.count > 64 { return "it has \(meta.count) metadata pairs; 64 are allowed" }
    for (key, value) in meta.sorted(by: { $0.key < $1.key }) {
      let shown = "metadata key \"\(key.prefix(140))\""
      let isNamed = key.utf8.allSatisfy { byte in
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
          UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"):
          true
        default: false
        }
      }
      guard isNamed, (1...128).contains(key.utf8.count) else {
        return "\(shown): 1 to 128 characters A-Z, a-z, 0-9, _ and - are allowed"
      }
      if key.hasPrefix("consul-") { return "\(shown): \"consul-\" is reserved for Consul" }
      if value.utf8.count > 512 {
        return "\(shown): its value has \(value.utf8.count) bytes; 512 are allowed"
      }
    }
    return nil
  }

  private static func problem(ofTagged addresses: [String: Address]) -> String? {
    for (name, address) in addresses.sorted(by: { $0.key < $1.key }) {
      let shown = "tagged address \"\(name)\""
      if name.isEmpty { return "a tagged address has no name" }
      guard case .host(let host, let port) = address, !isWildcard(host) else {
        return "\(shown): a host and port that others can connect to are allowed, not \(address)"
      }
      let parsed = SocketAddress(ip: host, port: port)
      let isIPv6 = host.contains(":")
      if name.hasSuffix("_ipv4"), parsed == nil || isIPv6 {
        return "\(shown): an IPv4 address is allowed, not \(host)"
      }
      if name.hasSuffix("_ipv6"), parsed == nil || !isIPv6 {
        return "\(shown): an IPv6 address is allowed, not \(host)"
      }
    }
    return nil
  }

  private var problemOfChecks: String? {
    var ids: Set<String> = []
    for check in checks where check.kind != .none {
      let shown = "\(check.id ?? check.kindName) check"
      if let id = check.id {
        if id.isEmpty { return "a check's id is empty" }
        if !ids.insert(id).inserted { return "two checks have the id \"\(id)\"" }
      }
      if check.interval <= .zero {
        return check.kind == .ttl
          ? "\(shown): its TTL has to be longer than 0"
          : "\(shown): its interval has to be longer than 0"
      }
      if let timeout = check.timeout, timeout <= .zero {
        return "\(shown): its timeout has to be longer than 0"
      }
      let counts = [
        check.successBeforePassing, check.failuresBeforeCritical, check.failuresBeforeWarning ?? 0,
      ]
      if counts.contains(where: { $0 < 0 }) { return "\(shown): a number of checks is below 0" }
      if let warning = check.failuresBeforeWarning, warning > check.failuresBeforeCritical {
        return "\(shown): failuresBeforeWarning is at most failuresBeforeCritical"
      }
      if let problem = problem(ofKind: check.kind) { return "\(shown): \(problem)" }
    }
    return nil
  }

  private func problem(ofKind kind: ConsulCheck.Kind) -> String? {
    switch kind {
    case .grpc(let address), .tcp(let address), .udp(let address), .h2ping(let address):
      guard let address else { return nil }
      guard case .host = address else {
        return "the agent connects to a host and port, not \(address)"
      }
    case .http(let request):
      let isHTTP = request.url.hasPrefix("http://") || request.url.hasPrefix("https://")
      guard isHTTP, request.url.split(separator: "/").count > 1 else {
        return "http://host… or https://host… is allowed, not \"\(request.url)\""
      }
      let method = request.method ?? "GET"
      if method.isEmpty || !method.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F }) {
        return "\"\(method)\" is no HTTP method"
      }
      if request.headers.keys.contains("") { return "a header has no name" }
    case .alias(let service, let node):
      if (service ?? "").isEmpty, (node ?? "").isEmpty {
        return "it names no other instance or node"
      }
    case .ttl, .none: break
    }
    return nil
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
