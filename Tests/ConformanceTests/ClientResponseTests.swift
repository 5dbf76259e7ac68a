// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Testing
import TrunkTesting
import Trunkcall

/// What a scripted server answers to a unary call, and what the call must come to.
struct ClientCase: Sendable, CustomTestStringConvertible {
  var rule: String
  /// The answer to the request on this stream.
  var frames: @Sendable (Int32) -> [ScriptedFrame]
  /// nil: OK with `message`.
  var code: RPCError.Code?
  /// Part of the error's message; the reply if there is no error.
  var message: String
  var origin: RPCError.Origin

  init(
    _ rule: String, _ code: RPCError.Code?, origin: RPCError.Origin = .local,
    _ frames: @escaping @Sendable (Int32) -> [ScriptedFrame]
  ) { self.init(rule, code, "", origin: origin, frames) }

  init(
    _ rule: String, _ code: RPCError.Code?, _ message: String,
    origin: RPCError.Origin = .local, _ frames: @escaping @Sendable (Int32) -> [ScriptedFrame]
  ) {
    self.rule = rule
    self.frames = frames
    self.code = code
    self.message = message
    self.origin = origin
  }

  var testDescription: String { rule }

  /// The call comes to what it should, and the connection goes on.
  func check() async throws {
    try await withScriptedServer { channel, listener in
      var options = CallOptions(timeout: .seconds(20))
      options.maxReceiveMessageSize = 1_000
      async let outcome = failure {
        let reply = try await channel.unary(method("M"), [1], options)
        #expect(text(reply) == message)
      }
      let peer = try await listener.accept()
      let request = try #require(try await peer.request())
      try await peer.send(frames(request.stream))
      let error = await outcome
      #expect(error?.code == code, "\(String(describing: error))")
      if let error {
        #expect(message.isEmpty || error.message.contains(message), "\(error)")
        #expect(error.origin == origin)
      }
      async let second = channel.unary(method("M"), [2], options)
      let next = try #require(try await peer.request())
      try await peer.answer(next.stream, messages: [[42]])
      #expect(try await second == [42])
    }
  }
}

private let status = ":status"
private let good = ScriptedPeer.responseHead()

private func fields(_ pairs: [(String, String)]) -> [ScriptedHeader] {
  pairs.map { ScriptedHeader($0.0, $0.1) }
}

/// Answers with headers, `data` and trailers.
private func respond(
  _ data: [UInt8], _ trailers: [ScriptedHeader] = ScriptedPeer.trailers("0"),
  head: [ScriptedHeader] = good
) -> @Sendable (Int32) -> [ScriptedFrame] {
  { [.headers($0, head), .data($0, data), .headers($0, trailers, endStream: true)] }
}

private func end(_ block: [ScriptedHeader]) -> @Sendable (Int32) -> [ScriptedFrame] {
  { [.headers($0, block, endStream: true)] }
}

@Suite("5.6 and 5.7, the client's side: answers", .timeLimit(.minutes(2)))
struct ClientResponseTests {
  private static let a = ScriptedPeer.message([65])

  static let httpStatuses: [ClientCase] =
    ([
      ("400", RPCError.Code.internal), ("431", .internal), ("401", .unauthenticated),
      ("403", .permissionDenied), ("404", .unimplemented), ("429", .unavailable),
      ("502", .unavailable), ("503", .unavailable), ("504", .unavailable), ("500", .unknown),
      ("302", .unknown), ("204", .unknown), ("418", .unknown),
    ] as [(String, RPCError.Code)]).map { http, code in
      ClientCase("HTTP \(http) without grpc-status", code, http) {
        [.headers($0, fields([(status, http), ("content-type", "text/html")]), endStream: true)]
      }
    }

