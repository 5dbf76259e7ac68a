// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

import Testing

@testable import TrunkWire

@Suite("Metadata")
struct MetadataTests {
  @Test("names are case-insensitive, values keep their order, a name may repeat")
  func order() {
    var metadata = Metadata()
    metadata.add("1", for: "X-Key")
    metadata.add("other", for: "y")
    metadata.add("2", for: "x-key")
    #expect(metadata["x-KEY"] == "1")
    #expect(metadata[all: "x-key"] == ["1", "2"])
    #expect(metadata.count == 3)
    #expect(metadata.map(\.name) == ["x-key", "y", "x-key"])
    metadata["X-key"] = "3"
    #expect(metadata[all: "x-key"] == ["3"])
    #expect(metadata.count == 2)
    metadata["x-key"] = nil
    #expect(metadata["x-key"] == nil)
    #expect(metadata.description == "y: other")
  }

  @Test("binary values come back as bytes, comma-joined ones taken apart (GRPC 5.7)")
  func binary() {
    var metadata = Metadata()
    metadata.add(binary: [0xab, 0xab, 0xab], for: "trace-bin")
    metadata.add("AAA=,/w,", for: "trace-bin")
    metadata.add("no base64!", for: "trace-bin")
    #expect(metadata[binary: "Trace-Bin"] == [[0xab, 0xab, 0xab], [0, 0], [0xff], []])
  }

  @Test("many pairs survive, with empty and long values among them")
  func many() {
    var metadata = Metadata()
    let long = String(repeating: "v", count: 70_000)
    for i in 0..<1000 { metadata.add(i % 3 == 0 ? "" : "\(i)", for: "key-\(i)") }
    metadata.add(long, for: "long")
    #expect(metadata.count == 1001)
    #expect(metadata["key-999"] == "")
    #expect(metadata["key-998"] == "998")
    #expect(metadata["long"] == long)
    #expect(Array(metadata).count == 1001)
  }

  @Test(
    "base64 is sent unpadded and taken padded and unpadded (RFC 4648 §10, GRPC 5.7)",
    arguments: [
      ("", "", ""), ("f", "Zg", "Zg=="), ("fo", "Zm8", "Zm8="), ("foo", "Zm9v", "Zm9v"),
      ("foob", "Zm9vYg", "Zm9vYg=="), ("fooba", "Zm9vYmE", "Zm9vYmE="),
      ("foobar", "Zm9vYmFy", "Zm9vYmFy"),
    ])
  func base64(_ plain: String, _ unpadded: String, _ padded: String) {
    let bytes = Array(plain.utf8)
    #expect(Base64.encode(bytes) == unpadded)
    #expect(withBytes(unpadded) { Base64.decode($0) } == bytes)
    #expect(withBytes(unpadded) { Base64.isValid($0) } && withBytes(padded) { Base64.isValid($0) })
    #expect(withBytes(padded) { Base64.decode($0) } == bytes)
  }

  @Test("all byte values survive base64")
  func base64RoundTrip() {
    for count in 0...300 {
      let bytes = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 7 &+ count) }
      #expect(withBytes(Base64.encode(bytes)) { Base64.decode($0) } == bytes)
    }
    #expect(Base64.encode([0xfb, 0xff]) == "+/8")
  }

  @Test(
    "what is not base64 is nil",
    arguments: ["A", "AAAAA", "A=", "A===", "====", "AA=A", "AA=", "Zg==Zg==", "Z g=", "Zg-_", "é"])
  func notBase64(_ text: String) {
    #expect(withBytes(text) { Base64.decode($0) } == nil)
    #expect(!withBytes(text) { Base64.isValid($0) })
  }

  @Test(
    "metadata that may be sent has no violation",
    arguments: [
      ("x", ""), ("x-y_z.0", " ~!"), ("authorization", "Bearer abc"), ("grpc", "1"),
      ("x-bin", "AAA,AA=="), ("tea", "1"), ("x-", "1"), ("-bin", ""), ("UPPER", "v"),
      ("x", "☺"), ("x", "a\tb"), ("x!#$%&'*+-.^_`|~0", "v"), ("grpc-trace-bin", "AA"),
      ("grpc-previous-rpc-attempts", "2"), ("grpc-retry-pushback-ms", "-1"), ("uptime", "1"),
    ])
  func allowed(_ name: String, _ value: String) {
    let metadata = Metadata(dictionaryLiteral: (name, value))
    for place in [MetadataPlace.request, .initial, .trailers] {
      let outgoing = metadata.outgoing(place)
      #expect(outgoing.refused.isEmpty && outgoing.leftOut.isEmpty)
      #expect(outgoing.metadata[all: name].count == 1)
    }
  }

  @Test("a pair that cannot be sent takes no other with it; details belong into trailers")
  func neighbours() {
    let metadata: Metadata = [
      "a": " 1 ", "grpc-status": "0", "grpc-status-details-bin": "AA", "b": "\u{1}", "c": "3",
    ]
    let request = metadata.outgoing(.request)
    #expect(request.metadata == ["a": "1", "c": "3"])
    #expect(request.leftOut == ["grpc-status-details-bin"] && request.refused.count == 2)
    let trailers = metadata.outgoing(.trailers)
    #expect(trailers.metadata == ["a": "1", "grpc-status-details-bin": "AA", "c": "3"])
    #expect(trailers.leftOut.isEmpty && trailers.refused.count == 2)
  }

  @Test(
    "names and values that gRPC or HTTP/2 forbid are named (GRPC 5.7)",
    arguments: [
      ("", "v", "empty"), (":path", "/", "pseudo"), ("grpc-timeout", "1S", "reserved"),
      ("grpc-x", "1", "reserved"), ("te", "trailers", "te"), ("content-type", "x", "content-type"),
      ("user-agent", "x", "user-agent"), ("connection", "x", "connection"),
      ("keep-alive", "x", "keep-alive"), ("proxy-connection", "x", "proxy-connection"),
      ("transfer-encoding", "x", "transfer-encoding"), ("upgrade", "x", "upgrade"),
      ("host", "x", "host"), ("content-length", "1", "content-length"), ("a b", "v", "a b"),
      ("a\r\nb", "v", "may hold"), ("ä", "v", "may hold"), ("x", "a\nb", "control"),
      ("x", "a\u{7f}", "control"), ("x-bin", "a!", "base64"),
      ("x-bin", "AAA,A,AA", "base64"),
    ])
  func forbidden(_ name: String, _ value: String, _ mention: String) throws {
    var metadata: Metadata = ["fine": "value"]
    metadata.add(value, for: name)
    let outgoing = metadata.outgoing(.request)
    #expect(try #require(outgoing.refused.first).contains(mention))
    #expect(outgoing.metadata == ["fine": "value"])
  }
}
