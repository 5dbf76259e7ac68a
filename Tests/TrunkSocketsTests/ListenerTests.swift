// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Glibc
import Testing

@testable import TrunkSockets

@Suite("Listeners")
struct ListenerTests {
  @Test("out of descriptors a listener pauses instead of spinning, then accepts (CVE-2023-4785)")
  func backOff() async throws {
    try await withLoop { loop in
      let accepted = Notes<UInt64>()
      let calls = Notes<UInt64>()
      let listener = try await loop.perform { () -> Result<LoopBound<Listener>, any Error> in
        Result {
          guard let address = SocketAddress(ip: "127.0.0.1", port: 0) else {
            throw SocketError.closed("address")
          }
          let listener = try Listener(
            on: address, loop: loop, options: SocketOptions(),
            accept: { fd in
              calls.add(Clock.now())
              if calls.all.count <= 2 {
                errno = EMFILE
                return -1
              }
              return accept(fd, nil, nil)
            },
            accepted: {
              accepted.add(Clock.now())
              $0.close()
            })
          try listener.start()
          return LoopBound(listener, on: loop)
        }
      }.get()
      let port = await loop.perform { listener.value.address.port }
      let client = try await ByteStream.connect(
        to: .host("127.0.0.1", port), on: loop, timeout: .seconds(5))
      #expect(try await client.read(timeout: .seconds(5)) == [])
      #expect(accepted.all.count == 1)
      #expect(await loop.perform { listener.value.pauses } == 2)
      // Two failures, one connection, and the call that finds the queue empty.
      #expect(calls.all.count <= 4)
      #expect(calls.all[2] - calls.all[0] >= 90_000_000)
      await loop.perform { listener.value.close() }
    }
  }

  @Test("room that comes while the listener hears that there is none is not missed")
  func roomAtOnce() async throws {
    /// On the loop alone.
    final class Place {
      var listener: Listener?
      var asked = 0
    }
    try await withLoop { loop in
      let place = LoopBound(Place(), on: loop)
      let port = try await loop.perform { () -> Result<UInt16, any Error> in
        Result {
          guard let address = SocketAddress(ip: "127.0.0.1", port: 0) else {
            throw SocketError.closed("address")
          }
          let listener = try Listener(
            on: address, loop: loop, options: SocketOptions(), paused: {},
            admission: Listener.Admission(
              timeout: .seconds(600),
              next: {
                let place = place.value
                place.asked += 1
                guard place.asked > 1 else {
                  place.listener?.resume()
                  return nil
                }
                return { $0.close() }
              }, refused: {}))
          place.value.listener = listener
          try listener.start()
          return listener.address.port
        }
      }.get()
      let client = try await ByteStream.connect(
        to: .host("127.0.0.1", port), on: loop, timeout: .seconds(5))
      #expect(try await client.read(timeout: .seconds(5)) == [])
      await loop.perform {
        place.value.listener?.close()
        place.value.listener = nil
      }
    }
  }

  @Test("a socket file that nobody listens on is replaced, a live one is not")
  func staleFile() async throws {
    let path = freshPath()
    let stale = try Socket.make(family: AF_UNIX)
    let address = try SocketAddress(unix: path)
    #expect(address.withPointer { bind(stale, $0, $1) } == 0)
    Socket.close(stale)

    try await withLoop { loop in
      let listener = try await ByteStreamListener.listen(on: .unix(path), loop: loop)
      let error = await #expect(throws: SocketError.self) {
        try await ByteStreamListener.listen(on: .unix(path), loop: loop)
      }
      #expect(error?.errno == EADDRINUSE)
      listener.close()
      await loop.perform {}
      #expect(access(path, F_OK) != 0, "the file goes with its listener")
    }
  }

  @Test("a file that is no socket is left alone")
  func foreignFile() async throws {
    let path = freshPath()
    close(open(path, O_CREAT | O_WRONLY, 0o600))
    defer { unlink(path) }
    try await withLoop { loop in
      let error = await #expect(throws: SocketError.self) {
        try await ByteStreamListener.listen(on: .unix(path), loop: loop)
      }
      #expect(error?.errno == EADDRINUSE)
      #expect(access(path, F_OK) == 0)
    }
  }

  @Test("a port in use is said in words")
  func portInUse() async throws {
    try await withLoop { loop in
      let listener = try await ByteStreamListener.listen(
        on: .host("127.0.0.1", 0), loop: loop)
      let error = await #expect(throws: SocketError.self) {
        try await ByteStreamListener.listen(
          on: .host("127.0.0.1", listener.port), loop: loop)
      }
      #expect(error?.description == "address already in use")
      listener.close()
    }
  }

  @Test("closing a listener ends those who wait for a connection")
  func closeEndsAccept() async throws {
    try await withLoop { loop in
      let listener = try await ByteStreamListener.listen(
        on: .host("127.0.0.1", 0), loop: loop)
      let waiting = Task { try await listener.accept() }
      await loop.perform {}
      listener.close()
      await #expect(throws: SocketError.self) { try await waiting.value }
    }
  }
}