  static let resets: [ClientCase] =
    ([
      (0, "NO_ERROR", RPCError.Code.internal), (1, "PROTOCOL_ERROR", .internal),
      (2, "INTERNAL_ERROR", .internal), (3, "FLOW_CONTROL_ERROR", .internal),
      (4, "SETTINGS_TIMEOUT", .internal), (5, "STREAM_CLOSED", .internal),
      (6, "FRAME_SIZE_ERROR", .internal), (8, "CANCEL", .cancelled),
      (9, "COMPRESSION_ERROR", .internal), (10, "CONNECT_ERROR", .internal),
      (11, "ENHANCE_YOUR_CALM", .resourceExhausted), (12, "INADEQUATE_SECURITY", .permissionDenied),
      (77, "error 77", .internal),
    ] as [(UInt32, String, RPCError.Code)]).flatMap { number, name, code in
      [
        ClientCase("RST_STREAM \(name) before headers", code, name) { [.reset($0, number)] },
        ClientCase("RST_STREAM \(name) after headers", code, name) {
          [.headers($0, good), .reset($0, number)]
        },
      ]
    }

  static let statuses: [ClientCase] =
    (1...16).map { number in
      ClientCase(
        "grpc-status \(number)", RPCError.Code(rawValue: number), "why", origin: .peer,
        end(
          ScriptedPeer.trailersOnly("\(number)", [ScriptedHeader("grpc-message", "why")])))
    }
    + ["17", "99", "-1", "01", "00", "1.0", "OK", "", "4294967297", "x"].map { value in
      ClientCase(
        "grpc-status \"\(value)\" is none of the seventeen: UNKNOWN", .unknown, "why",
        origin: .peer,
        respond(a, ScriptedPeer.trailers(value, [ScriptedHeader("grpc-message", "why")])))
    } + [
      ClientCase("OK", nil, "A", respond(a)),
      ClientCase(
        "OK in trailers with a message", nil, "A",
        respond(a, ScriptedPeer.trailers("0", [ScriptedHeader("grpc-message", "fine")]))),
      ClientCase(
        "trailers without grpc-status are UNKNOWN", .unknown, respond(a, fields([("x", "y")]))),
      ClientCase("DATA that ends the stream without trailers is UNKNOWN", .unknown) {
        [.headers($0, good), .data($0, a, endStream: true)]
      },
      ClientCase(
        "headers that end the stream without grpc-status are UNKNOWN", .unknown, end(good)),
      ClientCase(
        "a grpc-status goes before the HTTP status", .notFound, origin: .peer,
        end(fields([(status, "503"), ("content-type", "text/html"), ("grpc-status", "5")]))),
      ClientCase(
        "a grpc-status in the headers of a response that goes on is not its status", nil, "A",
        respond(a, head: good + ScriptedPeer.trailers("5"))),
      ClientCase("1xx is no response yet", nil, "A") {
        [.headers($0, fields([(status, "103"), ("content-type", "text/html")]))] + respond(a)($0)
      },
      ClientCase("what a 1xx says does not hold for the response", .unknown, "no content-type") {
        [
          .headers($0, fields([(status, "103"), ("content-type", "application/grpc")])),
          .headers($0, fields([(status, "200")])),
        ]
      },
      ClientCase(
        "an HTTP page is no gRPC, whatever its status", .unknown, "text/html",
        { [.headers($0, fields([(status, "200"), ("content-type", "text/html")]))] }),
      ClientCase(
        "an HTTP error that goes on ends the call at its headers", .unavailable,
        { [.headers($0, fields([(status, "503")]))] }),
      ClientCase(
        "content-type application/grpc+proto", nil, "A",
        respond(a, head: fields([(status, "200"), ("content-type", "application/grpc+proto")]))),
      ClientCase(
        "content-type application/grpcx is no gRPC", .unknown, "application/grpcx",
        { [.headers($0, fields([(status, "200"), ("content-type", "application/grpcx")]))] }),
    ]

