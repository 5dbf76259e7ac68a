// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

import Testing

@testable import TrunkWire

@Suite("Status")
struct StatusTests {
  @Test(
    "grpc-message is percent-encoded UTF-8 (GRPC 5.7)",
    arguments: [
      ("", ""), ("plain text ~!", "plain text ~!"), ("100%", "100%25"), ("\t\r\n", "%09%0D%0A"),
      ("☺", "%E2%98%BA"), ("\u{7f}", "%7F"), ("no such user: ", "no such user:%20"),
      (" ", "%20"), ("  a  ", "%20 a %20"),
      (
        "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n",
        "%09%0Atest with whitespace%0D%0Aand Unicode BMP %E2%98%BA and non-BMP %F0%9F%98%88%09%0A"
      ),
    ])
  func encodeMessage(_ message: String, _ encoded: String) {
    #expect(String(decoding: PercentEncoding.encode(message), as: UTF8.self) == encoded)
    #expect(withBytes(encoded) { PercentEncoding.decode($0) } == message)
  }

  @Test(
    "a badly encoded message is neither an error nor dropped (GRPC 5.7)",
    arguments: [
      ("%", "%"), ("%4", "%4"), ("%zz", "%zz"), ("%4g%41", "%4gA"), ("a%", "a%"), ("%%41", "%A"),
      ("%e2%98%ba", "☺"), ("%FF", "\u{fffd}"), ("x%E2%98y", "x\u{fffd}y"), ("☺", "☺"),
    ])
  func decodeMessage(_ encoded: String, _ message: String) {
    #expect(withBytes(encoded) { PercentEncoding.decode($0) } == message)
  }

  @Test("bytes that are no UTF-8 at all become U+FFFD")
  func rawBytes() {
    let raw: [UInt8] = [0x61, 0xff, 0x62]
    #expect(raw.withUnsafeBytes { PercentEncoding.decode($0) } == "a\u{fffd}b")
  }

  @Test("every code is read from its number")
  func codes() {
    #expect(withBytes("0") { GRPCStatus(parsing: $0) } == .ok)
    #expect(withBytes(" 5\t ") { GRPCStatus(parsing: $0) } == .failure(.notFound))
    for code in RPCError.Code.allCases {
      #expect(withBytes("\(code.rawValue)") { GRPCStatus(parsing: $0) } == .failure(code))
    }
    #expect(RPCError.Code.allCases.map(\.rawValue) == Array(1...16))
  }

  @Test(
    "a grpc-status that cannot be parsed, or that nobody defined, is UNKNOWN (GRPC 5.6)",
    arguments: ["", "17", "99", "-1", "+1", "00", "01", " ", "1 1", "0x1", "OK", "100", "é"])
  func unknown(_ text: String) {
    #expect(withBytes(text) { GRPCStatus(parsing: $0) } == .failure(.unknown))
  }

  @Test(
    "HTTP status to code when grpc-status is missing (GRPC 5.6)",
    arguments: [
      (400, .internal), (431, .internal), (401, .unauthenticated), (403, .permissionDenied),
      (404, .unimplemented), (429, .unavailable), (502, .unavailable), (503, .unavailable),
      (504, .unavailable), (200, .unknown), (204, .unknown), (301, .unknown), (415, .unknown),
      (500, .unknown), (0, .unknown), (-1, .unknown),
    ] as [(Int, RPCError.Code)])
  func http(_ status: Int, _ code: RPCError.Code) {
    #expect(RPCError.Code(httpStatus: status) == code)
  }

  @Test(
    "RST_STREAM code to status (GRPC 5.6)",
    arguments: [
      (0, .internal), (1, .internal), (2, .internal), (3, .internal), (4, .internal),
      (5, .internal), (6, .internal), (7, .unavailable), (8, .cancelled), (9, .internal),
      (10, .internal), (11, .resourceExhausted), (12, .permissionDenied), (13, .internal),
      (0xffff_ffff, .internal),
    ] as [(UInt32, RPCError.Code)])
  func reset(_ reset: UInt32, _ code: RPCError.Code) {
    #expect(RPCError.Code(resetCode: reset) == code)
  }

  @Test("an error prints its code, its message and its diagnostics, one fact a line")
  func description() {
    let error = RPCError(.unavailable, "no server for x", diagnostics: "one\ntwo")
    #expect("\(error)" == "unavailable: no server for x\n  one\n  two")
    #expect("\(RPCError(.internal, ""))" == "internal")
  }
}

@Suite("Method path")
struct MethodPathTests {
  @Test(
    "a path is a slash, a service, a slash and a method",
    arguments: [
      ("/helloworld.Greeter/SayHello", "helloworld.Greeter", "SayHello"), ("/a/b", "a", "b"),
      ("/a.B.c/D_e", "a.B.c", "D_e"),
    ])
  func valid(_ path: String, _ service: String, _ method: String) throws {
    try withBytes(path) { bytes in
      let parts = try #require(MethodPath(bytes))
      #expect(String(decoding: parts.service, as: UTF8.self) == service)
      #expect(String(decoding: parts.method, as: UTF8.self) == method)
    }
  }

  @Test(
    "anything else is no method",
    arguments: ["", "/", "//", "///", "/a", "/a/", "//b", "a/b", "a/b/c", "/a/b/", "/a/b/c", "*"])
  func invalid(_ path: String) {
    withBytes(path) { #expect(MethodPath($0) == nil) }
  }
}

@Suite("A status message that is too long") struct StatusMessageLimitTests {
  @Test("ends before the character that would not fit, never inside one")
  func limit() {
    let text = "a☺%ö 😈 "
    let whole = PercentEncoding.encode(text)
    for limit in 0...whole.count {
      let encoded = PercentEncoding.encode(text, limit: limit)
      #expect(encoded.count <= limit && whole.starts(with: encoded))
      let decoded = encoded.withUnsafeBytes { PercentEncoding.decode($0) }
      #expect(text.hasPrefix(decoded), "\(limit): \(decoded)")
      #expect(encoded.last != UInt8(ascii: " "), "HTTP does not keep it")
    }
    #expect(PercentEncoding.encode(text, limit: whole.count) == whole)
  }
}
