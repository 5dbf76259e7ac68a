// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Testing
import TrunkSockets
import TrunkTesting
import TrunkWire

@testable import Trunkcall

@Suite("The life of a server", .timeLimit(.minutes(2)))
struct ServerLifeTests {
  private func channel(_ port: UInt16) throws -> GRPCChannel {
    try GRPCChannel(to: "ipv4:127.0.0.1:\(port)")
  }

  @Test("a graceful stop: calls under way finish, then the server ends")
  func graceful() async throws {
    let probe = ProbeService()
    let server = GRPCServer(on: .tcp("127.0.0.1", 0), services: [probe])
    let running = Task { try await server.run() }
    guard case .host(_, let port)? = try await server.listeningAddresses().first else { return }
    let channel = try channel(port)
    let chat = try await channel.bidirectional(ProbeService.method("Chat"))
    try await chat.requests.write([1])
    #expect(try await chat.responses.next() == [1])
    server.shutDown()
    // The stop is under way as soon as nobody else is accepted.
    let isClosed = try await holds {
      guard let other = try? await ScriptedPeer.connect(port: port, preface: false) else {
        return true
      }
      await other.close()
      return false
    }
    #expect(isClosed)
    try await chat.requests.write([2])
    #expect(try await chat.responses.next() == [2])
    try await chat.requests.finish()
    #expect(try await chat.responses.next() == nil)
    try await running.value
    #expect(probe.ended.withLock { $0 } == 1)
    await channel.close()
  }

  @Test("the drain's deadline cancels what still runs")
  func drainDeadline() async throws {
    let probe = ProbeService()
    var options = ServerOptions()
    options.drain = .milliseconds(200)
    try await withServer([probe], options: options) { server, port in
      let peer = try await ScriptedPeer.connect(port: port)
      try await peer.call(1, "/t.Probe/Wait", messages: [[1]])
      #expect(try await holds { server.statistics.callsStarted == 1 })
    }
    #expect(try await holds { probe.cancelled.withLock { $0 } == 1 })
  }

  @Test("a port in use is one clear sentence")
  func portInUse() async throws {
    try await withServer([ProbeService()]) { _, port in
      let second = GRPCServer(on: .tcp("127.0.0.1", port), services: [])
      let error = await #expect(throws: ListenError.self) { try await second.run() }
      #expect(error?.description == "cannot listen on 127.0.0.1:\(port): address already in use")
      await #expect(throws: ListenError.self) { _ = try await second.listeningAddresses() }
    }
  }

  @Test("own loops end with the server, a unix socket serves")
  func unixAndOwnLoops() async throws {
    var options = ServerOptions()
    options.loops = 1
    let path = "/tmp/trunkcall-\(UInt64.random(in: 0 ... .max)).sock"
    let server = GRPCServer(on: .unix(path), services: [ProbeService()], options: options)
    let running = Task { try await server.run() }
    _ = try await server.listeningAddresses()
    try await withChannel(to: "unix:\(path)") { channel in
      let reply = try await channel.unary(ProbeService.method("Echo"), [7])
      #expect(reply == [7])
    }
    server.shutDown()
    try await running.value
  }

  @Test("a handler that hogs its loop is moved to the pool, others are not")
  func hog() async throws {
    try await withServer([ProbeService()]) { server, port in
      let channel = try channel(port)
      for _ in 0..<6 {
        #expect(try await channel.unary(ProbeService.method("Burn"), [1]) == [1])
      }
      #expect(server.statistics.movedMethods == ["/t.Probe/Burn"])
      await channel.close()
    }
  }

  @Test("interceptors stand around handlers, the first outermost, and may answer themselves")
  func interceptors() async throws {
    struct Door: ServerInterceptor {
      func intercept(
        _ call: ServerCall, _ requests: any MessageSource, _ replies: any MessageSink,
        _ next: ServerInterceptor.Next
      ) async throws {
        guard call.metadata["token"] == "open" else { throw RPCError(.unauthenticated, "no token") }
        try await next(call, requests, replies)
      }
    }
    struct Doubling: ServerInterceptor {
      final class Sink: MessageSink {
        let inner: any MessageSink
        init(_ inner: any MessageSink) { self.inner = inner }
        func send(_ frame: [UInt8]) async throws(RPCError) {
          try await inner.send(frame + frame.dropFirst(5))
        }
      }
      func intercept(
        _ call: ServerCall, _ requests: any MessageSource, _ replies: any MessageSink,
        _ next: ServerInterceptor.Next
      ) async throws {
        try await next(call, requests, Sink(replies))
      }
    }
    try await withServer([ProbeService()], interceptors: [Door(), Doubling()]) { _, port in
      let channel = try channel(port)
      let options = CallOptions(timeout: .seconds(5), metadata: ["token": "open"])
      #expect(
        try await channel.unary(ProbeService.method("Echo"), [1, 2], options) == [1, 2, 1, 2])
      let error = await #expect(throws: RPCError.self) {
        _ = try await channel.unary(ProbeService.method("Echo"), [1])
      }
      #expect(error?.code == .unauthenticated && error?.origin == .peer)
      await channel.close()
    }
  }
}