  static let grpcMessages: [ClientCase] = [
    ("%F0%9F%98%88%09%25%0d", "😈\t%\r"), ("%", "%"), ("a%2", "a%2"), ("%zz%41", "%zzA"),
    ("%C3", "\u{FFFD}"), ("%ff%FE", "\u{FFFD}\u{FFFD}"), ("ä", "ä"), ("100%25", "100%"),
    ("%%41", "%A"),
  ].map { sent, shown in
    ClientCase(
      "grpc-message \"\(sent)\" is decoded without an error", .aborted, shown, origin: .peer,
      end(ScriptedPeer.trailersOnly("10", [ScriptedHeader("grpc-message", sent)])))
  }

  static let messages: [ClientCase] = [
    ClientCase("an empty message is a message", nil, "", respond(ScriptedPeer.message([]))),
    ClientCase("no message where one is due is UNIMPLEMENTED", .unimplemented, respond([])),
    ClientCase(
      "no message where one is due is UNIMPLEMENTED: Trailers-Only", .unimplemented,
      end(ScriptedPeer.trailersOnly("0"))),
    ClientCase("two messages where one is due are UNIMPLEMENTED", .unimplemented, respond(a + a)),
    ClientCase(
      "an error's status goes before a missing message", .aborted, origin: .peer,
      respond([], ScriptedPeer.trailers("10"))),
    ClientCase(
      "an error's status goes before a message that came", .aborted, origin: .peer,
      respond(a, ScriptedPeer.trailers("10"))),
    ClientCase(
      "a message cut short is INTERNAL", .internal, "middle", respond([0, 0, 0, 0, 2, 1])),
    ClientCase("a prefix cut short is INTERNAL", .internal, "middle", respond([0])),
    ClientCase(
      "a flag other than 0 and 1 is INTERNAL", .internal, "flag 3",
      respond(ScriptedPeer.message([65], flag: 3))),
    ClientCase(
      "flag 1 without grpc-encoding is INTERNAL", .internal, "without grpc-encoding",
      respond(ScriptedPeer.message([65], flag: 1))),
    ClientCase(
      "a message over the limit is RESOURCE_EXHAUSTED by its claim alone", .resourceExhausted,
      "1001", { [.headers($0, good), .data($0, [0, 0, 0, 3, 0xe9])] }),
    ClientCase(
      "a message at the limit is taken", nil, String(repeating: "x", count: 1_000),
      respond(ScriptedPeer.message([UInt8](repeating: 120, count: 1_000)))),
    ClientCase("one byte in each DATA frame", nil, "hello") { stream in
      [.headers(stream, good)]
        + ScriptedPeer.message(Array("hello".utf8)).map { .data(stream, [$0]) }
        + [.headers(stream, ScriptedPeer.trailers("0"), endStream: true)]
    },
    ClientCase("padding is not part of a message", nil, "A") {
      [
        .headers($0, good), .padded($0, Array(a.prefix(3)), padding: 255),
        .padded($0, [], padding: 0), .padded($0, Array(a.dropFirst(3)), padding: 1),
        .headers($0, ScriptedPeer.trailers("0"), endStream: true),
      ]
    },
    ClientCase("a header block in CONTINUATION frames is one block", nil, "A") {
      ScriptedFrame.fragments($0, good, of: 16) + [.data($0, a)]
        + ScriptedFrame.fragments($0, ScriptedPeer.trailers("0"), of: 9, endStream: true)
    },
    ClientCase(
      "a header list over the limit is RESOURCE_EXHAUSTED: headers", .resourceExhausted,
      "header list",
      { [.headers($0, good + (0..<500).map { ScriptedHeader("x-\($0)", "y") })] }),
    ClientCase(
      "a header list over the limit is RESOURCE_EXHAUSTED: trailers", .resourceExhausted,
      "header list",
      respond(
        a, ScriptedPeer.trailers("0", [ScriptedHeader("x", String(repeating: "y", count: 16_350))]))
    ),
  ]

