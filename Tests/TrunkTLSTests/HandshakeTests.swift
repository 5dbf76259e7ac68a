// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
#if TLS
  import TestCertificates
  import Testing
  import TrunkSockets

  @testable import TrunkTLS

  @Suite("TLS handshakes, in memory") struct HandshakeTests {
    @Test("both sides agree on TLS 1.3 and h2; bytes go both ways, whole, and the end is seen")
    func agree() async throws {
      let certificates = try await TestCertificates.make()
      let pair = try EnginePair(certificates.client(), certificates.server())
      pair.run()
      #expect(pair.client.isOpen && pair.server.isOpen)
      #expect(pair.client.version == "TLSv1.3")
      #expect(pair.client.peer?.subject == "CN=*.test.google.com")
      #expect(pair.server.peer == nil)
      let long = (0..<200_000).map { UInt8(truncatingIfNeeded: $0 &* 31) }
      // One byte at a time is a way of arriving, too.
      for byte in try pair.send(Array("hello".utf8), from: pair.client) {
        pair.deliver([byte], to: pair.server)
      }
      pair.deliver(try pair.send(long, from: pair.server), to: pair.client)
      #expect(pair.serverReceived == Array("hello".utf8))
      #expect(pair.clientReceived == long)
      pair.deliver(pair.close(pair.server), to: pair.client)
      #expect(pair.clientSawEnd)
      #expect(pair.client.ended() == nil)
    }

    @Test("mutual TLS: each side knows the other by its certificate")
    func mutual() async throws {
      let certificates = try await TestCertificates.make()
      let pair = try EnginePair(
        certificates.client("client"),
        certificates.server(clients: .required(.file(certificates.file("ca.pem")))))
      pair.run()
      let peer = try #require(pair.server.peer)
      #expect(peer.subject == "CN=testclient")
      #expect(peer.dnsNames == ["client.test"])
      #expect(peer.uris == ["spiffe://trunkcall.test/client"])
      #expect(peer.spiffeID == "spiffe://trunkcall.test/client")
      #expect(peer.fingerprint.count == 64 && peer.certificate.count > 100)
      let server = try #require(pair.client.peer)
      #expect(server.ipAddresses == ["127.0.0.1", "0:0:0:0:0:0:0:1"])
      #expect(server.spiffeID == nil)
    }

    struct Refusal: Sendable, CustomTestStringConvertible {
      var what: String
      var server = "server"
      var client: String?
      var trust = "ca"
      var name: String? = "localhost"
      var clients: String?
      /// What the side that refuses says, and what the other side hears.
      var clientSays: String
      var serverSays: String
      var testDescription: String { what }
    }

    static let refusals = [
      Refusal(
        what: "expired", server: "expired",
        clientSays: "the server's certificate was refused: certificate has expired",
        serverSays: "the client refused: certificate expired"),
      Refusal(
        what: "not yet valid", server: "future",
        clientSays: "the server's certificate was refused: certificate is not yet valid",
        serverSays: "the client refused: bad certificate"),
      Refusal(
        what: "wrong host", server: "otherhost",
        clientSays: "it is not for localhost (hostname mismatch)",
        serverSays: "the client refused: bad certificate"),
      Refusal(
        what: "wrong IP", server: "otherip", name: "127.0.0.1",
        clientSays: "it is not for 127.0.0.1 (IP address mismatch)",
        serverSays: "the client refused: bad certificate"),
      Refusal(
        what: "self-signed", server: "selfsigned",
        clientSays: "the server's certificate was refused: self-signed certificate",
        serverSays: "the client refused: its certificate authority is unknown"),
      Refusal(
        what: "unknown CA", server: "stranger",
        clientSays: "unable to get local issuer certificate",
        serverSays: "the client refused: its certificate authority is unknown"),
      Refusal(
        what: "missing client certificate", clients: "ca",
        clientSays: "the server refused: certificate required",
        serverSays: "the client showed no certificate, which is required"),
      Refusal(
        what: "untrusted client certificate", client: "stranger", clients: "ca",
        clientSays: "the server refused: its certificate authority is unknown",
        serverSays: "the client's certificate was refused: unable to get local issuer certificate"),
    ]

    @Test("what must be refused is, with a sentence on either side", arguments: refusals)
    func refused(_ refusal: Refusal) async throws {
      let certificates = try await TestCertificates.make()
      let pair = try EnginePair(
        certificates.client(refusal.client, trust: refusal.trust),
        certificates.server(
          refusal.server,
          clients: refusal.clients.map { .required(.file(certificates.file("\($0).pem"))) }
            ?? .none),
        name: refusal.name)
      pair.run()
      #expect("\(pair.clientError, default: "nothing")".contains(refusal.clientSays))
      #expect("\(pair.serverError, default: "nothing")".contains(refusal.serverSays))
      #expect(pair.serverReceived.isEmpty && pair.clientReceived.isEmpty)
    }

    @Test(
      "a verifier has the last word, and its reason is told; SPIFFE takes the place of the name")
    func verifiers() async throws {
      let certificates = try await TestCertificates.make()
      let ca = TLSTrust.file(certificates.file("ca.pem"))
      func run(_ allowed: String) throws -> EnginePair {
        let pair = try EnginePair(
          certificates.client("client"),
          TLSContext.server(
            ServerTLS(
              certificates.identity("server"), clientCertificates: .required(ca),
              verify: SPIFFE.expecting(allowed))))
        pair.run()
        return pair
      }
      #expect(try run("spiffe://trunkcall.test/client").server.isOpen)
      let refused = try run("spiffe://trunkcall.test/other")
      #expect(
        "\(refused.serverError, default: "")".contains(
          "spiffe://trunkcall.test/client is not allowed"))
      // The client's own certificate serves as a server's: no host name in it.
      var tls = ClientTLS(trust: ca, verify: SPIFFE.expecting(trustDomain: "trunkcall.test"))
      tls.verification = .certificate
      let spiffe = try EnginePair(TLSContext.client(tls), certificates.server("client"))
      spiffe.run()
      #expect(spiffe.client.isOpen)
      let plain = try EnginePair(TLSContext.client(tls), certificates.server())
      plain.run()
      #expect("\(plain.clientError, default: "")".contains("has no SPIFFE ID"))
    }

    @Test("without ALPN h2 on either side both refuse")
    func alpn() async throws {
      let certificates = try await TestCertificates.make()
      let http1Client = try TLSContext.client(
        ClientTLS(trust: .file(certificates.file("ca.pem"))), .http1)
      let one = try EnginePair(http1Client, certificates.server())
      one.run()
      #expect("\(one.serverError, default: "")".contains("does not speak HTTP/2 over TLS"))
      #expect("\(one.clientError, default: "")".contains("no HTTP/2 (ALPN)"))
      let http1Server = try TLSContext.server(ServerTLS(certificates.identity("server")), .http1)
      let two = try EnginePair(certificates.client(), http1Server)
      two.run()
      #expect("\(two.clientError, default: "")".contains("no HTTP/2 (ALPN)"))
    }

    @Test("plaintext where TLS is spoken, and the other way round, is named")
    func plaintext() async throws {
      let certificates = try await TestCertificates.make()
      let pair = try EnginePair(certificates.client(), certificates.server())
      pair.deliver(Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8), to: pair.server)
      #expect("\(pair.serverError, default: "")".contains("the client does not speak TLS"))
      try pair.client.begin()
      pair.deliver([0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 100], to: pair.client)
      #expect("\(pair.clientError, default: "")".contains("the server does not speak TLS"))
    }

    @Test("a handshake that is cut off is no connection")
    func truncated() async throws {
      let certificates = try await TestCertificates.make()
      let pair = try EnginePair(certificates.client(), certificates.server())
      try pair.client.begin()
      let hello = pair.take(pair.client)
      pair.deliver(Array(hello.prefix(hello.count / 2)), to: pair.server)
      #expect(pair.serverError == nil && !pair.server.isOpen)
      #expect(
        "\(pair.server.ended(), default: "")"
          == "the client ended the connection during the TLS handshake")
    }

    @Test("a record that was touched on its way ends the connection")
    func tampered() async throws {
      let certificates = try await TestCertificates.make()
      let pair = try EnginePair(certificates.client(), certificates.server())
      pair.run()
      var record = try pair.send([1, 2, 3], from: pair.client)
      record[record.count - 1] ^= 1
      pair.deliver(record, to: pair.server)
      #expect("\(pair.serverError, default: "")".contains("TLS failed"))
      #expect(pair.serverReceived.isEmpty)
    }

    @Test("a session is resumed with the server that gave it, and with no other")
    func resumption() async throws {
      let certificates = try await TestCertificates.make()
      let client = try certificates.client()
      let server = try certificates.server()
      for round in 0..<3 {
        let pair = try EnginePair(client, server, key: "a")
        pair.run()
        #expect(pair.client.isOpen)
        #expect(pair.client.wasResumed == (round > 0))
        #expect(pair.client.peer?.subject == "CN=*.test.google.com")
      }
      let other = try EnginePair(client, server, key: "b")
      other.run()
      #expect(!other.client.wasResumed)
    }

    @Test("a ticket from before certificates were reloaded is no use, and no harm")
    func ticketsAfterReload() async throws {
      let certificates = try await TestCertificates.make()
      let client = try certificates.client()
      for _ in 0..<2 {
        let pair = try EnginePair(client, certificates.server(), key: "a")
        pair.run()
        #expect(pair.client.isOpen && pair.server.isOpen && !pair.client.wasResumed)
      }
    }

    @Test("a certificate chosen by SNI asks of clients what the first one asks")
    func sniWithClientCertificates() async throws {
      let certificates = try await TestCertificates.make()
      let server = try TLSContext.server(
        ServerTLS(
          certificates.identity("sni"), certificates.identity("server"),
          clientCertificates: .required(.file(certificates.file("ca.pem")))))
      let client = try certificates.client("client")
      // Fresh, then resumed: the client is known all the same.
      for isResumed in [false, true] {
        let pair = try EnginePair(client, server, name: "localhost", key: "a")
        pair.run()
        #expect(pair.client.peer?.subject == "CN=*.test.google.com")
        #expect(pair.client.wasResumed == isResumed)
        #expect(pair.server.peer?.spiffeID == "spiffe://trunkcall.test/client")
      }
      let nobody = try EnginePair(certificates.client(), server, name: "localhost")
      nobody.run()
      #expect("\(nobody.serverError, default: "")".contains("showed no certificate"))
      let stranger = try EnginePair(certificates.client("stranger"), server, name: "localhost")
      stranger.run()
      #expect("\(stranger.serverError, default: "")".contains("certificate was refused"))
    }

    @Test("the certificate is chosen by the server name (SNI)")
    func sni() async throws {
      let certificates = try await TestCertificates.make()
      let server = try TLSContext.server(
        ServerTLS(certificates.identity("server"), certificates.identity("sni")))
      for (name, subject) in [
        ("first.test.google.fr", "CN=*.test.google.com"),
        ("second.test.google.fr", "CN=*.test.google.com"),
        ("localhost", "CN=*.test.google.com"),
      ] {
        let pair = try EnginePair(certificates.client(), server, name: name)
        pair.run()
        #expect(pair.client.peer?.subject == subject)
      }
      let reversed = try TLSContext.server(
        ServerTLS(certificates.identity("sni"), certificates.identity("server")))
      let pair = try EnginePair(certificates.client(), reversed, name: "third.test.google.fr")
      pair.run()
      #expect(pair.client.peer?.subject == "CN=*.test.google.com")
      let direct = try EnginePair(certificates.client(), reversed, name: "second.test.google.fr")
      direct.run()
      #expect(direct.client.peer?.subject == "CN=second")
    }
  }
#endif
