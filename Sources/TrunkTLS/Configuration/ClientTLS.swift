// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
#if TLS

  /// How a client secures its connections: TLS 1.2 or 1.3, HTTP/2 by ALPN (RFC 9113 §3.2).
  ///
  /// Files are read when the first connection is made, so that an error in them is in the
  /// diagnostics of the calls that fail, and again until that succeeds. Files that change later are
  /// read again, see ``reloadInterval``.
  public struct ClientTLS: Sendable {
    /// What is verified of a server.
    public enum Verification: Sendable, Hashable {
      /// Its certificate and its name (RFC 9525). Default.
      case full
      /// Its certificate, not its name: for identities that ``ClientTLS/verify`` checks (SPIFFE).
      case certificate
      /// Only ``ClientTLS/verify``, if set. For tests and for agents of the same machine: the
      /// connection is encrypted and not authenticated.
      case none
    }

    /// Default: the system's roots.
    public var trust: TLSTrust
    /// The certificate to send to servers that request one. Default none.
    public var identity: TLSIdentity?
    /// Sent as SNI and verified in the certificate, instead of the name in the target or endpoint:
    /// a host name or an IP address. An empty one, or one that no certificate can be for, is
    /// refused when the channel is made.
    public var serverName: String?
    /// Default ``Verification/full``.
    public var verification = Verification.full
    /// An additional check of a server's certificate; throwing refuses it, with the error as the
    /// reason. Called on an event loop: it must not block. Called again
    /// before a session is resumed; if it throws then, there is a full handshake instead.
    public var verify: (@Sendable (TLSPeer) throws -> Void)?
    /// Default 1.2.
    public var minimumVersion = TLSVersion.tls12
    /// Whether TLS sessions are resumed (RFC 8446 §2.2). Default true.
    public var resumesSessions = true
    /// How often, at most, certificates, keys and trust in files are compared when a connection is
    /// made; old connections continue. Files that cannot be used leave the old ones in force and
    /// are logged. Default 1 s; nil: never. Changes in a folder of CAs are noticed by OpenSSL.
    public var reloadInterval: Duration? = .seconds(1)

    /// - Parameters: see the properties of the same names.
    public init(
      trust: TLSTrust = .system, identity: TLSIdentity? = nil, serverName: String? = nil,
      verify: (@Sendable (TLSPeer) throws -> Void)? = nil
    ) {
      self.trust = trust
      self.identity = identity
      self.serverName = serverName
      self.verify = verify
    }
  }
#endif
