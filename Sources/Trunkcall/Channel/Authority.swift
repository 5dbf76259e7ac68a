// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import TrunkDiscovery
internal import TrunkWire

/// The `:authority` of a channel's calls (RFC 3986 §3.2). Over TLS its host is the name that a
/// server's certificate is verified against, so it is never empty.
enum Authority {
  /// A resolver's authority for a target, as it goes into a header: whatever an authority may not
  /// hold is percent-encoded (naming.md), as in `team/orders`.
  /// - Throws: ``TargetError`` if it is empty.
  static func encoded(_ text: String, of target: Target) throws(TargetError) -> String {
    guard !text.isEmpty else {
      throw TargetError(
        .missingAddress, target: target.text, column: target.pathColumn,
        "it has no endpoint to name in calls (:authority); allowed: an endpoint behind the scheme, or "
          + "ChannelOptions.authority")
    }
    return escaped(withoutZone(text))
  }

  /// The zone of an IPv6 address has a meaning on this machine only (RFC 6874 §4): `[fe80::1%eth0]:1`
  /// is sent as `[fe80::1]:1`.
  private static func withoutZone(_ text: String) -> String {
    guard let colon = text.firstIndex(of: ":"), let zone = text.firstIndex(of: "%"), colon < zone,
      IPLiteral.isV6(text.drop { $0 == "[" }.prefix { $0 != "]" })
    else { return text }
    let end = text[zone...].firstIndex(of: "]") ?? text.endIndex
    return String(text[..<zone] + text[end...])
  }

  static func escaped(_ text: String) -> String {
    URIEscape.encode(text, keeping: isAllowed)
  }

  /// One that the application has set: unchanged, or refused.
  static func checked(_ text: String, of target: Target) throws(TargetError) -> String {
    guard !text.isEmpty, text.utf8.allSatisfy({ isAllowed($0) || $0 == UInt8(ascii: "%") }) else {
      throw TargetError(
        .malformed, target: target.text, column: 1,
        "ChannelOptions.authority is \(text.debugDescription); allowed: host[:port], the rest percent-encoded"
      )
    }
    return text
  }

  /// Unreserved, sub-delims, and what separates the parts.
  private static func isAllowed(_ byte: UInt8) -> Bool {
    URIEscape.isUnreserved(byte) || "!$&'()*+,;=:@[]".utf8.contains(byte)
  }
}
