// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Logging
import Testing
import TrunkSockets
import TrunkTesting
import TrunkWire

@testable import Trunkcall

/// Handlers that do one thing each, in bytes.
final class ProbeService: RPCService {
  let ended = Locked(0)
  let cancelled = Locked(0)

  static func method(_ name: String) -> MethodDescriptor<[UInt8], [UInt8]> {
    MethodDescriptor(service: "t.Probe", method: name, request: .bytes, response: .bytes)
  }

  func register(in table: inout MethodTable) {
    table.unary(ProbeService.method("Echo")) { payload, _ in payload }
    table.unary(ProbeService.method("Fail")) { _, _ in
      throw RPCError(.aborted, "ä\n%", metadata: ["k": "v"])
    }
    table.unary(ProbeService.method("Crash")) { _, _ in throw SocketError("secret", errno: 1) }
    table.unary(ProbeService.method("Meta")) { payload, call in
      try call.addInitialMetadata(["x-initial": call.metadata["x-in"] ?? "none"])
      var trailing = Metadata()
      for value in call.metadata[binary: "x-in-bin"] {
        trailing.add(binary: value, for: "x-out-bin")
      }
      try call.addTrailingMetadata(trailing)
      return payload
    }
    table.unary(ProbeService.method("Wait")) { payload, _ in
      do { try await Task.sleep(for: .seconds(30)) } catch {
        self.cancelled.withLock { $0 += 1 }
        throw error
      }
      return payload
    }
    table.unary(ProbeService.method("Burn")) { payload, _ in
      let end = Clock.now() + 3_000_000
      while Clock.now() < end {}
      return payload
    }
    table.serverStreaming(ProbeService.method("Flood")) { _, replies, _ in
      do {
        for _ in 0..<100_000 { try await replies.write([UInt8](repeating: 1, count: 16 * 1024)) }
      } catch {
        self.cancelled.withLock { $0 += 1 }
        throw error
      }
    }
    table.bidirectional(ProbeService.method("Chat")) { requests, replies, _ in
      do {
        for try await request in requests { try await replies.write(request) }
        self.ended.withLock { $0 += 1 }
      } catch {
        self.cancelled.withLock { $0 += 1 }
        throw error
      }
    }
  }
}

/// A server for the length of a test.
func withServer(
  _ services: [any RPCService], options: ServerOptions = ServerOptions(),
  interceptors: [any ServerInterceptor] = [], group: EventLoopGroup? = nil,
  logger: Logger = Logger(label: "trunkcall.server"),
  _ body: (GRPCServer, UInt16) async throws -> Void
) async throws {
  let server = GRPCServer(
    on: .tcp("127.0.0.1", 0), services: services, interceptors: interceptors, options: options,
    logger: logger, group: group)
  let running = Task { try await server.run() }
  guard case .host(_, let port)? = try await server.listeningAddresses().first else { return }
  do { try await body(server, port) } catch {
    running.cancel()
    throw error
  }
  server.shutDown()
  try await running.value
}

/// True as soon as `condition` holds.
func holds(within: Duration = .seconds(10), _ condition: () async -> Bool) async throws -> Bool {
  let end = ContinuousClock.now + within
  while ContinuousClock.now < end {
    if await condition() { return true }
    try await Task.sleep(for: .milliseconds(5))
  }
  return false
}

@Suite("The server's side of PROTOCOL-HTTP2.md, frame by frame (5.6, 5.7)", .timeLimit(.minutes(2)))
struct ServerProtocolTests {
  @Test("what is no gRPC request is answered in HTTP's terms")
  func http() async throws {
    try await withServer([ProbeService()]) { _, port in
      let peer = try await ScriptedPeer.connect(port: port)
      try await peer.send(
        .headers(
          1, ScriptedPeer.request("/t.Probe/Echo", contentType: "application/json"), endStream: true
        ))
      #expect(try await peer.response(1)[":status"] == "415")
      try await peer.send(
        .headers(3, ScriptedPeer.request("/t.Probe/Echo", method: "GET"), endStream: true))
      #expect(try await peer.response(3)[":status"] == "405")
      try await peer.send(
        .headers(
          5, ScriptedPeer.request("/t.Probe/Echo", contentType: "application/grpcx"),
          endStream: true))
      #expect(try await peer.response(5)[":status"] == "415")
      for (stream, type) in [(Int32(7), "application/grpc+proto"), (9, "application/grpc;x=y")] {
        try await peer.send(
          .headers(stream, ScriptedPeer.request("/t.Probe/Echo", contentType: type)),
          .data(stream, ScriptedPeer.message([1]), endStream: true))
        #expect(try await peer.response(stream).status == 0)
      }
      await peer.close()
    }
  }

