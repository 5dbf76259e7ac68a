// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Testing
import TrunkTesting
import Trunkcall

/// One request that a scripted client sends on stream 1, and what must come of it.
struct ServerCase: Sendable, CustomTestStringConvertible {
  enum Answer: Sendable {
    /// A gRPC status; the text is part of `grpc-message`.
    case status(Int, String = "")
    /// OK with one message.
    case reply(String)
    case http(String)
    case reset(UInt32)
  }

  var rule: String
  var frames: [ScriptedFrame]
  var answer: Answer

  init(_ rule: String, _ frames: [ScriptedFrame], _ answer: Answer) {
    self.rule = rule
    self.frames = frames
    self.answer = answer
  }

  /// A whole unary call of one byte with some more headers.
  init(_ rule: String, _ path: String, _ headers: [(String, String)], _ answer: Answer) {
    self.init(
      rule,
      [
        .headers(1, ScriptedPeer.request(path, headers.map { ScriptedHeader($0.0, $0.1) })),
        .data(1, ScriptedPeer.message([1]), endStream: true),
      ], answer)
  }

  var testDescription: String { rule }

  /// The answer is right, and the connection has not suffered.
  func check(port: UInt16) async throws {
    let peer = try await ScriptedPeer.connect(port: port)
    try await peer.send(frames)
    let response = try await peer.response(1)
    switch answer {
    case .status(let code, let part):
      #expect(response.status == code, "\(response)")
      #expect(response[":status"] == "200")
      #expect(part.isEmpty || response.message?.contains(part) == true, "\(response)")
    case .reply(let expected):
      #expect(response.status == 0, "\(response)")
      #expect(response.messages.map(text) == [expected])
    case .http(let status):
      #expect(response[":status"] == status)
      #expect(response["grpc-status"] == nil)
    case .reset(let code): #expect(response.reset == code, "\(response)")
    }
    try await peer.call(99, "/t.Probe/Echo", messages: [[9]])
    #expect(try await peer.response(99).messages == [[9]])
    await peer.close()
  }
}

private let protocolError: UInt32 = 1

private func head(_ fields: [(String, String)]) -> [ScriptedFrame] {
  [.headers(1, fields.map { ScriptedHeader($0.0, $0.1) }, endStream: true)]
}

@Suite("5.7 request headers, the server's side", .timeLimit(.minutes(2)))
struct ServerRequestTests {
  static let pseudo: [ServerCase] = [
    ServerCase("a call with all it needs is served", "/t.Probe/Echo", [], .reply("\u{1}")),
    ServerCase(
      ":method other than POST is no gRPC",
      [.headers(1, ScriptedPeer.request("/t.Probe/Echo", method: "PUT"), endStream: true)],
      .http("405")),
    ServerCase(
      "the path is case-sensitive: service", "/t.probe/Echo", [], .status(12, "unknown service")),
    ServerCase(
      "the path is case-sensitive: method", "/t.Probe/echo", [], .status(12, "unknown method")),
    ServerCase("nothing of the path is normalised: slashes", "//t.Probe/Echo", [], .status(12)),
    ServerCase("nothing of the path is normalised: tail", "/t.Probe/Echo/", [], .status(12)),
    ServerCase("nothing of the path is normalised: query", "/t.Probe/Echo?x=1", [], .status(12)),
    ServerCase("nothing of the path is normalised: escape", "/t.Probe/Ech%6f", [], .status(12)),
    ServerCase(
      "a path without a leading slash is malformed HTTP (CVE-2026-33186)", "t.Probe/Echo", [],
      .reset(protocolError)),
    ServerCase(
      "a pseudo-header behind a field is malformed HTTP",
      head([(":method", "POST"), ("te", "trailers"), (":scheme", "http"), (":path", "/a/b")]),
      .reset(protocolError)),
    ServerCase(
      "two paths are malformed HTTP", "/t.Probe/Echo", [(":path", "/t.Probe/Fail")],
      .reset(protocolError)),
    ServerCase(
      "a request without a path is malformed HTTP",
      head([(":method", "POST"), (":scheme", "http"), ("te", "trailers")]), .reset(protocolError)),
    ServerCase(
      "a name in upper case is malformed HTTP", "/t.Probe/Echo", [("X-A", "1")],
      .reset(protocolError)),
    ServerCase(
      "a connection-specific field is malformed HTTP", "/t.Probe/Echo", [("connection", "close")],
      .reset(protocolError)),
    ServerCase(
      "space around a value is taken: gRPC C++, Python and Go send it", "/t.Probe/Metadata",
      [("authorization", "Bearer abc ")], .reply("authorization: Bearer abc ")),
    ServerCase(
      "names of gRPC and HTTP are not metadata, but for those that work by it", "/t.Probe/Metadata",
      [
        ("host", "h"), ("content-length", "6"), ("grpc-unknown", "1"), ("grpc-trace-bin", "AA"),
        ("grpc-previous-rpc-attempts", "2"), ("grpc-status-details-bin", "AA"), ("x", "1"),
      ],
      .reply(
        "grpc-trace-bin: AA, grpc-previous-rpc-attempts: 2, grpc-status-details-bin: AA, x: 1")),
    ServerCase(
      "te says trailers or nothing", "/t.Probe/Echo", [("te", "gzip")], .reset(protocolError)),
  ]

