// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Glibc
import Testing

@testable import TrunkSockets

@Suite("Byte streams")
struct ByteStreamTests {
  /// A client and the server's end of its connection.
  private func pair(
    _ loop: EventLoop, on destination: Destination = .host("127.0.0.1", 0)
  ) async throws -> (client: ByteStream, server: ByteStream) {
    let listener = try await ByteStreamListener.listen(on: destination, loop: loop)
    defer { listener.close() }
    var target = destination
    if case .host(let host, _) = destination { target = .host(host, listener.port) }
    let client = try await ByteStream.connect(to: target, on: loop, timeout: .seconds(5))
    return (client, try await listener.accept())
  }

  @Test(
    "bytes come back over every family",
    arguments: [
      Destination.host("127.0.0.1", 0), .host("::1", 0), .host("localhost", 0),
      .unix(freshPath()), .unixAbstract("trunk-test-\(getpid())"),
    ])
  func echo(_ destination: Destination) async throws {
    try await withLoop { loop in
      let (client, server) = try await pair(loop, on: destination)
      try await client.write(Array("ping".utf8))
      try await server.write(readAll(server, count: 4))
      server.close()
      #expect(try await readAll(client) == Array("ping".utf8))
      client.close()
    }
  }

  @Test("a port where nobody listens refuses at once")
  func refused() async throws {
    try await withLoop { loop in
      let listener = try await ByteStreamListener.listen(
        on: .host("127.0.0.1", 0), loop: loop)
      let port = listener.port
      listener.close()
      await loop.perform {}
      let error = await #expect(throws: SocketError.self) {
        try await ByteStream.connect(
          to: .host("127.0.0.1", port), on: loop, timeout: .seconds(5))
      }
      #expect(error?.isRefused == true)
      #expect(error?.description == "connection refused")
    }
  }

  @Test("a path without a socket, a name too long: an error each")
  func badPaths() async throws {
    try await withLoop { loop in
      let missing = await #expect(throws: SocketError.self) {
        try await ByteStream.connect(to: .unix(freshPath()), on: loop, timeout: .seconds(5))
      }
      #expect(missing?.errno == ENOENT)
      let long = await #expect(throws: SocketError.self) {
        try await ByteStream.connect(
          to: .unix(String(repeating: "x", count: 108)), on: loop, timeout: .seconds(5))
      }
      #expect(long?.errno == ENAMETOOLONG)
    }
  }

  /// A TCP listener whose queue is full: the kernel drops further SYNs, as a dead host would.
  private final class FullHouse {
    let port: UInt16
    private var descriptors: [Int32] = []

    init() throws {
      let fd = try Socket.make(family: AF_INET)
      descriptors = [fd]
      guard let any = SocketAddress(ip: "127.0.0.1", port: 0),
        any.withPointer({ bind(fd, $0, $1) }) == 0, listen(fd, 0) == 0,
        let address = Socket.localAddress(fd)
      else { throw SocketError("listen") }
      port = address.port
      for _ in 0..<4 {
        let client = try Socket.make(family: AF_INET)
        descriptors.append(client)
        _ = address.withPointer { connect(client, $0, $1) }
      }
    }
    deinit { for fd in descriptors { Socket.close(fd) } }
  }

  @Test("a connect that nobody answers times out, or ends when its task is cancelled")
  func unanswered() async throws {
    let house = try FullHouse()
    let port = house.port
    try await withLoop { loop in
      let error = await #expect(throws: SocketError.self) {
        try await ByteStream.connect(
          to: .host("127.0.0.1", port), on: loop, timeout: .milliseconds(30))
      }
      #expect(error?.isTimeout == true)

      let task = Task {
        try await ByteStream.connect(to: .host("127.0.0.1", port), on: loop, timeout: .seconds(60))
      }
      await loop.perform {}
      task.cancel()
      await #expect(throws: CancellationError.self) { try await task.value }
      #expect(await loop.perform { loop.timers.isEmpty })
    }
    withExtendedLifetime(house) {}
  }

  @Test("a read that times out leaves the stream usable")
  func readTimeout() async throws {
    try await withLoop { loop in
      let (client, server) = try await pair(loop)
      let error = await #expect(throws: SocketError.self) {
        try await client.read(timeout: .milliseconds(5))
      }
      #expect(error?.isTimeout == true)
      try await server.write([1, 2, 3])
      #expect(try await readAll(client, count: 3) == [1, 2, 3])
      client.close()
      server.close()
    }
  }

  @Test("cancelling a reader closes the stream, and the peer sees the end")
  func readCancelled() async throws {
    try await withLoop { loop in
      let (client, server) = try await pair(loop)
      let reader = Task { try await client.read() }
      await loop.perform {}
      reader.cancel()
      await #expect(throws: CancellationError.self) { try await reader.value }
      #expect(try await server.read(timeout: .seconds(5)) == [])
    }
  }

  @Test("after the end reads give nothing, writes fail")
  func end() async throws {
    try await withLoop { loop in
      let (client, server) = try await pair(loop)
      try await server.write([9])
      server.close()
      #expect(try await readAll(client) == [9])
      #expect(try await client.read() == [])
      await #expect(throws: SocketError.self) { try await client.write([1]) }
    }
  }

  @Test(
    "16 MiB to a slow reader: nothing lost, order kept, and the sender waits",
    arguments: [Destination.host("127.0.0.1", 0), .unix(freshPath())])
  func slowReader(_ destination: Destination) async throws {
    try await withLoop { loop in
      let (client, server) = try await pair(loop, on: destination)
      let sent = pattern(16 << 20)
      let isWritten = Notes<Bool>()
      let writer = Task {
        try await client.write(sent)
        isWritten.add(true)
        client.close()
      }
      // It would be written by then, if nothing held it up.
      try await Task.sleep(for: .milliseconds(30))
      #expect(isWritten.all.isEmpty, "no kernel buffer is that large")
      var received: [UInt8] = []
      received.reserveCapacity(sent.count)
      while true {
        let chunk = try await server.read(timeout: .seconds(10))
        if chunk.isEmpty { break }
        received += chunk
        if received.count % 7 == 0 { await Task.yield() }
      }
      try await writer.value
      #expect(received.count == sent.count)
      #expect(received == sent)
    }
  }

  @Test(
    "what the peer sent before it closed is read to the end, however late",
    arguments: [Destination.host("127.0.0.1", 0), .unix(freshPath())])
  func lateReader(_ destination: Destination) async throws {
    try await withLoop { loop in
      let (client, server) = try await pair(loop, on: destination)
      // More small chunks than a stream keeps, so that it has stopped reading when the end comes.
      for number in 0..<40 {
        try await client.write([UInt8](repeating: UInt8(number), count: 100))
        await loop.perform {}
      }
      client.close()
      // The end has arrived by then, before anything is read.
      try await Task.sleep(for: .milliseconds(5))
      let received = try await readAll(server)
      #expect(received.count == 4_000)
      #expect(received == (0..<40).flatMap { [UInt8](repeating: UInt8($0), count: 100) })
    }
  }
}
