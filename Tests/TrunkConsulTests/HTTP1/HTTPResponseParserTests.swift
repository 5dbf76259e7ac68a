// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Testing

@testable import TrunkConsul

@Suite("HTTP/1.1 answers") struct HTTPResponseParserTests {
  private static let fixed = "HTTP/1.1 200 OK\r\nX-Consul-Index: 12\r\nContent-Length: 2\r\n\r\n[]"
  private static let chunked =
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nx-a: 1\r\nX-A:  2 \r\n\r\n"
    + "5;ext=\"1\"\r\nhello\r\nA\r\n, world!!!\r\n0\r\nTrailer: t\r\n\r\n"
  private static let interim =
    "HTTP/1.1 100 Continue\r\nA: b\r\n\r\nHTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n"

  private func parse(_ text: String, split: Int = .max) throws -> HTTPResponseParser {
    var parser = HTTPResponseParser()
    var rest = Array(text.utf8)[...]
    while !rest.isEmpty {
      try parser.receive(Array(rest.prefix(split)))
      rest = rest.dropFirst(split)
    }
    return parser
  }

  @Test("any split of the bytes gives the same answer", arguments: [fixed, chunked, interim])
  func splits(text: String) throws {
    let whole = try #require(try parse(text).response)
    for size in 1..<text.utf8.count {
      let parser = try parse(text, split: size)
      #expect(parser.response == whole)
      #expect(parser.keepsAlive)
    }
  }

  @Test("Content-Length bounds the body") func contentLength() throws {
    let response = try #require(try parse(Self.fixed).response)
    #expect(response.status == 200)
    #expect(response.headers["X-CONSUL-INDEX"] == "12")
    #expect(response.body == Array("[]".utf8))
  }

  @Test("chunks are joined, extensions and trailers left out") func chunks() throws {
    let response = try #require(try parse(Self.chunked).response)
    #expect(String(decoding: response.body, as: UTF8.self) == "hello, world!!!")
    #expect(response.headers.list("x-a") == ["1", "2"])
    #expect(response.headers["trailer"] == nil)
  }

  @Test("an interim answer is skipped; 204 has no body") func interimAnswer() throws {
    let response = try #require(try parse(Self.interim).response)
    #expect(response.status == 204)
    #expect(response.body.isEmpty)
    #expect(response.headers["a"] == nil)
  }

  @Test("without a length the body runs to the end of the connection") func untilClose() throws {
    var parser = try parse("HTTP/1.1 200 OK\r\n\r\nabc")
    #expect(parser.response == nil)
    try parser.finish()
    #expect(parser.response?.body == Array("abc".utf8))
    #expect(!parser.keepsAlive)
  }

  @Test(
    "the connection is kept only as RFC 9112 §9.3 says",
    arguments: [
      ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", true),
      ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: foo, Close\r\n\r\n", false),
      ("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", false),
      ("HTTP/1.0 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n", true),
      ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nX", false),
      (
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        false
      ),
    ])
  func keepAlive(text: String, kept: Bool) throws {
    let parser = try parse(text)
    #expect(parser.response != nil)
    #expect(parser.keepsAlive == kept)
  }

