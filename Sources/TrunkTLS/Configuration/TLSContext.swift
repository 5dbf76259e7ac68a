// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
#if TLS
  internal import COpenSSL
  internal import TrunkSockets

  /// The configuration that the connections of one side share: certificates, trust, versions, ALPN.
  ///
  /// `@unchecked Sendable`: nothing changes after `init`; OpenSSL counts references to an
  /// `SSL_CTX`, and guards what it changes inside, with locks of its own.
  package final class TLSContext: @unchecked Sendable {
    /// Protocols on top of TLS (RFC 7301).
    package enum Application: Sendable {
      /// HTTP/2, and only if the peer selects it too.
      case http2
      /// HTTP/1.1, for the Consul agent, which may not support ALPN.
      case http1

      var wire: [UInt8] {
        switch self {
        case .http2: [2] + "h2".utf8
        case .http1: [8] + "http/1.1".utf8
        }
      }
      var isRequired: Bool { self == .http2 }
    }

    let pointer: OpaquePointer
    let application: Application
    let role: TLSRole
    let verify: (@Sendable (TLSPeer) throws -> Void)?
    /// Whether the chain is verified before ``verify`` is called.
    let checksChain: Bool
    let checksName: Bool
    let sessions: TLSSessions?
    /// Servers: further contexts to select by SNI, each with the names of its certificate.
    private let others: [TLSContext]

    private init(
      _ role: TLSRole, _ application: Application, minimumVersion: TLSVersion,
      verify: (@Sendable (TLSPeer) throws -> Void)?, checksChain: Bool, checksName: Bool,
      sessions: TLSSessions?, others: [TLSContext]
    ) throws(TLSError) {
      OpenSSLErrors.clear()
      guard let pointer = SSL_CTX_new(role == .client ? TLS_client_method() : TLS_server_method())
      else { throw .openSSL("OpenSSL has no TLS to offer") }
      self.pointer = pointer
      self.role = role
      self.application = application
      self.verify = verify
      self.checksChain = checksChain
      self.checksName = checksName
      self.sessions = sessions
      self.others = others
      // Buffers are released while a connection is idle; a write may be repeated from another
      // address.
      _ = trunk_ssl_ctx_set_mode(
        pointer,
        UInt(SSL_MODE_RELEASE_BUFFERS) | UInt(SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER))
      _ = trunk_ssl_ctx_set_min_version(
        pointer, minimumVersion == .tls13 ? TLS1_3_VERSION : TLS1_2_VERSION)
      trunk_ssl_ctx_set_http2_options(pointer)
      TLSCallbacks.install(on: self)
    }

    deinit { SSL_CTX_free(pointer) }

    // MARK: Clients

    package static func client(
      _ tls: ClientTLS, _ application: Application = .http2
    ) throws(TLSError) -> TLSContext {
      let context = try TLSContext(
        .client, application, minimumVersion: tls.minimumVersion, verify: tls.verify,
        checksChain: tls.verification != .none, checksName: tls.verification == .full,
        sessions: tls.resumesSessions ? TLSSessions() : nil, others: [])
      try context.set(list: ServerTLS.defaultCipherList, suites: nil)
      if tls.verification != .none { try context.trust(tls.trust) }
      if let identity = tls.identity { try context.use(identity) }
      SSL_CTX_set_verify(context.pointer, SSL_VERIFY_PEER, nil)
      trunk_ssl_ctx_set_session_cache_mode(
        context.pointer,
        tls.resumesSessions
          ? Int(SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL) : Int(SSL_SESS_CACHE_OFF))
      let wire = application.wire
      // This function returns 0 for success.
      guard SSL_CTX_set_alpn_protos(context.pointer, wire, UInt32(wire.count)) == 0 else {
        throw .openSSL("ALPN cannot be offered")
      }
      return context
    }

    // MARK: Servers

    package static func server(
      _ tls: ServerTLS, _ application: Application = .http2
    ) throws(TLSError) -> TLSContext {
      guard let first = tls.identities.first else {
        throw TLSError("a TLS server needs a certificate and a private key")
      }
      var others: [TLSContext] = []
      for identity in tls.identities.dropFirst() {
        others.append(try server(tls, application, identity, others: []))
      }
      return try server(tls, application, first, others: others)
    }

    private static func server(
      _ tls: ServerTLS, _ application: Application, _ identity: TLSIdentity, others: [TLSContext]
    ) throws(TLSError) -> TLSContext {
      let context = try TLSContext(
        .server, application, minimumVersion: tls.minimumVersion, verify: tls.verify,
        checksChain: true, checksName: false, sessions: nil, others: others)
      try context.set(list: tls.cipherList, suites: tls.cipherSuites)
      try context.use(identity)
      switch tls.clientCertificates {
      case .none: SSL_CTX_set_verify(context.pointer, SSL_VERIFY_NONE, nil)
      case .requested(let trust):
        try context.trust(trust)
        SSL_CTX_set_verify(context.pointer, SSL_VERIFY_PEER, nil)
      case .required(let trust):
        try context.trust(trust)
        SSL_CTX_set_verify(
          context.pointer, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nil)
      }
      // Resumption by tickets, which take no memory of the server; one is enough for a connection.
      trunk_ssl_ctx_set_session_cache_mode(context.pointer, Int(SSL_SESS_CACHE_OFF))
      SSL_CTX_set_num_tickets(context.pointer, 1)
      // Tickets of clients with certificates are valid for this context only.
      let id = Array("trunkcall".utf8)
      SSL_CTX_set_session_id_context(context.pointer, id, UInt32(id.count))
      return context
    }

    /// Whether the peer of a session would still be accepted. Its certificate is not verified again
    /// when the session is resumed (RFC 8446 §2.2): if this is false, there is a full handshake
    /// instead, in which the peer is refused with a reason.
    func isTrusted(for session: OpaquePointer) -> Bool {
      guard let certificate = SSL_SESSION_get0_peer(session) else { return true }
      guard X509_cmp_current_time(X509_get0_notAfter(certificate)) > 0 else { return false }
      guard let verify else { return true }
      do {
        try verify(TLSPeer(certificate))
        return true
      } catch {
        return false
      }
    }

    /// The context whose certificate is for `name`; nil if this one is used.
    func context(for name: String) -> TLSContext? {
      if others.isEmpty || isFor(name) { return nil }
      return others.first { $0.isFor(name) }
    }

    private func isFor(_ name: String) -> Bool {
      guard let certificate = SSL_CTX_get0_certificate(pointer) else { return false }
      return X509_check_host(certificate, name, name.utf8.count, 0, nil) == 1
    }

    // MARK: Parts

    private func set(list: String, suites: String?) throws(TLSError) {
      guard SSL_CTX_set_cipher_list(pointer, list) == 1 else {
        throw .openSSL("the cipher list \"\(list)\" names no cipher that OpenSSL has")
      }
      if let suites, SSL_CTX_set_ciphersuites(pointer, suites) != 1 {
        throw .openSSL("the cipher suites \"\(suites)\" name one that OpenSSL does not have")
      }
    }

    private func use(_ identity: TLSIdentity) throws(TLSError) {
      let chain = try PEMReader.certificates(identity.certificates)
      defer { for certificate in chain { X509_free(certificate) } }
      let key = try PEMReader.privateKey(identity)
      defer { EVP_PKEY_free(key) }
      let name = PEMReader.name(identity.certificates)
      OpenSSLErrors.clear()
      guard SSL_CTX_use_certificate(pointer, chain[0]) == 1 else {
        throw .openSSL("the certificate in \(name) cannot be used")
      }
      for certificate in chain.dropFirst() {
        guard trunk_ssl_ctx_add_chain_cert(pointer, certificate) == 1 else {
          throw .openSSL("the chain in \(name) cannot be used")
        }
      }
      guard X509_check_private_key(chain[0], key) == 1,
        SSL_CTX_use_PrivateKey(pointer, key) == 1
      else {
        OpenSSLErrors.clear()
        throw TLSError(
          "the private key in \(PEMReader.name(identity.privateKey)) does not fit "
            + "the certificate in \(name)")
      }
    }

    private func trust(_ trust: TLSTrust) throws(TLSError) {
      OpenSSLErrors.clear()
      switch trust {
      case .system:
        guard SSL_CTX_set_default_verify_paths(pointer) == 1 else {
          throw .openSSL("the system's trusted certificates cannot be read")
        }
      case .folder(let path):
        guard SSL_CTX_load_verify_dir(pointer, path) == 1 else {
          throw .openSSL("the folder of trusted certificates \(path) cannot be read")
        }
      case .certificates(let pem):
        let certificates = try PEMReader.certificates(pem)
        defer { for certificate in certificates { X509_free(certificate) } }
        let store = SSL_CTX_get_cert_store(pointer)
        for certificate in certificates {
          X509_STORE_add_cert(store, certificate)
          // The CAs that a server names when it requests a certificate.
          if role == .server { SSL_CTX_add_client_CA(pointer, certificate) }
        }
      }
    }
  }

  package enum TLSRole: Sendable { case client, server }

  extension ServerTLS {
    static let defaultCipherList = "ECDHE+AESGCM:ECDHE+CHACHA20"
  }
#endif
