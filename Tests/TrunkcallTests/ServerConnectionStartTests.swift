// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Logging
import Testing
import TrunkSockets

@testable import Trunkcall

@Suite("A server's connection that cannot start", .timeLimit(.minutes(1)))
struct ServerConnectionStartTests {
  private struct Seen: Sendable {
    var isClosed: Bool
    var isWatched: Bool
    var slots: Int
  }
  private final class Place {
    var listener: Listener?
    var seen: Seen?
  }

  @Test(
    "it is closed, its slots are free again, and nothing watches it any more",
    arguments: [true, false])
  func failedStart(_ hasFilter: Bool) async throws {
    let loop = EventLoopGroup.shared.next()
    let place = LoopBound(Place(), on: loop)
    let port = await loop.perform { () -> UInt16 in
      var options = ServerOptions()
      options.maxConnectionIdle = .seconds(100)
      let server = ServerCore(
        [], [], options, Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
      // TLS may fail before it is there, and with its first step.
      let context = ServerLoop(server, loop) { () throws(SocketError) in
        guard hasFilter else { throw SocketError("TLS", errno: 0, detail: "not made") }
        return FailingFilter()
      }
      guard let address = SocketAddress(ip: "127.0.0.1", port: 0) else { return 0 }
      let listener = try? Listener(on: address, loop: loop) { socket in
        guard let slot = server.connections.take(), let handshake = server.handshakes.take() else {
          return
        }
        let connection = ServerConnection(socket.adopt(on: loop), context, slot, handshake)
        connection.open()
        place.value.seen = Seen(
          isClosed: connection.isClosed,
          isWatched: connection.lifeTimer != nil || connection.keepaliveTimer != nil,
          slots: server.connections.taken + server.handshakes.taken)
        connection.endWatch()
      }
      try? listener?.start()
      place.value.listener = listener
      return listener?.address.port ?? 0
    }
    let client = try await ByteStream.connect(
      to: .host("127.0.0.1", port), on: loop, timeout: .seconds(10))
    #expect(try await holds { await loop.perform { place.value.seen != nil } })
    let last = await loop.perform { place.value.seen }
    let seen = try #require(last)
    #expect(seen.isClosed && seen.slots == 0)
    #expect(!seen.isWatched)
    client.close()
    await loop.perform { place.value.listener?.close() }
  }

  private final class FailingFilter: ByteFilter {
    var isOpen: Bool { false }
    var outputCount: Int { 0 }
    func begin() throws(SocketError) { throw SocketError("TLS", errno: 0, detail: "no first step") }
    func receive(
      _ bytes: UnsafeRawBufferPointer, _ scratch: UnsafeMutableRawBufferPointer,
      _ plain: (UnsafeRawBufferPointer) -> Bool
    ) throws(SocketError) -> Bool { false }
    func send(_ plain: UnsafeRawBufferPointer, _ output: inout OutputBuffer) throws(SocketError) {}
    func drain(_ output: inout OutputBuffer) {}
    func close(_ output: inout OutputBuffer) {}
    func ended() -> SocketError? { nil }
  }
}
