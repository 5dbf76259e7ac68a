// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Testing
import TrunkSockets
import TrunkTesting
import TrunkWire

@testable import Trunkcall

/// Says what it sees of compression, and compresses what it is told to.
private final class Squeeze: RPCService {
  /// What `Gated` waits for before it takes a request.
  let gate = Locked(false)

  static func method(_ name: String) -> MethodDescriptor<[UInt8], [UInt8]> {
    MethodDescriptor(service: "t.Squeeze", method: name, request: .bytes, response: .bytes)
  }
  static func reply(_ call: ServerCall, _ size: Int) -> [UInt8] {
    [call.requestWasCompressed ? 1 : 0] + [UInt8](repeating: 0, count: size)
  }

  func register(in table: inout MethodTable) {
    table.unary(Squeeze.method("Plain")) { request, call in Squeeze.reply(call, request.count) }
    table.unary(Squeeze.method("Gzip")) { request, call in
      try call.compressResponses(with: .gzip)
      return Squeeze.reply(call, request.count)
    }
    table.unary(Squeeze.method("Off")) { request, call in
      try call.compressResponses(with: .identity)
      return Squeeze.reply(call, request.count)
    }
    // A reply for each request; a request of one byte is answered uncompressed.
    table.bidirectional(Squeeze.method("Chat")) { requests, replies, call in
      try call.compressResponses(with: .deflate)
      for try await request in requests {
        try await replies.write(
          Squeeze.reply(call, request.count), compressed: request.count != 1)
      }
      do {
        try call.compressResponses(with: .gzip)
        Issue.record("the headers had gone")
      } catch let error as RPCError {
        #expect(error.code == .failedPrecondition)
      }
    }
    table.bidirectional(Squeeze.method("Gated")) { requests, _, _ in
      while !self.gate.withLock({ $0 }) { try await Task.sleep(for: .milliseconds(2)) }
      while try await requests.next() != nil {}
    }
    table.bidirectional(Squeeze.method("Swallow")) { requests, replies, _ in
      while true { if (try? await requests.next()) == nil { break } }
      try? await replies.write([1])
    }
  }
}

/// `payload`, compressed.
private func squeezed(_ payload: [UInt8], _ algorithm: Compression = .gzip) throws -> [UInt8] {
  let frame = try #require(try Deflater.frame([0, 0, 0, 0, 0] + payload, algorithm))
  return Array(frame.dropFirst(5))
}

@Suite("Compression on the server (compression.md)", .timeLimit(.minutes(1)))
struct ServerCompressionTests {
  private let zeros = [UInt8](repeating: 0, count: 10_000)
  private let gzip = ScriptedHeader("grpc-encoding", "gzip")
  private let acceptGzip = ScriptedHeader("grpc-accept-encoding", "identity,gzip")

  private func call(
    _ peer: ScriptedPeer, _ stream: Int32, _ name: String, _ headers: [ScriptedHeader],
    _ payload: [UInt8], flag: UInt8 = 0
  ) async throws -> ScriptedResponse {
    try await peer.send(
      .headers(stream, ScriptedPeer.request("/t.Squeeze/\(name)", headers)),
      .data(stream, ScriptedPeer.message(payload, flag: flag), endStream: true))
    return try await peer.response(stream)
  }

  @Test("a call without compression says nothing about it, and its reply is as it is")
  func unused() async throws {
    try await withServer([Squeeze()]) { _, port in
      let peer = try await ScriptedPeer.connect(port: port)
      let response = try await call(peer, 1, "Plain", [acceptGzip], zeros)
      #expect(response.status == 0 && response.data.first == 0)
      #expect(response["grpc-encoding"] == nil && response["grpc-accept-encoding"] == nil)
      #expect(response.messages == [[0] + zeros])
      await peer.close()
    }
  }

