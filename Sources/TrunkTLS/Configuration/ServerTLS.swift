// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
#if TLS

  /// How a server secures its connections: TLS 1.2 or 1.3, HTTP/2 by ALPN (RFC 9113 §3.2).
  public struct ServerTLS: Sendable {
    /// What is required of clients.
    public enum ClientCertificates: Sendable, Hashable {
      /// No certificate. Default.
      case none
      /// A certificate if the client has one; one that cannot be verified is refused.
      case requested(TLSTrust)
      /// A certificate that is verified.
      case required(TLSTrust)
    }

    /// The first is the default; the others are for the names in their certificates (SNI, RFC
    /// 6066). Files are read again while the server runs, see ``reloadInterval``.
    public var identities: [TLSIdentity]
    /// Default ``ClientCertificates/none``.
    public var clientCertificates: ClientCertificates
    /// An additional check of a client's certificate; throwing refuses it, with the error as the
    /// reason. Called on an event loop: it must not block. Called again
    /// before a session is resumed; if it throws then, there is a full handshake instead.
    public var verify: (@Sendable (TLSPeer) throws -> Void)?
    /// Default 1.2.
    public var minimumVersion = TLSVersion.tls12
    /// OpenSSL's list for TLS 1.2. Default: forward secrecy and authenticated encryption only,
    /// which excludes everything that RFC 9113 appendix A prohibits.
    public var cipherList = "ECDHE+AESGCM:ECDHE+CHACHA20"
    /// OpenSSL's list for TLS 1.3; nil: all of them.
    public var cipherSuites: String?
    /// How often certificates and keys in files are compared; new connections use the new ones, old
    /// ones continue. A file that cannot be read or used leaves the old ones in force and is
    /// logged. Default 1 s; nil: never.
    public var reloadInterval: Duration? = .seconds(1)

    /// - Parameters: see the properties of the same names.
    public init(
      _ identities: TLSIdentity..., clientCertificates: ClientCertificates = .none,
      verify: (@Sendable (TLSPeer) throws -> Void)? = nil
    ) {
      self.identities = identities
      self.clientCertificates = clientCertificates
      self.verify = verify
    }
  }

  extension ServerTLS {
    /// The present contents of all its files; nil for one that cannot be read.
    package var fileContents: [[UInt8]?] { files.map { try? PEMReader.bytes($0, "file") } }

    /// The names of the entries of ``fileContents``, for errors.
    package var fileNames: [String] { files.map { PEMReader.name($0) } }

    private var files: [PEM] {
      var files = identities.flatMap { [$0.certificates, $0.privateKey] }
      switch clientCertificates {
      case .none: break
      case .requested(let trust), .required(let trust):
        if case .certificates(let pem) = trust { files.append(pem) }
      }
      return files
    }
  }
#endif