  @Test(
    "each broken request has its status, Trailers-Only, and the connection goes on",
    arguments: [
      ("/t.Probe/Nope", [], [[1]], 12, "unknown method"),
      ("/no.Such/Echo", [], [[1]], 12, "unknown"),
      ("/malformed", [], [[1]], 12, "malformed"),
      ("/t.Probe/Echo", [("grpc-timeout", "5")], [[1]], 13, "grpc-timeout"),
      ("/t.Probe/Echo", [("grpc-timeout", "123456789S")], [[1]], 13, "grpc-timeout"),
      ("/t.Probe/Echo", [("x-a-bin", "***")], [[1]], 13, "x-a-bin"),
      ("/t.Probe/Echo", [("grpc-encoding", "snappy")], [[1]], 12, "snappy"),
      ("/t.Probe/Echo", [], [], 12, "no message"),
      ("/t.Probe/Echo", [], [[1], [2]], 12, "more than"),
      ("/t.Probe/Fail", [], [[1]], 10, "%C3%A4%0A%25"), ("/t.Probe/Crash", [], [[1]], 2, "failed"),
    ] as [(String, [(String, String)], [[UInt8]], Int, String)])
  func statuses(
    path: String, headers: [(String, String)], messages: [[UInt8]], status: Int, text: String
  ) async throws {
    try await withServer([ProbeService()]) { _, port in
      let peer = try await ScriptedPeer.connect(port: port)
      try await peer.call(1, path, headers.map { ScriptedHeader($0.0, $0.1) }, messages: messages)
      let response = try await peer.response(1)
      #expect(response.status == status)
      #expect(response.message.map { $0.contains(text) || text.isEmpty } == true, "\(response)")
      #expect(response.isTrailersOnly && response[":status"] == "200")
      #expect(response.message?.contains("secret") != true)
      try await peer.call(3, "/t.Probe/Echo", messages: [[9]])
      let next = try await peer.response(3)
      #expect(next.status == 0 && next.messages == [[9]])
      await peer.close()
    }
  }

  @Test("an unsupported encoding is told which ones there are")
  func encodings() async throws {
    try await withServer([ProbeService()]) { _, port in
      let peer = try await ScriptedPeer.connect(port: port)
      try await peer.call(
        1, "/t.Probe/Echo", [ScriptedHeader("grpc-encoding", "snappy")], messages: [[1]])
      #expect(try await peer.response(1).trailer("grpc-accept-encoding") == "identity,deflate,gzip")
      try await peer.send(
        .headers(3, ScriptedPeer.request("/t.Probe/Echo")),
        .data(3, ScriptedPeer.message([1], flag: 1), endStream: true))
      #expect(try await peer.response(3).status == 13)
      try await peer.send(
        .headers(5, ScriptedPeer.request("/t.Probe/Echo")),
        .data(5, ScriptedPeer.message([1], flag: 7), endStream: true))
      #expect(try await peer.response(5).status == 13)
      await peer.close()
    }
  }

  @Test("a message over the limit is refused by its claim alone")
  func oversize() async throws {
    var options = ServerOptions()
    options.maxReceiveMessageSize = 100
    try await withServer([ProbeService()], options: options) { _, port in
      let peer = try await ScriptedPeer.connect(port: port)
      try await peer.send(
        .headers(1, ScriptedPeer.request("/t.Probe/Echo")), .data(1, [0, 0xff, 0xff, 0xff, 0xff]))
      #expect(try await peer.response(1).status == 8)
      try await peer.call(3, "/t.Probe/Echo", messages: [[UInt8](repeating: 1, count: 100)])
      #expect(try await peer.response(3).status == 0)
      await peer.close()
    }
  }

