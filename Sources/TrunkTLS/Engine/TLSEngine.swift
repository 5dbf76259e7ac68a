// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
#if TLS
  internal import COpenSSL
  package import TrunkSockets

  /// TLS between a socket's bytes and its driver's, by OpenSSL without its I/O: bytes in, bytes
  /// out.
  ///
  /// ```
  ///   handshaking ── both sides are done, ALPN fits ──► open ── close_notify ──► closed
  ///        └──────── refused by either side ──► failed ◄─── a bad record ┘
  /// ```
  /// OpenSSL reads directly from the received bytes and writes directly into the loop's send
  /// buffer, by a BIO of this library: an idle connection has no buffers.
  ///
  /// Bound to its loop.
  package final class TLSEngine: ByteFilter {
    private enum Phase { case handshaking, open, closed, failed }
    private var phase = Phase.handshaking
    let ssl: OpaquePointer
    let context: TLSContext
    /// The name that is sent and verified; a server's own is the one that the client sent.
    private let serverName: String?
    /// The key under which a session is kept.
    private let sessionKey: String?

    // OpenSSL's input and output while a method of this class runs.
    private var input = UnsafeRawBufferPointer(start: nil, count: 0)
    private var output: UnsafeMutablePointer<OutputBuffer>?
    /// Its output while there was no buffer for it.
    private var pending: [UInt8] = []
    /// Bytes of the driver that OpenSSL accepts only after the rest of a handshake message that
    /// came in pieces (a long ticket); the driver is asked for more after they are sent.
    private var held: [UInt8] = []
    /// Handshake messages after the handshake since the last byte for the driver.
    private var idleMessages = 0
    /// After the handshake: the peer's violation of rules that OpenSSL does not enforce.
    private var offence: String?
    /// Why ``TLSContext/verify`` refused the peer.
    var refusal: String?
    private var knownPeer: TLSPeer??

    /// - Parameters:
    ///   - serverName: a host name or IP literal, if known.
    ///   - server: the key under which a session may be resumed.
    package init(
      client context: TLSContext, serverName: String?, server: String? = nil
    ) throws(TLSError) {
      self.context = context
      self.serverName = serverName
      sessionKey = server.map { "\($0) \(serverName ?? "")" }
      ssl = try TLSEngine.make(context)
      attach()
      SSL_set_connect_state(ssl)
      try expect(serverName)
      if let sessionKey {
        context.sessions?.resume(sessionKey, on: ssl, if: context.isTrusted(for:))
      }
    }

    package init(server context: TLSContext) throws(TLSError) {
      self.context = context
      serverName = nil
      sessionKey = nil
      ssl = try TLSEngine.make(context)
      attach()
      SSL_set_accept_state(ssl)
    }

    deinit {
      // Otherwise OpenSSL treats a connection without close_notify as failed, and drops its
      // session.
      if phase != .failed { SSL_set_shutdown(ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN) }
      SSL_free(ssl)
    }

    private static func make(_ context: TLSContext) throws(TLSError) -> OpaquePointer {
      OpenSSLErrors.clear()
      guard let ssl = SSL_new(context.pointer) else { throw .openSSL("no TLS connection") }
      return ssl
    }

    private func attach() {
      let this = Unmanaged.passUnretained(self).toOpaque()
      SSL_set_ex_data(ssl, TLSCallbacks.engineIndex, this)
      guard let bio = TLSCallbacks.makeBIO(this) else { return }
      // One reference serves both directions if both are the same.
      SSL_set_bio(ssl, bio, bio)
    }

    private func expect(_ serverName: String?) throws(TLSError) {
      // OpenSSL takes an empty name as "any name", and one with a leading dot as "any subdomain".
      guard let name = serverName.flatMap({ TLSServerName($0)?.text }) else {
        guard context.checksName else { return }
        throw TLSError(
          serverName.map { "\"\($0)\" is no name that a certificate could be for" }
            ?? "there is no server name to check the certificate for")
      }
      let parameters = SSL_get0_param(ssl)
      let isAddress = X509_VERIFY_PARAM_set1_ip_asc(parameters, name) == 1
      // RFC 6066 §3: no address in SNI.
      if !isAddress { _ = trunk_ssl_set_server_name(ssl, name) }
      if isAddress && context.checksName { return OpenSSLErrors.clear() }
      OpenSSLErrors.clear()
      if !context.checksName {
        _ = X509_VERIFY_PARAM_set1_ip(parameters, nil, 0)
        return
      }
      // Names are subject alternative names; the subject is not used (RFC 9525 §2).
      SSL_set_hostflags(
        ssl, UInt32(X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT))
      guard SSL_set1_host(ssl, name) == 1 else {
        throw .openSSL("\"\(name)\" is no name that a certificate could be for")
      }
    }

    // MARK: ByteFilter

    package var isOpen: Bool { phase == .open && held.isEmpty }
    package var outputCount: Int { pending.count }

    /// A client sends first.
    package func begin() throws(SocketError) {
      if context.role == .client { try handshake() }
    }

    package func receive(
      _ bytes: UnsafeRawBufferPointer, _ scratch: UnsafeMutableRawBufferPointer,
      _ plain: (UnsafeRawBufferPointer) -> Bool
    ) throws(SocketError) -> Bool {
      input = bytes
      defer { input = UnsafeRawBufferPointer(start: nil, count: 0) }
      if phase == .handshaking {
        try handshake()
        guard phase == .open else { return false }
      }
      guard phase == .open else { return phase == .closed }
      while true {
        OpenSSLErrors.clear()
        let count = SSL_read(ssl, scratch.baseAddress, Int32(clamping: scratch.count))
        if let offence {
          phase = .failed
          throw SocketError("TLS", errno: 0, detail: "\(other) \(offence)")
        }
        if count > 0 {
          idleMessages = 0
          guard plain(UnsafeRawBufferPointer(rebasing: scratch[..<Int(count)])) else {
            return false
          }
          continue
        }
        switch SSL_get_error(ssl, count) {
        case SSL_ERROR_WANT_READ:
          try sendHeld()
          return false
        case SSL_ERROR_ZERO_RETURN:
          phase = .closed
          return true
        default: throw failure("TLS")
        }
      }
    }

    package func send(
      _ plain: UnsafeRawBufferPointer, _ output: inout OutputBuffer
    ) throws(SocketError) {
      guard isOpen else { return }
      let isTaken = withUnsafeMutablePointer(to: &output) { target in
        self.output = target
        defer { self.output = nil }
        return write(plain)
      }
      if !isTaken { throw failure("TLS") }
    }

    private func sendHeld() throws(SocketError) {
      guard !held.isEmpty else { return }
      let bytes = held
      held = []
      if !bytes.withUnsafeBytes({ write($0) }) { throw failure("TLS") }
    }

    private func write(_ plain: UnsafeRawBufferPointer) -> Bool {
      var rest = plain
      while !rest.isEmpty {
        OpenSSLErrors.clear()
        let count = SSL_write(ssl, rest.baseAddress, Int32(clamping: rest.count))
        if count > 0 {
          rest = UnsafeRawBufferPointer(rebasing: rest.dropFirst(Int(count)))
        } else if SSL_get_error(ssl, count) == SSL_ERROR_WANT_READ {
          // The BIO takes everything, so OpenSSL does not wait for the socket.
          held = Array(rest)
          return true
        } else {
          return false
        }
      }
      return true
    }

    package func drain(_ output: inout OutputBuffer) {
      guard !pending.isEmpty else { return }
      pending.withUnsafeBytes { output.append($0) }
      pending = []
    }

    package func close(_ output: inout OutputBuffer) {
      drain(&output)
      guard phase == .open else { return }
      phase = .closed
      withUnsafeMutablePointer(to: &output) { target in
        self.output = target
        defer { self.output = nil }
        SSL_shutdown(ssl)
      }
      OpenSSLErrors.clear()
    }

    package func ended() -> SocketError? {
      switch phase {
      case .handshaking:
        SocketError(
          "TLS", errno: 0, detail: "\(other) ended the connection during the TLS handshake")
      case .open where context.application == .http1:
        // A body may last until the end of the connection (RFC 9112 §6.3, §9.8): without this an
        // attacker could cut it short. HTTP/2 ends its streams itself.
        SocketError(
          "TLS", errno: 0, detail: "\(other) ended the connection without close_notify")
      default: nil
      }
    }

    // MARK: Properties

    /// The identity of the other side; nil without a certificate, or before the end of the
    /// handshake.
    package var peer: TLSPeer? {
      if let knownPeer { return knownPeer }
      guard phase == .open || phase == .closed else { return nil }
      let certificate = SSL_get1_peer_certificate(ssl)
      defer { X509_free(certificate) }
      // A certificate that was not verified gives no identity.
      let peer = context.checksChain || context.verify != nil ? certificate.map(TLSPeer.init) : nil
      knownPeer = .some(peer)
      return peer
    }

    /// `TLSv1.3`.
    package var version: String { String(cString: SSL_get_version(ssl)) }
    package var wasResumed: Bool { SSL_session_reused(ssl) == 1 }

    // MARK: Inside

    private func handshake() throws(SocketError) {
      OpenSSLErrors.clear()
      let status = SSL_do_handshake(ssl)
      guard status == 1 else {
        if SSL_get_error(ssl, status) == SSL_ERROR_WANT_READ { return }
        throw failure("TLS handshake")
      }
      if context.application.isRequired, !hasAgreedOnALPN {
        phase = .failed
        throw SocketError(
          "TLS handshake", errno: 0,
          detail: "\(other) does not speak HTTP/2 over TLS (no \"h2\" by ALPN)")
      }
      phase = .open
    }

    private var hasAgreedOnALPN: Bool {
      var start: UnsafePointer<UInt8>?
      var count: UInt32 = 0
      SSL_get0_alpn_selected(ssl, &start, &count)
      return UnsafeBufferPointer(start: start, count: Int(count))
        .elementsEqual(context.application.wire.dropFirst())
    }

    private var other: String { context.role == .client ? "the server" : "the client" }

    private func failure(_ operation: String) -> SocketError {
      let wasHandshaking = phase == .handshaking
      phase = .failed
      if let sessionKey, wasHandshaking { context.sessions?.forget(sessionKey) }
      let reason = OpenSSLErrors.takeLast()
      let text = TLSFailureText(
        role: context.role, serverName: serverName, refusal: refusal,
        verification: SSL_get_verify_result(ssl), isHandshake: wasHandshaking)
      return SocketError(operation, errno: 0, detail: text.explain(reason))
    }

    // MARK: OpenSSL's side

    /// Most handshake messages in a row without bytes for the driver: KeyUpdate costs this side new
    /// keys, a ticket a session, and both cost the peer next to nothing.
    private static let maximumIdleMessages = 32

    /// A handshake message of the peer.
    func messageReceived(_ type: UInt8) {
      guard phase == .open else { return }
      // RFC 9113 §9.2.1: OpenSSL would continue after its warning.
      if type == UInt8(SSL3_MT_CLIENT_HELLO) || type == UInt8(SSL3_MT_HELLO_REQUEST) {
        offence = "asked for TLS renegotiation, which HTTP/2 forbids"
        return
      }
      idleMessages += 1
      if idleMessages > TLSEngine.maximumIdleMessages {
        offence =
          "sent \(idleMessages) TLS handshake messages in a row without data; allowed: "
          + "\(TLSEngine.maximumIdleMessages)"
      }
    }

    func readInput(_ target: UnsafeMutableRawPointer, _ count: Int) -> Int {
      // No more output for a peer whose connection is about to be closed.
      if offence != nil { return 0 }
      let taken = min(count, input.count)
      guard taken > 0, let base = input.baseAddress else { return 0 }
      target.copyMemory(from: base, byteCount: taken)
      input = UnsafeRawBufferPointer(rebasing: input.dropFirst(taken))
      return taken
    }

    func writeOutput(_ bytes: UnsafeRawBufferPointer) {
      if let output { output.pointee.append(bytes) } else { pending.append(contentsOf: bytes) }
    }

    func keep(_ session: OpaquePointer) -> Bool {
      guard let sessionKey, let sessions = context.sessions else { return false }
      sessions.keep(session, for: sessionKey)
      return true
    }
  }
#endif
