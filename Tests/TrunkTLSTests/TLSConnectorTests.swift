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
      let connector = TLSConnector(ClientTLS(trust: .file(path))) { new in
        news.withLock { $0.append("\(new)") }
      }
      var now = ContinuousClock.now
      await #expect(throws: TLSError.self, "no file yet") { try await connector.context(at: now) }
      try install(certificates.bytes("ca.pem"))
      let first = try await connector.context(at: now)
      try install(certificates.bytes("client.pem"))
      #expect(try await connector.context(at: now) === first, "looked at once a second at most")
      now += .seconds(1)
      let second = try await connector.context(at: now)
      #expect(second !== first)
      try install(Array("nonsense".utf8))
      now += .seconds(1)
      #expect(try await connector.context(at: now) === second)
      now += .seconds(1)
      #expect(try await connector.context(at: now) === second)
      #expect(news.withLock { $0.count } == 2, "each change is said once")
      #expect(news.withLock { $0.first } == "reloaded")
      try install(certificates.bytes("ca.pem"))
      now += .seconds(1)
      #expect(try await connector.context(at: now) !== second)
      #expect(news.withLock { $0.count } == 3)
    }

    @Test("a file that cannot be read is no change, and is said once") func unreadable()
      async throws
    {
      let certificates = try await TestCertificates.make()
      let path = "/tmp/trunkcall-ca-\(UInt64.random(in: 0 ... .max)).pem"
      defer { unlink(path) }
      try #require(link(certificates.file("ca.pem"), path) == 0)
      let news = Mutex<[String]>([])
      let connector = TLSConnector(ClientTLS(trust: .file(path))) { new in
        news.withLock { $0.append("\(new)") }
      }
      var now = ContinuousClock.now
      let first = try await connector.context(at: now)
      for _ in 0..<3 {
        unlink(path)
        now += .seconds(1)
        #expect(try await connector.context(at: now) === first)
        now += .seconds(1)
        #expect(try await connector.context(at: now) === first)
        try #require(link(certificates.file("ca.pem"), path) == 0)
        now += .seconds(1)
        #expect(try await connector.context(at: now) === first, "it holds what it held")
      }
      let said = news.withLock { $0 }
      #expect(said.count == 3, "\(said)")
      #expect(said.allSatisfy { $0.contains("the file \(path) cannot be read") }, "\(said)")
    }

    @Test("a file that blocks its reader holds up the connection alone, and that not for ever")
    func blocking() async throws {
      let path = "/tmp/trunkcall-fifo-\(UInt64.random(in: 0 ... .max)).pem"
      try #require(mkfifo(path, 0o600) == 0)
      defer {
        // Lets the reader go.
        close(open(path, O_RDWR | O_NONBLOCK))
        unlink(path)
      }
      let connector = TLSConnector(ClientTLS(trust: .file(path)))
      await connector.prepare(timeout: .milliseconds(50))
      let error = #expect(throws: TLSError.self) { try connector.current() }
      #expect(error?.description.contains("timed out") == true)
    }

    @Test("without an interval files are read once") func once() async throws {
      let certificates = try await TestCertificates.make()
      var tls = ClientTLS(trust: .certificates(.bytes(certificates.bytes("ca.pem"))))
      tls.reloadInterval = nil
      let connector = TLSConnector(tls)
      let first = try await connector.context(at: .now)
      #expect(try await connector.context(at: .now + .seconds(600)) === first)
    }
  }

  extension TLSConnector {
    fileprivate func context(at now: ContinuousClock.Instant) async throws -> TLSContext {
      await prepare(at: now)
      return try current()
    }
  }
#endif
