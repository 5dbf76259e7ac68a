// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
#if TLS
  import COpenSSL
  import Glibc
  import TestCertificates
  import Testing

  @testable import TrunkSockets
  @testable import TrunkTLS

  @Suite("What TLS answers to a peer that does not read", .timeLimit(.minutes(1)))
  struct UnreadAnswerTests {
    private final class Driver: ConnectionDriver {
      var count = 0
      func received(_ bytes: UnsafeRawBufferPointer) { count += bytes.count }
      func fill(_ output: inout OutputBuffer) {}
      func closed(_ error: SocketError?) {}
    }
    private final class Place {
      let driver = Driver()
      var listener: Listener?
      var connection: SocketConnection?
    }

    @Test("answers to KeyUpdates that nobody reads are bounded: the peer is not read from, then")
    func keyUpdates() async throws {
      let certificates = try await TestCertificates.make()
      let (clientContext, serverContext) = (try certificates.client(), try certificates.server())
      let loop = EventLoopGroup.shared.next()
      let place = LoopBound(Place(), on: loop)
      let address = await loop.perform { () -> SocketAddress? in
        let listener = SocketAddress(ip: "127.0.0.1", port: 0).flatMap {
          try? Listener(on: $0, loop: loop) { socket in
            // The kernel holds little.
            Socket.set(socket.fd, SOL_SOCKET, SO_SNDBUF, 8 << 10)
            let connection = socket.adopt(on: loop)
            place.value.connection = connection
            connection.start(place.value.driver, filter: try? TLSEngine(server: serverContext))
          }
        }
        try? listener?.start()
        place.value.listener = listener
        return listener?.address
      }
      let peer = try Peer(try #require(address), clientContext)
      let (sent, isStalled) = try await peer.flood(upTo: 3 << 20)
      let waiting = await loop.perform { place.value.connection?.unsentCount ?? 0 }
      #expect(isStalled, "the server read \(sent) messages whose answers nobody takes")
      #expect(waiting < 512 << 10)
      // Who reads is read from again.
      for _ in 0..<1_000 {
        peer.readAll()
        if await loop.perform({ place.value.driver.count >= sent }) { break }
        try await Task.sleep(for: .milliseconds(10))
      }
      let arrived = await loop.perform { place.value.driver.count }
      #expect(arrived == sent)
      await loop.perform {
        place.value.connection?.close()
        place.value.listener?.close()
      }
    }

    /// A client that speaks TLS on a socket of its own.
    private final class Peer {
      private let fd: Int32
      private let engine: TLSEngine
      private let scratch = UnsafeMutableRawBufferPointer.allocate(
        byteCount: 64 << 10, alignment: 16)

      init(_ address: SocketAddress, _ context: TLSContext) throws {
        fd = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        engine = try TLSEngine(client: context, serverName: "localhost")
        var small: Int32 = 8 << 10
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, 4)
        setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &small, 4)
        var name = sockaddr_in()
        name.sin_family = sa_family_t(AF_INET)
        name.sin_port = address.port.bigEndian
        name.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        let isConnected = withUnsafePointer(to: &name) {
          $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
            connect(fd, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
          }
        }
        try #require(isConnected)
        try engine.begin()
        while !engine.isOpen {
          send(take())
          let count = recv(fd, scratch.baseAddress, 4_096, 0)
          try #require(count > 0)
          try receive(Array(scratch[..<count]))
        }
        send(take())
        _ = fcntl(fd, F_SETFL, O_NONBLOCK)
      }

      deinit {
        close(fd)
        scratch.deallocate()
      }

      private func take() -> [UInt8] {
        var output = OutputBuffer()
        engine.drain(&output)
        return Array(output.bytes)
      }
      private func send(_ bytes: [UInt8]) { _ = Glibc.send(fd, bytes, bytes.count, 0) }
      private func receive(_ bytes: [UInt8]) throws {
        _ = try bytes.withUnsafeBytes { try engine.receive($0, scratch) { _ in true } }
      }

      /// 32 KeyUpdates and a byte, again and again, without reading.
      /// - Returns: bytes of data sent, and whether the server ceased to take them.
      func flood(upTo limit: Int) async throws -> (sent: Int, isStalled: Bool) {
        var data = 0
        var total = 0
        while total < limit {
          for _ in 0..<32 {
            SSL_key_update(engine.ssl, SSL_KEY_UPDATE_REQUESTED)
            SSL_do_handshake(engine.ssl)
          }
          var output = OutputBuffer()
          engine.drain(&output)
          try withUnsafeBytes(of: UInt8(1)) { try engine.send($0, &output) }
          data += 1
          var rest = Array(output.bytes)[...]
          total += rest.count
          var waits = 0
          while !rest.isEmpty {
            let count = Array(rest).withUnsafeBytes {
              Glibc.send(fd, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
            }
            if count > 0 {
              rest = rest.dropFirst(count)
              waits = 0
            } else if waits == 50 {
              pending = Array(rest)
              return (data, true)
            } else {
              waits += 1
              try await Task.sleep(for: .milliseconds(10))
            }
          }
        }
        return (data, false)
      }
      private var pending: [UInt8] = []

      func readAll() {
        while recv(fd, scratch.baseAddress, scratch.count, 0) > 0 {}
        guard !pending.isEmpty else { return }
        let count = Glibc.send(fd, pending, pending.count, Int32(MSG_NOSIGNAL))
        if count > 0 { pending.removeFirst(count) }
      }
    }
  }
#endif