  @Test("a compressed request is decompressed, and the response says what is accepted")
  func request() async throws {
    try await withServer([Squeeze()]) { _, port in
      let peer = try await ScriptedPeer.connect(port: port)
      let response = try await call(peer, 1, "Plain", [gzip], try squeezed(zeros), flag: 1)
      #expect(response.status == 0 && response.messages == [[1] + zeros])
      #expect(response["grpc-accept-encoding"] == "identity,deflate,gzip")
      // grpc-encoding allows compression, flag 0 does without.
      let plain = try await call(peer, 3, "Plain", [gzip], zeros)
      #expect(plain.status == 0 && plain.messages == [[0] + zeros])
      await peer.close()
    }
  }

  @Test("a reply is compressed when the handler asks and the client accepts, else sent as it is")
  func reply() async throws {
    try await withServer([Squeeze()]) { _, port in
      let peer = try await ScriptedPeer.connect(port: port)
      let squeezed = try await call(peer, 1, "Gzip", [acceptGzip], zeros)
      #expect(squeezed.status == 0 && squeezed["grpc-encoding"] == "gzip")
      #expect(squeezed.data.first == 1 && squeezed.data.count < 1_000)
      let payload = try #require(squeezed.messages.first)
      let inflated = try Inflater.inflate(payload, .gzip, limit: 20_000)
      #expect(inflated == [0] + zeros)
      for (stream, headers) in [
        (Int32(3), []), (5, [ScriptedHeader("grpc-accept-encoding", "deflate,br")]),
        // What the client sends is not what it takes.
        (7, [gzip]),
      ] {
        let plain = try await call(peer, stream, "Gzip", headers, zeros)
        #expect(plain.status == 0 && plain["grpc-encoding"] == nil)
        #expect(plain.messages == [[0] + zeros])
      }
      await peer.close()
    }
  }

  @Test("the server's default holds, and a handler can turn it off")
  func defaults() async throws {
    var options = ServerOptions()
    options.compression = .gzip
    try await withServer([Squeeze()], options: options) { _, port in
      let peer = try await ScriptedPeer.connect(port: port)
      let squeezed = try await call(peer, 1, "Plain", [acceptGzip], zeros)
      #expect(squeezed["grpc-encoding"] == "gzip" && squeezed.data.first == 1)
      let off = try await call(peer, 3, "Off", [acceptGzip], zeros)
      #expect(off["grpc-encoding"] == nil && off.data.first == 0)
      let deaf = try await call(peer, 5, "Plain", [], zeros)
      #expect(deaf["grpc-encoding"] == nil && deaf.data.first == 0)
      await peer.close()
    }
  }

  @Test("an algorithm that the server does not take is UNIMPLEMENTED, and it says what it takes")
  func refused() async throws {
    var options = ServerOptions()
    options.acceptedCompression = .deflate
    try await withServer([Squeeze()], options: options) { _, port in
      let peer = try await ScriptedPeer.connect(port: port)
      for (stream, name) in [(Int32(1), "gzip"), (3, "snappy")] {
        let response = try await call(
          peer, stream, "Plain", [ScriptedHeader("grpc-encoding", name)], [1], flag: 1)
        #expect(response.status == 12 && response.message?.contains(name) == true)
        #expect(response.trailer("grpc-accept-encoding") == "identity,deflate")
      }
      await peer.close()
    }
  }

  @Test("flag 1 without an encoding, or with identity, is INTERNAL")
  func flagAlone() async throws {
    try await withServer([Squeeze()]) { _, port in
      let peer = try await ScriptedPeer.connect(port: port)
      for (stream, headers) in [
        (Int32(1), []), (3, [ScriptedHeader("grpc-encoding", "identity")]),
      ] {
        let response = try await call(
          peer, stream, "Plain", headers, try squeezed(zeros), flag: 1)
        #expect(response.status == 13)
      }
      await peer.close()
    }
  }

