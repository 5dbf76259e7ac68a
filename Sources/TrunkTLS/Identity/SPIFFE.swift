// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
#if TLS

  /// Identities of workloads (spiffe.io: SPIFFE-ID, X.509-SVID): a URI in the certificate replaces
  /// the host name.
  public enum SPIFFE {
    /// A verifier for ``ClientTLS/verify`` and ``ServerTLS/verify`` that accepts these IDs. On a
    /// client set ``ClientTLS/verification`` to `.certificate`: there is no host name to verify.
    public static func expecting(_ ids: String...) -> @Sendable (TLSPeer) throws -> Void {
      let allowed = Set(ids)
      return { peer in
        let id = try identity(of: peer)
        guard allowed.contains(id) else {
          throw TLSError(
            "\(id) is not allowed; allowed: \(allowed.sorted().joined(separator: ", "))")
        }
      }
    }

    /// A verifier that accepts any ID of a trust domain (`example.org`).
    public static func expecting(
      trustDomain: String
    ) -> @Sendable (TLSPeer) throws -> Void {
      let prefix = "spiffe://\(trustDomain)/"
      return { peer in
        guard isTrustDomain(trustDomain) else {
          throw TLSError("\"\(trustDomain)\" is no trust domain")
        }
        let id = try identity(of: peer)
        guard id.hasPrefix(prefix) else {
          throw TLSError("\(id) is not of the trust domain \(trustDomain)")
        }
      }
    }

    private static func identity(of peer: TLSPeer) throws -> String {
      guard let id = peer.spiffeID else {
        throw TLSError("the certificate of \(peer.subject) has no SPIFFE ID")
      }
      return id
    }

    private static func isTrustDomain(_ text: String) -> Bool {
      !text.isEmpty && text.utf8.allSatisfy(isDomainByte)
    }

    /// `spiffe://`, a trust domain of `a-z 0-9 . - _`, and a path without empty or dot segments.
    static func isID(_ uri: String) -> Bool {
      guard uri.utf8.count <= 2_048, uri.hasPrefix("spiffe://") else { return false }
      let rest = uri.dropFirst("spiffe://".count)
      let segments = rest.split(separator: "/", omittingEmptySubsequences: false)
      guard let domain = segments.first, !domain.isEmpty, domain.utf8.allSatisfy(isDomainByte)
      else { return false }
      return segments.dropFirst().allSatisfy { segment in
        !segment.isEmpty && segment != "." && segment != ".." && segment.utf8.allSatisfy(isPathByte)
      }
    }

    private static func isDomainByte(_ byte: UInt8) -> Bool {
      switch byte {
      case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"),
        UInt8(ascii: "."), UInt8(ascii: "-"), UInt8(ascii: "_"):
        true
      default: false
      }
    }
    private static func isPathByte(_ byte: UInt8) -> Bool {
      isDomainByte(byte) || (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(byte)
    }
  }
#endif
