// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
#if TLS
  import Glibc
  import Synchronization
  import TestCertificates
  import Testing

  @testable import TrunkTLS

  @Suite struct TLSConnectorTests {
    @Test("changed files count for new connections, broken ones leave the old in force")
    func reload() async throws {
      let certificates = try await TestCertificates.make()
      let path = "/tmp/trunkcall-ca-\(UInt64.random(in: 0 ... .max)).pem"
      defer { unlink(path) }
      func install(_ bytes: [UInt8]) throws {
        let file = try #require(fopen(path, "w"))
        defer { fclose(file) }
        fwrite(bytes, 1, bytes.count, file)
      }
      let news = Mutex<[String]>([])
      let connector = TLSConnector(ClientTLS(trust: .file(path))) { problem in
        news.withLock { $0.append(problem.map { "\($0)" } ?? "reloaded") }
      }
      var now = ContinuousClock.now
      #expect(throws: TLSError.self, "no file yet") { try connector.context(at: now) }
      try install(certificates.bytes("ca.pem"))
      let first = try connector.context(at: now)
      try install(certificates.bytes("client.pem"))
      #expect(try connector.context(at: now) === first, "looked at once a second at most")
      now += .seconds(1)
      let second = try connector.context(at: now)
      #expect(second !== first)
      try install(Array("nonsense".utf8))
      now += .seconds(1)
      #expect(try connector.context(at: now) === second)
      now += .seconds(1)
      #expect(try connector.context(at: now) === second)
      #expect(news.withLock { $0.count } == 2, "each change is said once")
      #expect(news.withLock { $0.first } == "reloaded")
      try install(certificates.bytes("ca.pem"))
      now += .seconds(1)
      #expect(try connector.context(at: now) !== second)
      #expect(news.withLock { $0.count } == 3)
    }

    @Test("without an interval files are read once") func once() async throws {
      let certificates = try await TestCertificates.make()
      var tls = ClientTLS(trust: .certificates(.bytes(certificates.bytes("ca.pem"))))
      tls.reloadInterval = nil
      let connector = TLSConnector(tls)
      let first = try connector.context(at: .now)
      #expect(try connector.context(at: .now + .seconds(600)) === first)
    }
  }
#endif
