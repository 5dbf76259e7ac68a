// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
#if TLS

  /// PEM text (RFC 7468), in a file or in memory.
  public enum PEM: Sendable, Hashable {
    /// A path; read when it is needed, and again when the file has changed.
    case file(String)
    /// PEM text as bytes.
    case bytes([UInt8])

    /// PEM text as a string.
    public static func text(_ text: String) -> PEM { .bytes(Array(text.utf8)) }
  }

  /// A certificate with its chain, and its private key.
  public struct TLSIdentity: Sendable {
    /// The certificate first, then its issuers, up to the one before the root.
    public var certificates: PEM
    /// Of the first certificate; PKCS #8 or the older forms that OpenSSL reads.
    public var privateKey: PEM
    /// Called for the passphrase of an encrypted key; nil: an encrypted key is an error.
    public var passphrase: (@Sendable () -> String?)?

    /// - Parameters: see the properties of the same names. Nothing is read yet.
    public init(
      certificates: PEM, privateKey: PEM, passphrase: (@Sendable () -> String?)? = nil
    ) {
      self.certificates = certificates
      self.privateKey = privateKey
      self.passphrase = passphrase
    }

    /// From two PEM files.
    public static func files(certificates: String, privateKey: String) -> TLSIdentity {
      TLSIdentity(certificates: .file(certificates), privateKey: .file(privateKey))
    }
  }

  /// The CAs that are trusted.
  public enum TLSTrust: Sendable, Hashable {
    /// The system's (OpenSSL's default file and folder; SSL_CERT_FILE and SSL_CERT_DIR change
    /// them).
    case system
    /// These, and no others.
    case certificates(PEM)
    /// A folder of PEM files named by hash, as `openssl rehash` makes it.
    case folder(String)

    /// The certificates of a PEM file, and no others.
    public static func file(_ path: String) -> TLSTrust { .certificates(.file(path)) }
  }

  /// A version of TLS; older ones are not supported.
  public enum TLSVersion: Sendable, Hashable {
    /// RFC 5246.
    case tls12
    /// RFC 8446.
    case tls13
  }
#endif