  static let contentTypes: [ServerCase] =
    ([
      ("application/grpc", true), ("application/grpc+proto", true), ("application/grpc+json", true),
      ("application/grpc;charset=utf-8", true), ("application/grpcx", false),
      ("application/json", false), ("application/grp", false), ("", false),
    ] as [(String, Bool)]).map { type, isGRPC in
      ServerCase(
        "content-type \(type)",
        [
          .headers(1, ScriptedPeer.request("/t.Probe/Echo", contentType: type)),
          .data(1, ScriptedPeer.message([65]), endStream: true),
        ], isGRPC ? .reply("A") : .http("415"))
    } + [
      ServerCase(
        "no content-type at all",
        [.headers(1, ScriptedPeer.request("/t.Probe/Echo", contentType: nil), endStream: true)],
        .http("415"))
    ]

  static let timeouts: [ServerCase] =
    ["", "1", "S", "123456789S", "-1S", "+1S", "1.5S", "1s", "1 S", "0x1S", "1SS"].map {
      ServerCase(
        "grpc-timeout \"\($0)\" is malformed", "/t.Probe/Echo", [("grpc-timeout", $0)],
        .status(13, "grpc-timeout"))
    } + [
      ServerCase(
        "a timeout of nothing has passed", "/t.Probe/Wait", [("grpc-timeout", "0n")], .status(4)),
      ServerCase("no timeout is no limit", "/t.Probe/Milliseconds", [], .reply("none")),
    ]

  static let metadata: [ServerCase] = [
    ServerCase(
      "duplicates keep their order", "/t.Probe/Metadata", [("x-a", "1"), ("b", "2"), ("x-a", "3")],
      .reply("x-a: 1, b: 2, x-a: 3")),
    ServerCase(
      "every letter that a name may have", "/t.Probe/Metadata", [("0_z-.9", "v")],
      .reply("0_z-.9: v")),
    ServerCase(
      "all of printable ASCII is a value", "/t.Probe/Metadata",
      [("x", "!\"#%&'(),;<=>@[\\]^`{|}~")],
      .reply("x: !\"#%&'(),;<=>@[\\]^`{|}~")),
    ServerCase(
      "a value that HTTP allows and gRPC does not is no error", "/t.Probe/Metadata",
      [("x", "a\tö")], .reply("x: a\tö")),
    ServerCase("an empty value is a value", "/t.Probe/Metadata", [("x", "")], .reply("x: ")),
    ServerCase(
      "grpc-'s own names are not metadata", "/t.Probe/Metadata",
      [
        ("grpc-timeout", "9S"), ("grpc-accept-encoding", "gzip"), ("user-agent", "u"),
        ("grpc-encoding", "identity"), ("x", "1"),
      ], .reply("x: 1")),
    ServerCase(
      "-bin padded", "/t.Probe/Binary", [("x-bin", "AAE=")], .reply("[[0, 1]]")),
    ServerCase("-bin unpadded", "/t.Probe/Binary", [("x-bin", "AAE")], .reply("[[0, 1]]")),
    ServerCase(
      "-bin joined by commas is split before it is decoded", "/t.Probe/Binary",
      [("x-bin", "AAE=,AQ,"), ("x-bin", "/+8")], .reply("[[0, 1], [1], [], [255, 239]]")),
    ServerCase("-bin of nothing", "/t.Probe/Binary", [("x-bin", "")], .reply("[[]]")),
    ServerCase(
      "-bin that is no base64 fails its call and names itself", "/t.Probe/Echo",
      [("x-bin", "A*")], .status(13, "x-bin")),
    ServerCase(
      "-bin with half of its padding is no base64", "/t.Probe/Echo", [("x-bin", "AA=")],
      .status(13, "x-bin")),
  ]