  @Test(
    "what is not an answer is refused",
    arguments: [
      ("SSH-2.0-OpenSSH_9.2\r\n", HTTPError.malformedStatusLine),
      ("HTTP/2 200 OK\r\n", .malformedStatusLine),
      ("HTTP/1.1 2000\r\n", .malformedStatusLine),
      ("HTTP/1.1 099 X\r\n", .malformedStatusLine),
      ("\r\n", .malformedStatusLine),
      ("HTTP/1.1 200 OK\r\n: x\r\n", .malformedHeader),
      ("HTTP/1.1 200 OK\r\nno colon\r\n", .malformedHeader),
      ("HTTP/1.1 200 OK\r\nA: b\r\n folded\r\n", .malformedHeader),
      ("HTTP/1.1 200 OK\r\nA : b\r\n", .malformedHeader),
      ("HTTP/1.1 200 OK\r\nA: b\u{0}\r\n", .malformedHeader),
      ("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", .malformedLength),
      ("HTTP/1.1 200 OK\r\nContent-Length: \r\n\r\n", .malformedLength),
      ("HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n", .malformedLength),
      ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", .malformedLength),
      ("HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n", .bodyTooLarge(limit: 16_777_216)),
      (
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        .unsupportedCoding("gzip,chunked")
      ),
      ("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n", .unsupportedCoding("gzip")),
      ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", .malformedChunk),
      ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\r\n", .malformedChunk),
      ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n", .malformedChunk),
      (
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
        .malformedChunk
      ),
      (
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n7fffffffffffffff\r\n",
        .bodyTooLarge(limit: 16_777_216)
      ),
      ("HTTP/1.1 101 Switching Protocols\r\n\r\n", .unexpectedUpgrade),
    ])
  func refused(text: String, error: HTTPError) {
    #expect(throws: error) { try parse(text) }
    #expect(throws: error) { try parse(text, split: 1) }
  }

  @Test("an answer that ends early is truncated, wherever it ends", arguments: [fixed, chunked])
  func truncated(text: String) throws {
    for count in 0..<text.utf8.count {
      var parser = HTTPResponseParser()
      try parser.receive(Array(text.utf8.prefix(count)))
      #expect(parser.response == nil)
      #expect(parser.hasBegun == (count > 0))
      #expect(throws: HTTPError.truncated) { try parser.finish() }
    }
  }

  @Test("head, header count and body have limits") func limits() throws {
    var limits = HTTPLimits()
    (limits.head, limits.headerCount, limits.body) = (100, 3, 10)
    func parse(_ text: String) throws {
      var parser = HTTPResponseParser(limits: limits)
      try parser.receive(Array(text.utf8))
    }
    let long = String(repeating: "x", count: 200)
    #expect(throws: HTTPError.headTooLarge(limit: 100)) { try parse(long) }
    #expect(throws: HTTPError.headTooLarge(limit: 100)) {
      try parse(String(repeating: "HTTP/1.1 100 C\r\n\r\n", count: 20))
    }
    #expect(throws: HTTPError.tooManyHeaders(limit: 3)) {
      try parse("HTTP/1.1 200 OK\r\na:1\r\na:2\r\na:3\r\na:4\r\n")
    }
    #expect(throws: HTTPError.bodyTooLarge(limit: 10)) {
      try parse("HTTP/1.1 200 OK\r\n\r\n\(long)")
    }
    #expect(throws: HTTPError.bodyTooLarge(limit: 10)) {
      try parse(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n8\r\n12345678\r\n8\r\n12345678\r\n")
    }
  }

  @Test("a head counts its bytes, not the pieces in which they come") func drip() throws {
    var limits = HTTPLimits()
    limits.head = Self.fixed.utf8.count - 2
    for size in [1, 3, Self.fixed.utf8.count] {
      var parser = HTTPResponseParser(limits: limits)
      let bytes = Array(Self.fixed.utf8)
      for start in stride(from: 0, to: bytes.count, by: size) {
        try parser.receive(Array(bytes[start...].prefix(size)))
      }
      #expect(parser.response?.body == Array("[]".utf8))
    }
  }

  @Test("random bytes and random damage never trap") func noise() {
    var random = SplitMix(state: 7)
    let samples = [Self.fixed, Self.chunked, Self.interim].map { Array($0.utf8) }
    for _ in 0..<20_000 {
      var bytes = samples[Int.random(in: 0..<samples.count, using: &random)]
      for _ in 0..<Int.random(in: 1...4, using: &random) {
        bytes[Int.random(in: 0..<bytes.count, using: &random)] = .random(
          in: 0...255, using: &random)
      }
      var parser = HTTPResponseParser()
      do {
        try parser.receive(bytes)
        try parser.finish()
        #expect(parser.response != nil)
      } catch {
        #expect(parser.response == nil || parser.keepsAlive == false)
      }
    }
  }
}

/// A random source that repeats itself.
struct SplitMix: RandomNumberGenerator {
  var state: UInt64
  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }
}
