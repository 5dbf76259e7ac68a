// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
#if TLS
  import TestCertificates
  import Testing
  import TrunkSockets
  import TrunkTLS
  import TrunkTesting

  @testable import Trunkcall

  @Suite("A handshake that ends during a drain", .timeLimit(.minutes(1)))
  struct LateHandshakeTests {
    @Test("the handler of a call that comes with it sees the client's certificate")
    func peer() async throws {
      // The server waits for a second before it takes no more streams: a machine that stood still
      // for as long may try again.
      for _ in 0..<5 {
        guard let seen = try await identity() else { continue }
        #expect(seen == "spiffe://trunkcall.test/client")
        return
      }
      Issue.record("no call was served during a drain")
    }

    /// - Returns: who the handler of the call took the client for; nil if the call was not served.
    private func identity() async throws -> String? {
      let certificates = try await TestCertificates.make()
      func files(_ name: String) -> TLSIdentity {
        .files(
          certificates: certificates.file("\(name).pem"),
          privateKey: certificates.file("\(name).key"))
      }
      let authority = TLSTrust.file(certificates.file("ca.pem"))
      let seen = Locked<String?>(nil)
      let service = AdHocService(unary: [
        "Who": { payload, call in
          seen.withLock { $0 = call.tlsPeer?.spiffeID ?? "nobody" }
          return payload
        }
      ])
      let server = GRPCServer(
        on: .tcp("127.0.0.1", 0), services: [service],
        security: .tls(ServerTLS(files("server"), clientCertificates: .required(authority))))
      let running = Task { try await server.run() }
      guard case .host(_, let port)? = try await server.listeningAddresses().first else {
        return nil
      }
      let context = try TLSContext.client(ClientTLS(trust: authority, identity: files("client")))
      let client = try await ByteStream.connect(
        to: .host("127.0.0.1", port), on: EventLoopGroup.shared.next(), timeout: .seconds(10)
      ) { () throws(SocketError) in
        do throws(TLSError) { return try TLSEngine(client: context, serverName: "localhost") } catch
        {
          throw SocketError("TLS", errno: 0, detail: "\(error)")
        }
      }
      // The server's SETTINGS: TLS is there, HTTP/2 not yet.
      var frames = Frames()
      while !frames.types.contains(4) { frames.add(try await client.read(timeout: .seconds(10))) }
      server.shutDown()
      // GOAWAY: the drain has begun.
      while !frames.types.contains(7) {
        let bytes = try await client.read(timeout: .seconds(10))
        guard !bytes.isEmpty else { return nil }
        frames.add(bytes)
      }
      let call: [ScriptedFrame] = [
        .settings([]), .headers(1, ScriptedPeer.request("/t.AdHoc/Who")),
        .data(1, ScriptedPeer.message([]), endStream: true),
      ]
      try await client.write(Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8) + call.flatMap(\.bytes))
      // Until the handler has it, or the server closes.
      while seen.withLock({ $0 }) == nil, let bytes = try? await client.read(timeout: .seconds(10)),
        !bytes.isEmpty
      {}
      client.close()
      try await running.value
      return seen.withLock { $0 }
    }

    /// The types of the frames that came (RFC 9113 §4.1).
    private struct Frames {
      private var bytes: [UInt8] = []
      private(set) var types: [UInt8] = []

      mutating func add(_ new: [UInt8]) {
        bytes += new
        while bytes.count >= 9 {
          let length = Int(bytes[0]) << 16 | Int(bytes[1]) << 8 | Int(bytes[2])
          guard bytes.count >= 9 + length else { return }
          types.append(bytes[3])
          bytes.removeFirst(9 + length)
        }
      }
    }
  }
#endif