  @Test(
    "each request header has its consequence, and the connection goes on",
    arguments: [
      pseudo, contentTypes, timeouts, metadata,
    ].flatMap(\.self))
  func headers(_ row: ServerCase) async throws {
    try await withServer { _, port in try await row.check(port: port) }
  }

  @Test(
    "grpc-timeout is read in every unit",
    arguments: [
      ("99999999H", 9_223_372_036_854), ("2H", 7_200_000), ("3M", 180_000), ("40S", 40_000),
      ("50000m", 50_000), ("60000000u", 60_000), ("99999999n", 99),
    ] as [(String, Int64)])
  func units(value: String, milliseconds: Int64) async throws {
    try await withServer { _, port in
      let peer = try await ScriptedPeer.connect(port: port)
      let timeout = ScriptedHeader("grpc-timeout", value)
      try await peer.call(1, "/t.Probe/Milliseconds", [timeout], messages: [[]])
      let response = try await peer.response(1)
      // The last is a tenth of a second: on a busy machine it may be over.
      if value.hasSuffix("n"), response.status == 4 { return }
      let left = try #require(response.messages.first.flatMap { Int64(text($0)) })
      #expect(left <= milliseconds && left >= milliseconds - 10_000)
    }
  }

  @Test("a header list over the limit fails its call, in one frame or in CONTINUATIONs")
  func headerList() async throws {
    var options = ServerOptions()
    options.maxHeaderListSize = 4_096
    try await withServer(options: options) { _, port in
      let peer = try await ScriptedPeer.connect(port: port)
      // 32 bytes count for each field beside its letters (RFC 9113 §10.5.1).
      let many = ScriptedPeer.request(
        "/t.Probe/Echo", (0..<120).map { _ in ScriptedHeader("x", "y") })
      try await peer.send(.headers(1, many, endStream: true))
      #expect(try await peer.response(1).status == 8)
      try await peer.send(ScriptedFrame.fragments(3, many, of: 200, endStream: true))
      #expect(try await peer.response(3).status == 8)
      try await peer.call(5, "/t.Probe/Echo", messages: [[1]])
      #expect(try await peer.response(5).status == 0)
    }
  }

  @Test("a header block in CONTINUATION frames is one block")
  func continuation() async throws {
    try await withServer { _, port in
      let peer = try await ScriptedPeer.connect(port: port)
      let block = ScriptedPeer.request("/t.Probe/Metadata", [ScriptedHeader("x", "1")])
      try await peer.send(ScriptedFrame.fragments(1, block, of: 30))
      try await peer.send(.data(1, ScriptedPeer.message([]), endStream: true))
      #expect(try await peer.response(1).messages.map(text) == ["x: 1"])
    }
  }

  @Test(
    "what is not HTTP/2 by prior knowledge is hung up on, and others are served",
    arguments: [
      "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\r\n",
      "PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", "\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}",
      "garbage of some length",
    ])
  func preface(bytes: String) async throws {
    try await withServer { server, port in
      let peer = try await ScriptedPeer.connect(port: port, preface: false)
      try await peer.send(raw: Array(bytes.utf8) + [UInt8](repeating: 32, count: 24))
      let frames = try await peer.rest()
      // GOAWAY may come first; nothing else than SETTINGS before it.
      #expect(frames.allSatisfy { $0.stream == 0 })
      let other = try await ScriptedPeer.connect(port: port)
      try await other.call(1, "/t.Probe/Echo", messages: [[1]])
      #expect(try await other.response(1).status == 0)
    }
  }
}