  @Test("bad compressed data is INTERNAL, a bomb RESOURCE_EXHAUSTED, for unary calls and streams")
  func bad() async throws {
    try await withServer([Squeeze()]) { _, port in
      let peer = try await ScriptedPeer.connect(port: port)
      let good = try squeezed(zeros)
      let bomb = try squeezed([UInt8](repeating: 0, count: (4 << 20) + 1))
      var stream: Int32 = 1
      for method in ["Plain", "Chat"] {
        for (payload, status) in [
          (Array(good.dropLast()), 13), (good + [0], 13), ([1, 2, 3], 13), ([], 13), (bomb, 8),
        ] {
          let response = try await call(peer, stream, method, [gzip], payload, flag: 1)
          #expect(response.status == status, "\(method), \(payload.count) bytes")
          stream += 2
        }
      }
      let after = try await call(peer, stream, "Plain", [gzip], good, flag: 1)
      #expect(after.status == 0)
      await peer.close()
    }
  }

  @Test("a handler that swallows the failure of a message does not turn it into OK")
  func swallowed() async throws {
    try await withServer([Squeeze()]) { _, port in
      let peer = try await ScriptedPeer.connect(port: port)
      let response = try await call(peer, 1, "Swallow", [gzip], [9, 9, 9], flag: 1)
      #expect(response.status == 13)
      await peer.close()
    }
  }

  @Test("messages wait as they came: nothing is inflated before the handler takes it")
  func inflatedWhenTaken() async throws {
    let service = Squeeze()
    try await withServer([service]) { _, port in
      let peer = try await ScriptedPeer.connect(port: port)
      try await peer.send(
        .headers(1, ScriptedPeer.request("/t.Squeeze/Gated", [gzip])),
        .data(1, ScriptedPeer.message([9, 9, 9], flag: 1)),
        .ping([1, 2, 3, 4, 5, 6, 7, 8]))
      // The server has seen the bad message, and the call goes on.
      let first = try await peer.next { frame in
        frame.stream == 1 || frame == .ping([1, 2, 3, 4, 5, 6, 7, 8], ack: true)
      }
      #expect(first == .ping([1, 2, 3, 4, 5, 6, 7, 8], ack: true))
      service.gate.withLock { $0 = true }
      #expect(try await peer.response(1).status == 13)
      await peer.close()
    }
  }
}

@Suite("Compression on both sides (compression.md)", .timeLimit(.minutes(1)))
struct CompressionTests {
  private let zeros = [UInt8](repeating: 0, count: 10_000)

  private func withSqueeze(
    _ options: ChannelOptions = ChannelOptions(), interceptors: [any ClientInterceptor] = [],
    serverInterceptors: [any ServerInterceptor] = [],
    _ body: (GRPCChannel) async throws -> Void
  ) async throws {
    try await withServer([Squeeze()], interceptors: serverInterceptors) { _, port in
      try await withChannel(
        to: "ipv4:127.0.0.1:\(port)", interceptors: interceptors, options: options, body)
    }
  }

  @Test("none by default; the channel's default; the call's choice before it")
  func choice() async throws {
    try await withSqueeze { channel in
      let reply = try await channel.unary(Squeeze.method("Plain"), zeros)
      #expect(reply.first == 0)
    }
    var options = ChannelOptions()
    options.compression = .gzip
    try await withSqueeze(options) { channel in
      for (compression, expected) in [(nil, 1), (.deflate, 1), (.identity, 0)]
        as [(Compression?, UInt8)]
      {
        var call = CallOptions()
        call.compression = compression
        let reply = try await channel.unary(Squeeze.method("Plain"), zeros, call)
        #expect(reply.first == expected, "\(compression as Any)")
      }
    }
  }

  @Test("a reply's compressed flag can be read; its bytes are decompressed")
  func replyFlag() async throws {
    try await withSqueeze { channel in
      let squeezed = try await channel.unaryResponse(Squeeze.method("Gzip"), zeros)
      #expect(squeezed.wasCompressed && squeezed.message == [0] + zeros)
      let plain = try await channel.unaryResponse(Squeeze.method("Plain"), zeros)
      #expect(!plain.wasCompressed && plain.message == [0] + zeros)
    }
    var options = ChannelOptions()
    options.acceptedCompression = []
    try await withSqueeze(options) { channel in
      let plain = try await channel.unaryResponse(Squeeze.method("Gzip"), zeros)
      #expect(!plain.wasCompressed && plain.message == [0] + zeros)
    }
  }

