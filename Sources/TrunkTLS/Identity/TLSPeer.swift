// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
#if TLS
  internal import COpenSSL

  /// The identity of the other side by its verified certificate.
  public struct TLSPeer: Sendable, Hashable {
    /// In the form of RFC 2253: `CN=orders,O=Example`.
    public let subject: String
    /// The DNS names among the subject alternative names (RFC 5280 §4.2.1.6).
    public let dnsNames: [String]
    /// The IP addresses among them, as text; IPv6 with all eight groups.
    public let ipAddresses: [String]
    /// The URIs among them.
    public let uris: [String]
    /// SHA-256 of the certificate, 64 hexadecimal digits.
    public let fingerprint: String
    /// The certificate itself, DER.
    public let certificate: [UInt8]

    /// `spiffe://trust.domain/path`, if the certificate is a SPIFFE one: it has exactly one URI,
    /// and that is a SPIFFE ID (SPIFFE X.509-SVID §2).
    public var spiffeID: String? {
      guard uris.count == 1, let uri = uris.first, SPIFFE.isID(uri) else { return nil }
      return uri
    }
  }

  extension TLSPeer {
    /// - Parameter certificate: borrowed.
    init(_ certificate: OpaquePointer) {
      subject = TLSPeer.text(of: X509_get_subject_name(certificate))
      var dns: [String] = []
      var ip: [String] = []
      var uris: [String] = []
      if let names = trunk_san(certificate) {
        defer { trunk_san_free(names) }
        for index in 0..<trunk_san_count(names) {
          var start: UnsafePointer<UInt8>?
          var count: Int32 = 0
          let type = trunk_san_at(names, index, &start, &count)
          let bytes = UnsafeBufferPointer(start: start, count: max(0, Int(count)))
          switch type {
          case GEN_DNS: dns.append(String(decoding: bytes, as: UTF8.self))
          case GEN_URI: uris.append(String(decoding: bytes, as: UTF8.self))
          case GEN_IPADD: ip.append(TLSPeer.address(bytes))
          default: break
          }
        }
      }
      dnsNames = dns
      ipAddresses = ip
      self.uris = uris
      self.certificate = TLSPeer.der(certificate)
      var digest = [UInt8](repeating: 0, count: Int(EVP_MAX_MD_SIZE))
      var length: UInt32 = 0
      X509_digest(certificate, EVP_sha256(), &digest, &length)
      fingerprint = digest.prefix(Int(length)).map(TLSPeer.hexadecimal).joined()
    }

    private static func hexadecimal(_ byte: UInt8) -> String {
      let text = String(byte, radix: 16)
      return text.count == 1 ? "0\(text)" : text
    }

    private static func text(of name: OpaquePointer?) -> String {
      guard let name, let bio = BIO_new(BIO_s_mem()) else { return "" }
      defer { BIO_free(bio) }
      trunk_print_name(bio, name)
      return String(decoding: PEMReader.readAll(bio), as: UTF8.self)
    }

    private static func der(_ certificate: OpaquePointer) -> [UInt8] {
      guard let bio = BIO_new(BIO_s_mem()) else { return [] }
      defer { BIO_free(bio) }
      i2d_X509_bio(bio, certificate)
      return PEMReader.readAll(bio)
    }

    /// `10.0.0.7`, `2001:db8:0:0:0:0:0:1`: all groups are written.
    private static func address(_ bytes: UnsafeBufferPointer<UInt8>) -> String {
      if bytes.count == 16 {
        return stride(from: 0, to: 16, by: 2).map {
          String(UInt16(bytes[$0]) << 8 | UInt16(bytes[$0 + 1]), radix: 16)
        }.joined(separator: ":")
      }
      return bytes.map(String.init).joined(separator: ".")
    }
  }
#endif
