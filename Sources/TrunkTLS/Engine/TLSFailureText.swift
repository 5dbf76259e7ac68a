// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
#if TLS
  internal import COpenSSL

  /// The text for a TLS failure: which side refused, and for what reason.
  struct TLSFailureText {
    var role: TLSRole
    var serverName: String?
    var refusal: String?
    /// `X509_V_…`
    var verification: Int
    var isHandshake: Bool

    private var other: String { role == .client ? "the server" : "the client" }

    func explain(_ reason: OpenSSLErrors.Reason?) -> String {
      guard let reason else { return "TLS failed" }
      switch reason.code {
      case SSL_R_CERTIFICATE_VERIFY_FAILED: return "\(other)'s certificate was refused: \(verdict)"
      case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
        return "the client showed no certificate, which is required"
      case let code where isHandshake && TLSFailureText.isOtherProtocol(code):
        return "\(other) does not speak TLS (\(reason.text))"
      case SSL_R_NO_APPLICATION_PROTOCOL:
        return "\(other) does not speak HTTP/2 over TLS (its ALPN has no \"h2\")"
      case SSL_R_UNSUPPORTED_PROTOCOL:
        return "\(other) offers no TLS version that is allowed (1.2 or 1.3)"
      default:
        // Alerts that came from the peer (RFC 8446 §6) have codes of their own.
        let alert = reason.code - SSL_AD_REASON_OFFSET
        guard (0...255).contains(alert) else { return "TLS failed: \(reason.text)" }
        return "\(other) refused: \(TLSFailureText.alert(alert) ?? reason.text)"
      }
    }

    /// Whether the first bytes are of another protocol, by OpenSSL's reason code.
    private static func isOtherProtocol(_ code: Int32) -> Bool {
      switch code {
      case SSL_R_WRONG_VERSION_NUMBER, SSL_R_HTTP_REQUEST, SSL_R_HTTPS_PROXY_REQUEST,
        SSL_R_PACKET_LENGTH_TOO_LONG, SSL_R_RECORD_TOO_SMALL, SSL_R_BAD_RECORD_TYPE,
        SSL_R_UNEXPECTED_MESSAGE:
        true
      default: false
      }
    }

    private var verdict: String {
      if let refusal { return refusal }
      let text = String(cString: X509_verify_cert_error_string(verification))
      switch Int32(truncatingIfNeeded: verification) {
      case X509_V_ERR_HOSTNAME_MISMATCH, X509_V_ERR_IP_ADDRESS_MISMATCH:
        return "it is not for \(serverName ?? "this server") (\(text))"
      default: return text
      }
    }

    private static func alert(_ code: Int32) -> String? {
      switch code {
      case SSL_AD_HANDSHAKE_FAILURE: "handshake failure"
      case SSL_AD_BAD_CERTIFICATE: "bad certificate"
      case SSL_AD_UNSUPPORTED_CERTIFICATE: "unsupported certificate"
      case SSL_AD_CERTIFICATE_REVOKED: "certificate revoked"
      case SSL_AD_CERTIFICATE_EXPIRED: "certificate expired"
      case SSL_AD_CERTIFICATE_UNKNOWN: "certificate unknown"
      case SSL_AD_UNKNOWN_CA: "its certificate authority is unknown"
      case SSL_AD_ACCESS_DENIED: "access denied"
      case SSL_AD_PROTOCOL_VERSION: "no common TLS version"
      case SSL_AD_INSUFFICIENT_SECURITY: "insufficient security"
      case SSL_AD_UNRECOGNIZED_NAME: "it does not know the server name"
      case TLS13_AD_CERTIFICATE_REQUIRED: "certificate required"
      case SSL_AD_NO_APPLICATION_PROTOCOL: "no HTTP/2 (ALPN)"
      default: nil
      }
    }
  }
#endif
