// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
#if TLS
  import TestCertificates
  import Testing

  @testable import TrunkTLS

  @Suite("TLS configuration") struct ConfigurationTests {
    private func message(_ body: () throws -> TLSContext) -> String {
      do {
        _ = try body()
        return "no error"
      } catch { return "\(error)" }
    }

    @Test("each mistake in files and keys has a sentence that names the file")
    func mistakes() async throws {
      let certificates = try await TestCertificates.make()
      func server(_ certificate: String, _ key: String) -> String {
        message {
          try TLSContext.server(
            ServerTLS(
              .files(
                certificates: certificates.file(certificate), privateKey: certificates.file(key))))
        }
      }
      #expect(server("server.pem", "server.key") == "no error")
      #expect(server("none.pem", "server.key").contains("none.pem cannot be read"))
      #expect(
        message {
          try TLSContext.server(
            ServerTLS(TLSIdentity(certificates: .text(""), privateKey: .text(""))))
        }.contains("is empty"))
      #expect(server("server.key", "server.key").contains("server.key holds no certificate"))
      #expect(server("server.pem", "server.pem").contains("holds no private key"))
      #expect(
        server("server.pem", "client.key").contains("client.key does not fit the certificate in"))
      #expect(server("server.pem", "encrypted.key").contains("is encrypted, and no passphrase"))
      #expect(message { try TLSContext.server(ServerTLS()) }.contains("needs a certificate"))
      #expect(
        message { try TLSContext.client(ClientTLS(trust: .file(certificates.file("none.pem")))) }
          .contains("none.pem cannot be read"))
      #expect(
        message {
          var tls = ServerTLS(certificates.identity("server"))
          tls.cipherList = "NONSENSE"
          return try TLSContext.server(tls)
        }.contains("NONSENSE"))
    }

    @Test("an encrypted key opens with its passphrase, and with no other; PEM may lie in memory")
    func passphrase() async throws {
      let certificates = try await TestCertificates.make()
      func open(_ passphrase: String) -> String {
        message {
          try TLSContext.server(
            ServerTLS(
              TLSIdentity(
                certificates: .bytes(certificates.bytes("server.pem")),
                privateKey: .bytes(certificates.bytes("encrypted.key")),
                passphrase: { passphrase })))
        }
      }
      #expect(open("open sesame") == "no error")
      #expect(open("wrong").contains("does not open with the given passphrase"))
    }

    @Test(
      "SPIFFE IDs are read strictly",
      arguments: [
        ("spiffe://example.org/a/b", true), ("spiffe://example.org", true),
        ("spiffe://example.org/", false), ("spiffe://example.org/a//b", false),
        ("spiffe://example.org/a/../b", false), ("spiffe://Example.org/a", false),
        ("spiffe:///a", false), ("https://example.org/a", false), ("spiffe://e/a b", false),
      ])
    func spiffe(id: String, isID: Bool) { #expect(SPIFFE.isID(id) == isID) }
  }
#endif