  /// nghttp2 ends the stream with PROTOCOL_ERROR (RFC 9113 §8.1.1), but for the first.
  static let malformed: [ClientCase] = [
    ClientCase(
      "space around a value is taken: gRPC C++, Python and Go send it", .notFound, "no such user: ",
      origin: .peer,
      {
        [
          .headers(
            $0,
            ScriptedPeer.trailersOnly(
              " 5 ", fields([("grpc-message", "no such user: "), ("x", " y\t")])), endStream: true)
        ]
      }),
    ClientCase(
      "a connection-specific field is malformed: INTERNAL, and who refused it", .internal,
      "this side refused the response: Invalid HTTP header field was received: connection",
      { [.headers($0, good + fields([("connection", "keep-alive")]))] }),
    ClientCase("headers twice, without an end, are malformed: INTERNAL", .internal) {
      [.headers($0, good), .headers($0, good)]
    },
    ClientCase(
      "a response without :status is malformed: INTERNAL", .internal,
      { [.headers($0, fields([("content-type", "application/grpc")]))] }),
    ClientCase(
      "a pseudo-header in trailers is malformed: INTERNAL", .internal,
      "this side refused the response", respond(a, fields([(status, "200"), ("grpc-status", "0")]))),
    ClientCase(
      "a name in upper case is malformed: INTERNAL", .internal,
      { [.headers($0, good + fields([("X-A", "b")]))] }),
    ClientCase(
      "a content-length that is not kept is malformed: INTERNAL", .internal,
      "this side refused the response: it breaks HTTP/2's rules",
      respond(a, head: good + fields([("content-length", "4")]))),
  ]

  @Test(
    "each answer is the status that the documents name, and the connection goes on",
    arguments: [httpStatuses, resets, statuses, grpcMessages, messages, malformed].flatMap(\.self))
  func answers(_ row: ClientCase) async throws { try await row.check() }

  @Test(
    "metadata arrives in order: -bin padded, unpadded and joined; unreadable values are no error")
  func metadata() async throws {
    try await withScriptedServer { channel, listener in
      async let call = channel.unaryResponse(method("M"), [1])
      let peer = try await listener.accept()
      let request = try #require(try await peer.request())
      let head = fields([
        ("x-a", "1"), ("b-bin", "AAE=,AQ"), ("x-a", "a\tö"), ("b-bin", "**"), ("b-bin", ""),
      ])
      try await peer.send(
        .headers(request.stream, good + head), .data(request.stream, ScriptedPeer.message([])),
        .headers(
          request.stream, ScriptedPeer.trailers("0", fields([("t", "1"), ("t", "2")])),
          endStream: true))
      let response = try await call
      #expect(response.initialMetadata[all: "x-a"] == ["1", "a\tö"])
      #expect(response.initialMetadata[binary: "b-bin"] == [[0, 1], [1], []])
      // What was received can be sent on.
      #expect(response.initialMetadata["b-bin"] == "AAE=,AQ")
      #expect(response.trailingMetadata[all: "t"] == ["1", "2"])
      #expect(response.trailingMetadata["grpc-status"] == nil)
    }
  }

  @Test("a server that ends before its client has the last word, without an error")
  func endsFirst() async throws {
    try await withScriptedServer { channel, listener in
      async let call = channel.clientStreaming(method("M"))
      let peer = try await listener.accept()
      let streaming = try await call
      try await streaming.requests.write([1])
      let request = try #require(try await peer.requestHead())
      try await peer.answer(request.stream, messages: [[7]])
      try await peer.send(.reset(request.stream, 0))
      #expect(try await streaming.response() == [7])
    }
  }

  @Test("a reply that is no such message is INTERNAL")
  func undecodable() async throws {
    try await withScriptedServer { channel, listener in
      let odd = MethodDescriptor<[UInt8], [UInt8]>(
        service: "t.S", method: "M", request: .bytes, response: .unreadable)
      async let outcome = failure { _ = try await channel.unary(odd, [1]) }
      let peer = try await listener.accept()
      let request = try #require(try await peer.request())
      try await peer.answer(request.stream, messages: [[0xff]])
      #expect(await outcome?.code == .internal)
    }
  }
}