  /// Hands everything on, message by message.
  private struct Wrap: ClientInterceptor, ServerInterceptor {
    final class Sink: MessageSink {
      let inner: any MessageSink
      init(_ inner: any MessageSink) { self.inner = inner }
      func send(_ frame: [UInt8]) async throws(RPCError) { try await inner.send(frame) }
    }
    func intercept(
      _ call: CallRequest, _ next: ClientInterceptor.Next
    ) async throws(RPCError) -> any ClientStream { try await next(call) }
    func intercept(
      _ call: ServerCall, _ requests: any MessageSource, _ replies: any MessageSink,
      _ next: ServerInterceptor.Next
    ) async throws { try await next(call, requests, Sink(replies)) }
  }

  @Test("each message of a stream can be left uncompressed, both ways", arguments: [false, true])
  func perMessage(_ intercepted: Bool) async throws {
    var options = ChannelOptions()
    options.compression = .gzip
    let wraps = intercepted ? [Wrap()] : []
    try await withSqueeze(options, interceptors: wraps, serverInterceptors: wraps) { channel in
      let chat = try await channel.bidirectional(Squeeze.method("Chat"))
      for (payload, compressed) in [
        (zeros, true), (zeros, false), ([7], true), ([7], false), (zeros, true),
      ] {
        try await chat.requests.write(payload, compressed: compressed)
        let reply = try await chat.responses.next()
        #expect(reply?.first == (compressed ? 1 : 0) && reply?.count == payload.count + 1)
        #expect(chat.responses.lastMessageWasCompressed == (payload.count != 1))
      }
      try await chat.requests.finish()
      #expect(try await chat.responses.next() == nil)
      if intercepted {
        let reply = try await channel.unaryResponse(Squeeze.method("Gzip"), zeros)
        #expect(reply.wasCompressed && reply.message == [1] + zeros)
      }
    }
  }

  @Test("a call without compression ignores the switch")
  func switchWithoutCompression() async throws {
    try await withSqueeze { channel in
      let chat = try await channel.bidirectional(Squeeze.method("Chat"))
      for compressed in [true, false] {
        try await chat.requests.write(zeros, compressed: compressed)
        #expect(try await chat.responses.next()?.first == 0)
      }
      chat.cancel()
    }
  }

  @Test("a server that takes no compression is UNIMPLEMENTED, and says so")
  func refused() async throws {
    var server = ServerOptions()
    server.acceptedCompression = []
    try await withServer([Squeeze()], options: server) { _, port in
      try await withChannel(to: "ipv4:127.0.0.1:\(port)") { channel in
        var call = CallOptions()
        call.compression = .gzip
        let error = await failure {
          _ = try await channel.unary(Squeeze.method("Plain"), zeros, call)
        }
        #expect(error?.code == .unimplemented && error?.message.contains("gzip") == true)
      }
    }
  }

  @Test("the send limit holds after compression, the receive limit before and after")
  func limits() async throws {
    var options = ChannelOptions()
    options.maxSendMessageSize = 1_000
    options.maxReceiveMessageSize = 5_000
    try await withSqueeze(options) { channel in
      var call = CallOptions()
      let refused = await failure {
        _ = try await channel.unary(Squeeze.method("Plain"), zeros, call)
      }
      #expect(refused?.code == .resourceExhausted)
      call.compression = .gzip
      for name in ["Plain", "Gzip"] {
        let tooLarge = await failure {
          _ = try await channel.unary(Squeeze.method(name), zeros, call)
        }
        #expect(tooLarge?.code == .resourceExhausted, "\(name)")
      }
      call.maxReceiveMessageSize = 10_001
      let reply = try await channel.unary(Squeeze.method("Gzip"), zeros, call)
      #expect(reply.count == 10_001)
    }
  }
}

