// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
#if TLS
  internal import COpenSSL

  /// A name that a certificate can be for: labels of letters, digits, `-` and `_` (RFC 9525 §2), or
  /// an IP address. No other reaches OpenSSL, which takes an empty name for "any", a leading dot
  /// for "any subdomain", and ends a name at a NUL.
  package struct TLSServerName: Sendable, Hashable {
    /// Without the trailing dot of a DNS name (RFC 6066 §3: SNI and certificates have none).
    package let text: String

    package init?(_ name: String) {
      let text = name.hasSuffix(".") ? String(name.dropLast()) : name
      guard (1...253).contains(text.utf8.count) else { return nil }
      if text.utf8.contains(UInt8(ascii: ":")) {
        // OpenSSL takes an address that is none, such as a host with its port, as a name.
        guard text.utf8.allSatisfy(TLSServerName.isAddressByte), TLSServerName.isAddress(text)
        else { return nil }
      } else {
        let labels = text.utf8.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        guard labels.allSatisfy({ !$0.isEmpty && $0.allSatisfy(TLSServerName.isNameByte) }) else {
          return nil
        }
      }
      self.text = text
    }

    private static func isAddress(_ text: String) -> Bool {
      defer { OpenSSLErrors.clear() }
      guard let address = a2i_IPADDRESS(text) else { return false }
      ASN1_OCTET_STRING_free(address)
      return true
    }

    private static func isNameByte(_ byte: UInt8) -> Bool {
      switch byte {
      case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
        UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"):
        true
      default: false
      }
    }
    private static func isAddressByte(_ byte: UInt8) -> Bool {
      switch byte {
      case UInt8(ascii: "a")...UInt8(ascii: "f"), UInt8(ascii: "A")...UInt8(ascii: "F"),
        UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: ":"), UInt8(ascii: "."):
        true
      default: false
      }
    }
  }
#endif
