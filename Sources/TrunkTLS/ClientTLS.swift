// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
#if TLS

  /// How a client secures its connections: TLS 1.2 or 1.3, HTTP/2 by ALPN (RFC 9113 §3.2).
  ///
  /// Files are read when the first connection is made, so that a mistake in them shows in the story
  /// of the calls that fail, and again until that works: a mended file is picked up. Files that
  /// change later are read again, see ``reloadInterval``.
  public struct ClientTLS: Sendable {
    /// What is checked of a server.
    public enum Verification: Sendable, Hashable {
      /// Its certificate and its name (RFC 9525). Default.
      case full
      /// Its certificate, not its name: for identities that ``ClientTLS/verify`` checks (SPIFFE).
      case certificate
      /// Nothing but what ``ClientTLS/verify`` does. Only for tests and for agents of the same
      /// machine: anybody on the way can read and change everything.
      case none
    }

    /// Default: the system's roots.
    public var trust: TLSTrust
    /// The certificate to show to servers that ask for one.
    public var identity: TLSIdentity?
    /// Sent as SNI and expected in the certificate, in place of the name in the target or endpoint:
    /// a host name or an IP address. An empty one, or another that no certificate could be for, is
    /// refused when the channel is made.
    public var serverName: String?
    /// Default ``Verification/full``.
    public var verification = Verification.full
    /// Has the last word on a server's certificate; throwing refuses it, with the error as the
    /// reason. Called on an event loop: it must not block. Not called when a session is resumed.
    public var verify: (@Sendable (TLSPeer) throws -> Void)?
    /// Default 1.2.
    public var minimumVersion = TLSVersion.tls12
    /// Resumes sessions with servers it has spoken to (RFC 8446 §2.2). Default true.
    public var resumesSessions = true
    /// How often, at most, certificates, keys and trust in files are looked at when a connection is
    /// made; old connections go on. Files that cannot be used leave the old ones in force and are
    /// logged. Default 1 s; nil never looks again. A folder of CAs is OpenSSL's to watch.
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
