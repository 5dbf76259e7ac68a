// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
#if TLS
  import TestCertificates
  import Testing

  @testable import TrunkTLS

  @Suite("The name that a certificate is checked for") struct ServerNameTests {
    /// What OpenSSL would take for "any name", "any subdomain", or a shorter name.
    static let noNames = [
      nil, "", ".", "..", ".example", "a..b", "localhost\0.evil", "a b", "a/b", "ä", "*.example",
      "::g", "127.0.0.1:443", "dead:beef:443",
      String(repeating: "a", count: 254),
    ]

    @Test("host names and addresses are names; what turns the check off or weakens it is none")
    func names() {
      for name in ["localhost", "orders.example", "orders.example.", "a_b-c.1", "10.0.0.7", "::1"] {
        #expect(TLSServerName(name)?.text == (name.hasSuffix(".") ? "orders.example" : name))
      }
      for case let name? in ServerNameTests.noNames {
        #expect(TLSServerName(name) == nil, "\(name)")
      }
    }

    @Test("without a name there is no connection where names are checked", arguments: noNames)
    func checked(_ name: String?) async throws {
      let certificates = try await TestCertificates.make()
      var tls = ClientTLS(trust: .file(certificates.file("ca.pem")))
      #expect(throws: TLSError.self) {
        _ = try TLSEngine(client: try TLSContext.client(tls), serverName: name)
      }
      tls.verification = .certificate
      _ = try TLSEngine(client: try TLSContext.client(tls), serverName: name)
    }

    @Test("no other empty or unusual value believes anybody")
    func trust() async throws {
      let certificates = try await TestCertificates.make()
      for trust in [
        TLSTrust.certificates(.bytes([])), .certificates(.text("nothing")), .folder(""),
      ] {
        #expect(throws: TLSError.self) { try TLSContext.client(ClientTLS(trust: trust)) }
        #expect(throws: TLSError.self) {
          try TLSContext.server(
            ServerTLS(certificates.identity("server"), clientCertificates: .required(trust)))
        }
      }
      // A folder without certificates believes nobody.
      let pair = try EnginePair(
        TLSContext.client(ClientTLS(trust: .folder("/nonexistent"))),
        TLSContext.server(ServerTLS(certificates.identity("server"))))
      pair.run()
      #expect(pair.clientError != nil)
    }

    @Test("an empty trust domain allows nobody, and says so", arguments: ["", "/", "a/b", "A"])
    func trustDomain(_ domain: String) async throws {
      let certificates = try await TestCertificates.make()
      var tls = ServerTLS(certificates.identity("server"))
      tls.clientCertificates = .required(.file(certificates.file("ca.pem")))
      tls.verify = SPIFFE.expecting(trustDomain: domain)
      var client = ClientTLS(trust: .file(certificates.file("ca.pem")))
      client.identity = certificates.identity("client")
      let pair = try EnginePair(TLSContext.client(client), TLSContext.server(tls))
      pair.run()
      #expect(pair.serverError.map { "\($0)" }?.contains("is no trust domain") == true)
    }
  }
#endif
