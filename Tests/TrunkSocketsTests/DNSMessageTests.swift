// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import ScriptedDNS
import Testing

@testable import TrunkSockets

@Suite("DNS messages")
struct DNSMessageTests {
  @Test("addresses, aliases and texts of an answer are found")
  func answer() throws {
    var wire = DNSWire(question: "Svc.Example", type: 1)
    wire.add(owner: "svc.example", type: 5, data: DNSWire.name("real.example"))
    wire.add(owner: "other.example", type: 1, data: [9, 9, 9, 9])
    wire.add(owner: "REAL.example", type: 1, data: [10, 0, 0, 1])
    wire.add(owner: "real.example", type: 1, data: [10, 0, 0, 2])
    wire.add(owner: "real.example", type: 16, data: [2] + Array("ab".utf8) + [1] + Array("c".utf8))
    let message = try DNSMessage(parsing: wire.bytes)
    #expect(message.addresses == [[10, 0, 0, 1], [10, 0, 0, 2]])
    #expect(message.texts == [Array("abc".utf8)])
    #expect(message.responseCode == 0 && !message.isTruncated)
  }

  @Test("SRV records have priority, weight, port and a host name; a root alone is none (RFC 2782)")
  func services() throws {
    var wire = DNSWire(question: "_grpc._tcp.example", type: 33)
    let name: [UInt8] = [0xc0, 12]
    wire.add(
      rawOwner: name, type: 33,
      data: DNSWire.service(priority: 1, weight: 300, port: 50051, target: "A.Example"))
    // RFC 2782 forbids compression here; some servers do it all the same.
    wire.add(rawOwner: name, type: 33, data: [0, 2, 0, 0, 0, 9, 1, 0x62, 0xc0, 12])
    let message = try DNSMessage(parsing: wire.bytes)
    let services = message.services
    #expect(services.map(\.priority) == [1, 2] && services.map(\.weight) == [300, 0])
    #expect(services.map(\.port) == [50051, 9])
    #expect(
      services.map { DNSMessage.hostName($0.target) } == ["a.example", "b._grpc._tcp.example"])
    #expect(DNSMessage.hostName([0]) == nil && DNSMessage.hostName([1, 0x20, 0]) == nil)

    var short = DNSWire(question: "a", type: 33)
    short.add(owner: "a", type: 33, data: [0, 1, 0, 1, 0, 1])
    #expect(throws: DNSMessage.Failure.self) { try DNSMessage(parsing: short.bytes) }
  }

  @Test("the time to live is the smallest of the records used, aliases included (RFC 2181 8)")
  func timeToLive() throws {
    var wire = DNSWire(question: "a.example", type: 1)
    #expect(try DNSMessage(parsing: wire.bytes).timeToLive == nil)
    wire.add(owner: "other.example", type: 1, ttl: 1, data: [9, 9, 9, 9])
    wire.add(owner: "a.example", type: 5, ttl: 70_000, data: DNSWire.name("b.example"))
    #expect(try DNSMessage(parsing: wire.bytes).timeToLive == nil)
    wire.add(owner: "b.example", type: 1, ttl: 80_000, data: [10, 0, 0, 1])
    #expect(try DNSMessage(parsing: wire.bytes).timeToLive == 70_000)
    wire.add(owner: "b.example", type: 1, ttl: 30, data: [10, 0, 0, 2])
    #expect(try DNSMessage(parsing: wire.bytes).timeToLive == 30)
    wire.add(owner: "b.example", type: 1, ttl: 0x8000_0000, data: [10, 0, 0, 3])
    #expect(try DNSMessage(parsing: wire.bytes).timeToLive == 0)
  }

  @Test("compressed names are the names they point to (RFC 1035 4.1.4)")
  func compression() throws {
    var wire = DNSWire(question: "a.example", type: 28)
    wire.add(rawOwner: [0xc0, 12], type: 28, data: [UInt8](repeating: 7, count: 16))
    let message = try DNSMessage(parsing: wire.bytes)
    #expect(message.addresses == [[UInt8](repeating: 7, count: 16)])
  }

  @Test(
    "pointers to themselves, forwards or in circles end with an error",
    arguments: [[0xc0, 27], [0xc0, 200], [1, 0x61, 0xc0, 27], [0xff, 0xff], [0x80], [0x40, 1]])
  func loops(_ owner: [UInt8]) {
    var wire = DNSWire(question: "a.example", type: 1)
    wire.add(rawOwner: owner, type: 1, data: [1, 2, 3, 4])
    #expect(throws: DNSMessage.Failure.self) { try DNSMessage(parsing: wire.bytes) }
  }

  @Test("a circle of aliases has no addresses")
  func aliasCircle() throws {
    var wire = DNSWire(question: "a.example", type: 1)
    wire.add(owner: "a.example", type: 5, data: DNSWire.name("b.example"))
    wire.add(owner: "b.example", type: 5, data: DNSWire.name("a.example"))
    #expect(try DNSMessage(parsing: wire.bytes).addresses == [])
  }

  @Test("a name over 255 bytes, an address of five, a string over its record, a question: refused")
  func malformed() {
    let label = [63] + [UInt8](repeating: 0x61, count: 63)
    var long = DNSWire(question: "a", type: 1)
    long.add(rawOwner: label + label + label + label + [0], type: 1, data: [1, 2, 3, 4])
    var five = DNSWire(question: "a", type: 1)
    five.add(owner: "a", type: 1, data: [1, 2, 3, 4, 5])
    var text = DNSWire(question: "a", type: 16)
    text.add(owner: "a", type: 16, data: [5, 0x61])
    var question = DNSWire(question: "a", type: 1)
    question.bytes[2] = 0
    for wire in [long, five, text, question] {
      #expect(throws: DNSMessage.Failure.self) { try DNSMessage(parsing: wire.bytes) }
    }
  }

  @Test("every prefix and thousands of damaged copies of an answer are read or refused, no trap")
  func damage() {
    var wire = DNSWire(question: "svc.example", type: 1)
    wire.add(owner: "svc.example", type: 5, data: DNSWire.name("real.example"))
    wire.add(rawOwner: [0xc0, 12], type: 1, data: [10, 0, 0, 1])
    wire.add(owner: "real.example", type: 16, data: [2, 0x61, 0x62])
    for length in 0..<wire.bytes.count {
      #expect(throws: DNSMessage.Failure.self) {
        try DNSMessage(parsing: Array(wire.bytes.prefix(length)))
      }
    }
    var random = SystemRandomNumberGenerator()
    for _ in 0..<20_000 {
      var bytes = wire.bytes
      for _ in 0..<Int.random(in: 1...4, using: &random) {
        bytes[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(
          in: 0...255, using: &random)
      }
      let message = try? DNSMessage(parsing: bytes)
      _ = message?.addresses
      _ = message?.texts
    }
  }
}
