// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
#if TLS
  import FoundationEssentials
  import Glibc
  import Logging
  import ProcessSupport
  import TestCertificates
  import Testing
  import TrunkSockets
  import TrunkTesting
  import TrunkWire

  @testable import Trunkcall

  @Suite("Calls over TLS", .timeLimit(.minutes(2)))
  struct SecureCallTests {
    private let whoAmI = AdHocService(unary: [
      "Who": { _, call in Array((call.tlsPeer?.spiffeID ?? "nobody").utf8) },
      "Echo": { payload, _ in payload },
    ])

    private func tls(_ certificates: TestCertificates, _ name: String = "server") -> ServerTLS {
      ServerTLS(
        .files(
          certificates: certificates.file("\(name).pem"),
          privateKey: certificates.file("\(name).key")))
    }
    private func client(_ certificates: TestCertificates) -> ClientTLS {
      ClientTLS(trust: .file(certificates.file("ca.pem")))
    }
    private func withSecureServer(
      _ security: ServerSecurity, options: ServerOptions = ServerOptions(),
      interceptors: [any ServerInterceptor] = [],
      logger: Logger = Logger(label: "trunkcall.server"),
      _ body: (GRPCServer, UInt16) async throws -> Void
    ) async throws {
      let server = GRPCServer(
        on: .tcp("127.0.0.1", 0), services: [whoAmI], security: security,
        interceptors: interceptors, options: options, logger: logger)
      let running = Task { try await server.run() }
      defer { running.cancel() }
      guard case .host(_, let port)? = try await server.listeningAddresses().first else { return }
      try await body(server, port)
      server.shutDown()
      try await running.value
    }
    private func call(
      _ channel: GRPCChannel, _ method: String, _ payload: [UInt8] = [],
      _ options: CallOptions = CallOptions(timeout: .seconds(20))
    ) async throws(RPCError) -> [UInt8] {
      try await channel.unary(AdHocService.method(method), payload, options)
    }

    private struct Allow: ServerInterceptor {
      let id: String
      func intercept(
        _ call: ServerCall, _ requests: any MessageSource, _ replies: any MessageSink,
        _ next: ServerInterceptor.Next
      ) async throws {
        guard call.tlsPeer?.spiffeID == id else { throw RPCError(.permissionDenied, "not you") }
        try await next(call, requests, replies)
      }
    }

    @Test("handlers and interceptors see who the client is; megabytes go both ways")
    func identity() async throws {
      let certificates = try await TestCertificates.make()
      var server = tls(certificates)
      server.clientCertificates = .required(.file(certificates.file("ca.pem")))
      var own = client(certificates)
      own.identity = .files(
        certificates: certificates.file("client.pem"), privateKey: certificates.file("client.key"))
      let mine = own
      try await withSecureServer(
        .tls(server), interceptors: [Allow(id: "spiffe://trunkcall.test/client")]
      ) { _, port in
        try await withChannel(to: "dns:///localhost:\(port)", security: .tls(mine)) { channel in
          let reply = try await call(channel, "Who")
          #expect(reply == Array("spiffe://trunkcall.test/client".utf8))
          let large = (0..<3_000_000).map { UInt8(truncatingIfNeeded: $0) }
          let echo = try await call(channel, "Echo", large)
          #expect(echo == large)
        }
      }
      try await withSecureServer(.tls(tls(certificates))) { _, port in
        try await withChannel(to: "ipv4:127.0.0.1:\(port)", security: .tls(mine)) { channel in
          let reply = try await call(channel, "Who")
          #expect(reply == Array("nobody".utf8), "nobody asked for the certificate")
        }
      }
    }

    @Test(
      "a refused server is in the diagnostics of the call; a server that speaks plaintext is, too")
    func stories() async throws {
      let certificates = try await TestCertificates.make()
      try await withSecureServer(.tls(tls(certificates, "otherhost"))) { server, port in
        let channel = try GRPCChannel(
          to: "ipv4:127.0.0.1:\(port)", security: .tls(client(certificates)))
        let error = await failure { _ = try await call(channel, "Who") }
        #expect(error?.code == .unavailable)
        #expect(
          error?.diagnostics.contains("it is not for 127.0.0.1 (IP address mismatch)") == true,
          "\(error?.diagnostics ?? "")")
        #expect(try await holds { server.statistics.handshakesFailed > 0 })
        await channel.close()
      }
      try await withSecureServer(.plaintext) { _, port in
        let channel = try GRPCChannel(
          to: "ipv4:127.0.0.1:\(port)", security: .tls(client(certificates)))
        let error = await failure { _ = try await call(channel, "Who") }
        #expect(error?.diagnostics.contains("the server does not speak TLS") == true)
        await channel.close()
      }
      try await withSecureServer(.tls(tls(certificates))) { server, port in
        let channel = try GRPCChannel(to: "ipv4:127.0.0.1:\(port)")
        let start = ContinuousClock.now
        let error = await failure { _ = try await call(channel, "Who") }
        #expect(error?.code == .unavailable)
        #expect(ContinuousClock.now - start < .seconds(5))
        #expect(
          error?.diagnostics.contains("perhaps it expects TLS: security: .tls()") == true,
          "\(error?.diagnostics ?? "")")
        #expect(try await holds { server.statistics.handshakesFailed > 0 })
        await channel.close()
      }
    }

    @Test("certificates that cannot be read: a server does not start, a client's calls say why")
    func unreadable() async throws {
      let certificates = try await TestCertificates.make()
      let missing = ServerTLS(.files(certificates: "/no/such.pem", privateKey: "/no/such.key"))
      let server = GRPCServer(on: .tcp("127.0.0.1", 0), services: [whoAmI], security: .tls(missing))
      await #expect {
        try await server.run()
      } throws: {
        "\($0)".contains("TLS: the certificate file /no/such.pem cannot be read")
      }
      try await withSecureServer(.tls(tls(certificates))) { _, port in
        let channel = try GRPCChannel(
          to: "ipv4:127.0.0.1:\(port)", security: .tls(ClientTLS(trust: .file("/no/ca.pem"))))
        let error = await failure { _ = try await call(channel, "Who") }
        #expect(error?.diagnostics.contains("/no/ca.pem cannot be read") == true)
        await channel.close()
      }
    }

    @Test("a handshake that never ends is given up in time; so is one that is cut off")
    func never() async throws {
      let certificates = try await TestCertificates.make()
      var options = ServerOptions()
      options.handshakeTimeout = .milliseconds(200)
      try await withSecureServer(.tls(tls(certificates)), options: options) { server, port in
        let group = EventLoopGroup.shared
        let silent = try await ByteStream.connect(
          to: .host("127.0.0.1", port), on: group.next(), timeout: .seconds(5))
        // The header of a record that never comes.
        try await silent.write([22, 3, 1, 2, 0, 1])
        let end = try? await silent.read(timeout: .seconds(5))
        #expect(end == nil || end == [], "the server hangs up")
        #expect(try await holds { server.statistics.handshakesFailed == 1 })
        let cut = try await ByteStream.connect(
          to: .host("127.0.0.1", port), on: group.next(), timeout: .seconds(5))
        try await cut.write([22, 3, 1, 2, 0, 1])
        cut.close()
        #expect(try await holds { server.statistics.handshakesFailed == 2 })
        try await withChannel(
          to: "ipv4:127.0.0.1:\(port)", security: .tls(client(certificates))
        ) { channel in
          let reply = try await call(channel, "Echo", [1])
          #expect(reply == [1], "others are served")
        }
      }
    }

    @Test("TLS 1.1 and renegotiation are refused, TLS 1.2 is served (openssl s_client)")
    func versions() async throws {
      let certificates = try await TestCertificates.make()
      try await withSecureServer(.tls(tls(certificates))) { server, port in
        func client(_ arguments: String...) throws -> ChildProcess {
          try ChildProcess(
            "/usr/bin/env",
            ["openssl", "s_client", "-connect", "127.0.0.1:\(port)", "-alpn", "h2"] + arguments)
        }
        let old = try client("-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0")
        #expect(try await old.exit(within: .seconds(10)) != 0)
        #expect(old.text.contains("protocol version"))
        #expect(try await holds { server.statistics.handshakesFailed == 1 })
        let new = try client("-tls1_2", "-brief")
        _ = try await new.exit(within: .seconds(10))
        #expect(new.text.contains("TLSv1.2"))
        // `R` asks for a renegotiation; s_client reads commands from its input.
        let again = try ChildProcess(
          "/bin/sh",
          [
            "-c",
            "(sleep 0.5; echo R; sleep 2) | openssl s_client -connect 127.0.0.1:\(port) -alpn h2 -tls1_2",
          ])
        let refusal = try await again.line(containing: "no renegotiation", within: .seconds(15))
        #expect(refusal != nil, "\(again.text)")
      }
    }

    @Test("a file that changes between its first use and the watch is read again")
    func changeBeforeWatch() async throws {
      let certificates = try await TestCertificates.make()
      let file = "/tmp/trunkcall-tls-\(UUID().uuidString).pem"
      defer { try? FileManager.default.removeItem(atPath: file) }
      func install(_ text: [UInt8]) throws { try Data(text).write(to: URL(filePath: file)) }
      try install(certificates.bytes("server.pem"))
      var tls = ServerTLS(
        .files(certificates: file, privateKey: certificates.file("server.key")))
      tls.reloadInterval = .milliseconds(10)
      let log = LogLines()
      let served = try ServerCertificates(tls, log.logger)
      try install(Array("nonsense".utf8))
      let watch = Task { await served.watch() }
      defer { watch.cancel() }
      #expect(try await holds(within: .seconds(20)) { !log.lines.isEmpty })
      #expect(log.lines.first?.contains("certificates changed and cannot be used") == true)
    }

    @Test(
      "files that cannot be looked at in time, or read, are no change; what is said is said once")
    func failedReadIsNoChange() async throws {
      let certificates = try await TestCertificates.make()
      let file = "/tmp/trunkcall-tls-\(UUID().uuidString).pem"
      defer { try? FileManager.default.removeItem(atPath: file) }
      try Data(certificates.bytes("server.pem")).write(to: URL(filePath: file))
      var tls = ServerTLS(
        .files(certificates: file, privateKey: certificates.file("server.key")))
      tls.reloadInterval = .milliseconds(2)
      let impatient = LogLines()
      let hasty = try ServerCertificates(tls, impatient.logger, fileTimeout: .zero)
      let log = LogLines()
      let served = try ServerCertificates(tls, log.logger)
      let first = Task { await hasty.watch() }
      #expect(try await holds(within: .seconds(20)) { !impatient.lines.isEmpty })
      first.cancel()
      await first.value
      #expect(
        impatient.lines.allSatisfy {
          $0.hasSuffix("in force are kept: reading certificates timed out")
        }
      )
      let watch = Task { await served.watch() }
      defer { watch.cancel() }
      try FileManager.default.removeItem(atPath: file)
      #expect(try await holds(within: .seconds(20)) { !log.lines.isEmpty })
      // It is there again as it was: still no change.
      try Data(certificates.bytes("server.pem")).write(
        to: URL(filePath: file), options: .atomic)
      // Some looks at it, of which nothing may come.
      try await Task.sleep(for: .milliseconds(50))
      try Data(certificates.bytes("sni.pem")).write(to: URL(filePath: file), options: .atomic)
      #expect(try await holds(within: .seconds(20)) { log.lines.count >= 2 })
      #expect(log.lines.count == 2, "\(log.lines)")
      #expect(
        log.lines.first?.contains(
          "certificates cannot be read, the ones in force are kept: the file \(file) cannot be read"
        )
          == true)
      #expect(log.lines.last?.contains("certificates changed and cannot be used") == true)
    }

    @Test("a replaced certificate is served within 2 s, a broken one never; no call fails")
    func reload() async throws {
      let certificates = try await TestCertificates.make()
      let folder = "/tmp/trunkcall-tls-\(UUID().uuidString)"
      try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
      defer { try? FileManager.default.removeItem(atPath: folder) }
      func install(_ name: String) throws {
        for kind in ["key", "pem"] {
          let data = Data(certificates.bytes("\(name).\(kind)"))
          try data.write(to: URL(filePath: "\(folder)/now.\(kind)"), options: .atomic)
        }
      }
      try install("server")
      let security = ServerSecurity.tls(
        ServerTLS(.files(certificates: "\(folder)/now.pem", privateKey: "\(folder)/now.key")))
      let log = LogLines()
      try await withSecureServer(security, logger: log.logger) { _, port in
        let target = "ipv4:127.0.0.1:\(port)"
        var named = client(certificates)
        named.serverName = "second.test.google.fr"
        let second = named
        // Both certificates are for this name; the old one by its wildcard.
        func newest() async throws -> String {
          let subject = Locked("")
          var tls = second
          tls.resumesSessions = false
          tls.verify = { peer in subject.withLock { $0 = peer.subject } }
          try await withChannel(to: target, security: .tls(tls)) { channel in
            _ = try await call(channel, "Echo", [1])
          }
          return subject.withLock { $0 }
        }
        try await withChannel(to: target, security: .tls(second)) { channel in
          let failed = Locked<[RPCError]>([])
          let calls = Locked(0)
          let traffic = Task {
            while !Task.isCancelled {
              do throws(RPCError) { _ = try await call(channel, "Echo", [7]) } catch {
                if !Task.isCancelled { failed.withLock { $0.append(error) } }
              }
              calls.withLock { $0 += 1 }
              try? await Task.sleep(for: .milliseconds(5))
            }
          }
          #expect(try await newest() == "CN=*.test.google.com")
          try install("sni")
          let replaced = ContinuousClock.now
          #expect(try await holds(within: .seconds(5)) { (try? await newest()) == "CN=second" })
          print("T3: the new certificate was served \(ContinuousClock.now - replaced) after")
          try Data("nonsense".utf8).write(to: URL(filePath: "\(folder)/now.pem"))
          let isSeen = try await holds(within: .seconds(20)) {
            log.lines.contains { $0.contains("certificates changed and cannot be used") }
          }
          #expect(isSeen, "\(log.lines)")
          #expect(try await newest() == "CN=second", "a broken file keeps the old one")
          traffic.cancel()
          await traffic.value
          print("T3: \(failed.withLock { $0.count }) of \(calls.withLock { $0 }) calls failed")
          #expect(failed.withLock { $0 } == [])
        }
      }
    }
  }
#endif
