// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
#if TLS
  import COpenSSL
  import TestCertificates
  import Testing
  import TrunkSockets

  @testable import TrunkTLS

  @Suite("TLS peers that do odd things, in memory") struct PeerConductTests {
    /// A pair that speaks TLS 1.2.
    private func pair12() async throws -> EnginePair {
      let certificates = try await TestCertificates.make()
      let pair = try EnginePair(certificates.client(), certificates.server())
      SSL_ctrl(pair.client.ssl, SSL_CTRL_SET_MAX_PROTO_VERSION, Int(TLS1_2_VERSION), nil)
      pair.run()
      try #require(pair.client.isOpen && pair.server.isOpen && pair.client.version == "TLSv1.2")
      return pair
    }

    @Test("renegotiation ends the connection, whichever side asks for it (RFC 9113 §9.2.1)")
    func renegotiation() async throws {
      let asking = try await pair12()
      SSL_clear_options(asking.client.ssl, 1 << 30)
      SSL_renegotiate(asking.client.ssl)
      SSL_do_handshake(asking.client.ssl)
      asking.pump()
      #expect(
        "\(asking.serverError, default: "")".contains("the client asked for TLS renegotiation"))
      let asked = try await pair12()
      SSL_clear_options(asked.server.ssl, 1 << 30)
      SSL_renegotiate(asked.server.ssl)
      SSL_do_handshake(asked.server.ssl)
      asked.pump()
      #expect(
        "\(asked.clientError, default: "")".contains("the server asked for TLS renegotiation"))
    }

    @Test("KeyUpdates are answered; a flood of them is not read to its end", arguments: [31, 33])
    func keyUpdates(count: Int) async throws {
      let certificates = try await TestCertificates.make()
      let pair = try EnginePair(certificates.client(), certificates.server())
      pair.run()
      var flood: [UInt8] = []
      for _ in 0..<count {
        SSL_key_update(pair.client.ssl, SSL_KEY_UPDATE_REQUESTED)
        SSL_do_handshake(pair.client.ssl)
        flood += pair.take(pair.client)
      }
      // Each is answered, and the client has had a ticket before: 32 for it, too.
      pair.deliver(flood, to: pair.server)
      guard count <= 32 else {
        #expect("\(pair.serverError, default: "")".contains("in a row without data; allowed: 32"))
        return
      }
      pair.pump()
      pair.deliver(try pair.send([1], from: pair.server), to: pair.client)
      pair.deliver(try pair.send([2], from: pair.client), to: pair.server)
      #expect(pair.serverError == nil && pair.clientError == nil)
      #expect(pair.clientReceived == [1] && pair.serverReceived == [2])
      // Data begins the count anew.
      SSL_key_update(pair.client.ssl, SSL_KEY_UPDATE_NOT_REQUESTED)
      pair.deliver(try pair.send([3], from: pair.client), to: pair.server)
      #expect(pair.serverReceived == [2, 3])
    }

    @Test("empty records are not read without end")
    func emptyRecords() async throws {
      let pair = try await pair12()
      // In TLS 1.2 without a key nobody makes one: what it takes for one is refused at once.
      pair.deliver((0..<100).flatMap { _ in [23, 3, 3, 0, 0] as [UInt8] }, to: pair.server)
      #expect(pair.serverError != nil && !pair.server.isOpen)
    }

    @Test("a ticket in pieces holds nobody up: what is said meanwhile goes when it is whole")
    func ticketInPieces() async throws {
      let certificates = try await TestCertificates.make()
      let pair = try EnginePair(
        certificates.client("client"),
        certificates.server(clients: .required(.file(certificates.file("ca.pem")))), key: "a")
      // The ticket holds the client's certificate, and does not fit into a record of this size.
      SSL_ctrl(pair.server.ssl, SSL_CTRL_SET_MAX_SEND_FRAGMENT, 512, nil)
      try pair.client.begin()
      pair.deliver(pair.take(pair.client), to: pair.server)
      pair.deliver(pair.take(pair.server), to: pair.client)
      pair.deliver(pair.take(pair.client), to: pair.server)
      let ticket = pair.take(pair.server)
      let first = 5 + Int(ticket[3]) << 8 + Int(ticket[4])
      try #require(pair.client.isOpen && ticket.count > first)
      pair.deliver(Array(ticket[..<first]), to: pair.client)
      #expect(try pair.send([1, 2, 3], from: pair.client).isEmpty)
      #expect(!pair.client.isOpen, "the driver is not asked for more")
      pair.deliver(Array(ticket[first...]), to: pair.client)
      #expect(pair.client.isOpen && pair.client.outputCount > 0)
      pair.pump()
      #expect(pair.serverReceived == [1, 2, 3])
      #expect(pair.serverError == nil && pair.clientError == nil)
    }

    @Test("an end without close_notify is one for HTTP/2, and for HTTP/1.1 it is a cut")
    func truncation() async throws {
      let certificates = try await TestCertificates.make()
      let two = try EnginePair(certificates.client(), certificates.server())
      two.run()
      #expect(two.client.ended() == nil)
      let trust = TLSTrust.file(certificates.file("ca.pem"))
      let one = try EnginePair(
        TLSContext.client(ClientTLS(trust: trust), .http1),
        TLSContext.server(ServerTLS(certificates.identity("server")), .http1))
      one.run()
      try #require(one.client.isOpen)
      #expect("\(one.client.ended(), default: "")".contains("without close_notify"))
      one.deliver(one.close(one.server), to: one.client)
      #expect(one.clientSawEnd && one.client.ended() == nil)
    }

    @Test("behind the handshake nonsense is not taken for another protocol")
    func nonsense() async throws {
      let certificates = try await TestCertificates.make()
      let pair = try EnginePair(certificates.client(), certificates.server())
      pair.run()
      pair.deliver(Array("GET / HTTP/1.1\r\n\r\n".utf8), to: pair.server)
      let error = "\(pair.serverError, default: "")"
      #expect(error.contains("TLS failed") && !error.contains("does not speak TLS"))
    }

    @Test("a session is resumed for as long as the certificate behind it is good")
    func sessionsExpire() async throws {
      let certificates = try await TestCertificates.make()
      let (client, server) = (try certificates.client(), try certificates.server())
      let first = try EnginePair(client, server, key: "a")
      first.run()
      let certificate = SSL_get0_peer_certificate(first.client.ssl)
      let past = ASN1_TIME_set(nil, 1_000_000_000)
      X509_set1_notAfter(certificate, past)
      ASN1_STRING_free(past)
      let second = try EnginePair(client, server, key: "a")
      second.run()
      #expect(second.client.isOpen && !second.client.wasResumed)
    }

    @Test("`verify` is asked about a peer whose session would be resumed, on both sides")
    func sessionsAreVerified() async throws {
      struct Refused: Error, CustomStringConvertible {
        var description: String { "no longer ours" }
      }
      let certificates = try await TestCertificates.make()
      let asked = Locked(0)
      let refuses = Locked(false)
      let verify: @Sendable (TLSPeer) throws -> Void = { _ in
        asked.withLock { $0 += 1 }
        if refuses.withLock({ $0 }) { throw Refused() }
      }
      for role in [TLSRole.server, .client] {
        asked.withLock { $0 = 0 }
        refuses.withLock { $0 = false }
        var clientTLS = ClientTLS(
          trust: .certificates(.file(certificates.file("ca.pem"))),
          identity: certificates.identity("client"))
        if role == .client { clientTLS.verify = verify }
        var serverTLS = ServerTLS(
          certificates.identity("server"),
          clientCertificates: .required(.file(certificates.file("ca.pem"))))
        if role == .server { serverTLS.verify = verify }
        let client = try TLSContext.client(clientTLS)
        let server = try TLSContext.server(serverTLS)
        for isResumed in [false, true] {
          let pair = try EnginePair(client, server, key: "a")
          pair.run()
          #expect(pair.client.isOpen && pair.server.isOpen)
          #expect(pair.client.wasResumed == isResumed)
        }
        #expect(asked.withLock { $0 } == 2)
        refuses.withLock { $0 = true }
        let pair = try EnginePair(client, server, key: "a")
        pair.run()
        let error = role == .server ? pair.serverError : pair.clientError
        #expect("\(error, default: "")".contains("no longer ours"))
        #expect(!pair.client.wasResumed)
      }
    }

    @Test("a dot behind the name is left out")
    func trailingDot() async throws {
      let certificates = try await TestCertificates.make()
      let pair = try EnginePair(certificates.client(), certificates.server(), name: "localhost.")
      pair.run()
      #expect(pair.client.isOpen)
      #expect(
        SSL_get_servername(pair.server.ssl, TLSEXT_NAMETYPE_host_name)
          .map { String(cString: $0) } == "localhost")
    }

    @Test("a name in the subject alone is no name (RFC 9525)")
    func commonName() throws {
      let identity = TLSIdentity(
        certificates: .text(Self.certificate), privateKey: .text(Self.key))
      let pair = try EnginePair(
        TLSContext.client(ClientTLS(trust: .certificates(.text(Self.certificate)))),
        TLSContext.server(ServerTLS(identity)))
      pair.run()
      #expect("\(pair.clientError, default: "")".contains("it is not for localhost"))
    }

    // Thrown away when they were made; the key protects nothing. CN=localhost, no alternative
    // names.
    private static let key = """
      -----BEGIN PRIVATE KEY-----
      MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgGVjIEcC9Q2iYMRSp
      fMgLP1uV4CY3qAMZZ4ythmeFcAuhRANCAATbiUO6PRN84XlXkH5dnNSryVy8bruj
      +XjL+Z7sCCxCvPNnY7jU7+F2TfMMd/5NedOUHZGuQEJijJjpJXj39w0U
      -----END PRIVATE KEY-----
      """
    private static let certificate = """
      -----BEGIN CERTIFICATE-----
      MIIBgDCCASWgAwIBAgIUNeg7JcxIPReXYr0RjX5QOOyJWw0wCgYIKoZIzj0EAwIw
      FDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2MTEyNDIxNTgyNFoYDzIxMjYxMDMx
      MjE1ODI0WjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjO
      PQMBBwNCAATbiUO6PRN84XlXkH5dnNSryVy8bruj+XjL+Z7sCCxCvPNnY7jU7+F2
      TfMMd/5NedOUHZGuQEJijJjpJXj39w0Uo1MwUTAdBgNVHQ4EFgQUbkW/brKSXZvX
      sxyLaT3Y3RMUoNUwHwYDVR0jBBgwFoAUbkW/brKSXZvXsxyLaT3Y3RMUoNUwDwYD
      VR0TAQH/BAUwAwEB/zAKBggqhkjOPQQDAgNJADBGAiEA/JBGaiEDdSKl925QbQiP
      rKykrGtGBntczL1sciTx6ewCIQDHzdFmE9PFl1gvK6oMBsGcpBox7PTxdPLsBH90
      UVv5qA==
      -----END CERTIFICATE-----
      """
  }
#endif