  @Test("messages arrive whole, however DATA is cut, and a cut-off one is INTERNAL")
  func splits() async throws {
    try await withServer([ProbeService()]) { _, port in
      let peer = try await ScriptedPeer.connect(port: port)
      let bytes =
        ScriptedPeer.message([1, 2, 3]) + ScriptedPeer.message([]) + ScriptedPeer.message([4])
      try await peer.send(.headers(1, ScriptedPeer.request("/t.Probe/Chat")))
      for byte in bytes { try await peer.send(.data(1, [byte])) }
      try await peer.send(.data(1, [], endStream: true))
      #expect(try await peer.response(1).messages == [[1, 2, 3], [], [4]])
      try await peer.send(
        .headers(3, ScriptedPeer.request("/t.Probe/Chat")),
        .data(3, [0, 0, 0, 0, 9, 1], endStream: true))
      #expect(try await peer.response(3).status == 13)
      await peer.close()
    }
  }

  @Test("metadata comes in and goes out, text and bytes, padded or not or joined")
  func metadata() async throws {
    try await withServer([ProbeService()]) { _, port in
      let peer = try await ScriptedPeer.connect(port: port)
      let fields = [ScriptedHeader("x-in", "text"), ScriptedHeader("x-in-bin", "AAE=,AAE")]
      try await peer.call(1, "/t.Probe/Meta", fields, messages: [[1]])
      let response = try await peer.response(1)
      #expect(response["x-initial"] == "text")
      #expect(response.trailers.filter { $0.name == "x-out-bin" }.map(\.value) == ["AAE", "AAE"])
      await peer.close()
    }
  }

  @Test("headers over the limit fail their call, not the connection")
  func headerLimit() async throws {
    try await withServer([ProbeService()]) { _, port in
      let peer = try await ScriptedPeer.connect(port: port)
      // 32 bytes count for each field beside its letters (RFC 9113 §10.5.1): 22 KiB in one frame.
      let many = (0..<300).map { ScriptedHeader("x-\($0)", String(repeating: "a", count: 36)) }
      try await peer.call(1, "/t.Probe/Echo", many, messages: [[1]])
      let response = try await peer.response(1)
      #expect(response.status == 8)
      try await peer.call(3, "/t.Probe/Echo", messages: [[1]])
      #expect(try await peer.response(3).status == 0)
      await peer.close()
    }
  }

  @Test("a deadline ends the call with status 4 in trailers and cancels the handler")
  func deadline() async throws {
    let probe = ProbeService()
    try await withServer([probe]) { _, port in
      let peer = try await ScriptedPeer.connect(port: port)
      try await peer.call(
        1, "/t.Probe/Wait", [ScriptedHeader("grpc-timeout", "100m")], messages: [[1]])
      #expect(try await peer.response(1).status == 4)
      #expect(try await holds { probe.cancelled.withLock { $0 } == 1 })
      await peer.close()
    }
  }

  @Test("a reset, and a lost connection, cancel the handlers that run")
  func cancellation() async throws {
    let probe = ProbeService()
    try await withServer([probe]) { server, port in
      let peer = try await ScriptedPeer.connect(port: port)
      try await peer.call(1, "/t.Probe/Wait", messages: [[1]])
      try await peer.send(.headers(3, ScriptedPeer.request("/t.Probe/Chat")))
      try await peer.call(5, "/t.Probe/Flood", messages: [[1]])
      #expect(try await holds { server.statistics.callsStarted == 3 })
      try await peer.send(.reset(1, 8))
      #expect(try await holds { probe.cancelled.withLock { $0 } == 1 })
      await peer.close()
      #expect(try await holds { probe.cancelled.withLock { $0 } == 3 })
      #expect(try await holds { server.statistics.connections == 0 })
    }
  }

  @Test("a client that does not read stops a writing handler")
  func backPressure() async throws {
    let probe = ProbeService()
    try await withServer([probe]) { server, port in
      let peer = try await ScriptedPeer.connect(port: port, answersByItself: false)
      try await peer.send(.settingsAck)
      try await peer.call(1, "/t.Probe/Flood", messages: [[1]])
      var received = 0
      while received < 65_535,
        case .data(_, let bytes, _)? = try await peer.next(where: {
          if case .data = $0 { true } else { false }
        })
      { received += bytes.count }
      #expect(received == 65_535, "the window of the connection, and not a byte more")
      await peer.close()
      #expect(try await holds { probe.cancelled.withLock { $0 } == 1 })
    }
  }
}