@Suite("Compression on the client, against a server that misbehaves", .timeLimit(.minutes(1)))
struct ClientCompressionTests {
  /// What the server sends, how the client is to end.
  private static func answer(
    _ payload: [UInt8], encoding: String?
  ) -> @Sendable (ScriptedStream, ScriptedStream.Event) -> Void {
    ScriptedServer.whenEnded { stream in
      stream.respond(encoding.map { ["grpc-encoding": $0] } ?? [:])
      stream.sendRaw([1] + (0..<4).map { UInt8(payload.count >> (24 - 8 * $0) & 255) } + payload)
      stream.finish(["grpc-status": "0"])
    }
  }

  @Test("undecompressible is INTERNAL, a bomb RESOURCE_EXHAUSTED, for unary calls and streams")
  func bad() async throws {
    let good = try squeezed([UInt8](repeating: 0, count: 10_000))
    let bomb = try squeezed([UInt8](repeating: 0, count: (4 << 20) + 1))
    for (payload, encoding, code) in [
      (good, "gzip", nil), (good, nil, RPCError.Code.internal), (good, "identity", .internal),
      (good, "snappy", .internal), (good, "deflate", .internal),
      (Array(good.dropLast()), "gzip", .internal), (good + [1], "gzip", .internal),
      ([], "gzip", .internal), (bomb, "gzip", .resourceExhausted),
    ] as [([UInt8], String?, RPCError.Code?)] {
      let server = try await ScriptedServer(
        .init(), ClientCompressionTests.answer(payload, encoding: encoding))
      try await withChannel(to: server.target) { channel in
        let unary = await failure { _ = try await channel.unary(method("M"), []) }
        #expect(unary?.code == code, "\(encoding ?? "none"), \(payload.count) bytes")
        let replies = try await channel.serverStreaming(method("M"), [])
        // Twice: what is spoiled stays so, though the server said OK.
        for _ in 0..<2 {
          let stream = await failure { _ = try await replies.next() }
          #expect(stream?.code == code, "\(encoding ?? "none"), \(payload.count) bytes")
        }
      }
    }
  }

  @Test("an algorithm that the client did not accept is INTERNAL, and named")
  func notAccepted() async throws {
    let server = try await ScriptedServer(
      .init(), ClientCompressionTests.answer(try squeezed([1]), encoding: "gzip"))
    var options = ChannelOptions()
    options.acceptedCompression = .deflate
    try await withChannel(to: server.target, options: options) { channel in
      let error = await failure { _ = try await channel.unary(method("M"), []) }
      #expect(error?.code == .internal && error?.message.contains("gzip") == true)
    }
  }

  @Test("the request names its encoding, and what is accepted; nothing, where there is nothing")
  func headers() async throws {
    let server = try await ScriptedServer(
      .init(),
      ScriptedServer.whenEnded { stream in
        stream.respond([
          "x-encoding": stream.headers["grpc-encoding"] ?? "none",
          "x-accept": stream.headers["grpc-accept-encoding"] ?? "none",
        ])
        stream.send([])
        stream.finish(["grpc-status": "0"])
      })
    for (compression, accepted, expected) in [
      (Compression.identity, CompressionSet.all, ["none", "identity,deflate,gzip"]),
      (.gzip, .gzip, ["gzip", "identity,gzip"]), (.deflate, [], ["deflate", "none"]),
      (.identity, [], ["none", "none"]),
    ] {
      var options = ChannelOptions()
      options.compression = compression
      options.acceptedCompression = accepted
      try await withChannel(to: server.target, options: options) { channel in
        let reply = try await channel.unaryResponse(method("M"), [])
        let seen = ["x-encoding", "x-accept"].map { reply.initialMetadata[$0] }
        #expect(seen == expected)
      }
    }
  }
}
