// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

import Testing

@testable import TrunkWire

@Suite("Message reader")
struct MessageReaderTests {
  struct Message: Equatable {
    var payload: [UInt8]
    var compressed = false
  }

  private func wire(_ messages: [Message]) -> [UInt8] {
    messages.flatMap { message in
      var frame = [UInt8](repeating: 0, count: MessageFrame.prefixLength) + message.payload
      MessageFrame.seal(&frame, compressed: message.compressed)
      return frame
    }
  }

  private func feed(_ reader: inout MessageReader, _ bytes: [UInt8]) throws(FramingError)
    -> [Message]
  {
    var messages: [Message] = []
    var failure: FramingError?
    bytes.withUnsafeBytes { buffer in
      do throws(FramingError) {
        try reader.receive(buffer) { messages.append(Message(payload: $0, compressed: $1)) }
      } catch {
        failure = error
      }
    }
    if let failure { throw failure }
    return messages
  }

  @Test("the prefix is a flag and a big-endian length (GRPC 5.7)")
  func prefix() {
    var frame = [UInt8](repeating: 9, count: 5 + 0x01_02_03)
    MessageFrame.seal(&frame)
    #expect(Array(frame[..<5]) == [0, 0, 1, 2, 3])
    #expect(frame[5] == 9)
    var empty = [UInt8](repeating: 7, count: 5)
    MessageFrame.seal(&empty, compressed: true)
    #expect(empty == [1, 0, 0, 0, 0])
  }

  @Test("any split of the same bytes gives the same messages")
  func splits() throws {
    var random = SeededGenerator(state: 42)
    for _ in 0..<300 {
      let messages = (0..<Int.random(in: 1...6, using: &random)).map { _ in
        let size = Bool.random(using: &random) ? Int.random(in: 0...700, using: &random) : 0
        return Message(
          payload: (0..<size).map { _ in UInt8.random(in: 0...255, using: &random) },
          compressed: Bool.random(using: &random))
      }
      let bytes = wire(messages)
      var reader = MessageReader(limit: 700)
      var got: [Message] = []
      var start = 0
      while start < bytes.count {
        let longest = Int.random(in: 1...(Bool.random(using: &random) ? 3 : 900), using: &random)
        let end = min(bytes.count, start + longest)
        got += try feed(&reader, Array(bytes[start..<end]))
        start = end
      }
      #expect(got == messages)
      #expect(!reader.isMidMessage)
      #expect(reader.buffered == 0)
    }
  }

  @Test("boundaries do not depend on DATA frames: byte by byte, and all in one (GRPC 5.7)")
  func extremes() throws {
    let messages = [
      Message(payload: [1, 2, 3]), Message(payload: []), Message(payload: [4], compressed: true),
      Message(payload: []),
    ]
    var whole = MessageReader(limit: 10)
    #expect(try feed(&whole, wire(messages)) == messages)
    var bytewise = MessageReader(limit: 10)
    var got: [Message] = []
    for byte in wire(messages) { got += try feed(&bytewise, [byte]) }
    #expect(got == messages)
  }

  @Test("a message is delivered as soon as its last byte is there")
  func prompt() throws {
    var reader = MessageReader(limit: 10)
    #expect(try feed(&reader, [0, 0, 0, 0]).isEmpty)
    #expect(try feed(&reader, [0]) == [Message(payload: [])])
    #expect(try feed(&reader, [0, 0, 0, 0, 2, 7]).isEmpty)
    #expect(try feed(&reader, [8, 1]) == [Message(payload: [7, 8])])
    #expect(reader.isMidMessage)
  }

  @Test("an end of stream in the middle of prefix or payload can be told")
  func midMessage() throws {
    var reader = MessageReader(limit: 10)
    #expect(!reader.isMidMessage)
    _ = try feed(&reader, [0])
    #expect(reader.isMidMessage)
    _ = try feed(&reader, [0, 0, 0, 3])
    #expect(reader.isMidMessage && reader.buffered == 0)
    _ = try feed(&reader, [1, 2])
    #expect(reader.isMidMessage && reader.buffered == 2)
    _ = try feed(&reader, [3])
    #expect(!reader.isMidMessage && reader.buffered == 0)
  }

  @Test("a length over the limit fails on the prefix alone, a length at the limit passes")
  func limit() throws {
    var over = MessageReader(limit: 4)
    #expect(throws: FramingError.tooLarge(size: 5, limit: 4)) { try feed(&over, [0, 0, 0, 0, 5]) }
    var exact = MessageReader(limit: 4)
    let message = Message(payload: [1, 2, 3, 4])
    #expect(try feed(&exact, wire([message])) == [message])
    var huge = MessageReader(limit: 4 << 20)
    #expect(throws: FramingError.tooLarge(size: 0xffff_ffff, limit: 4 << 20)) {
      try feed(&huge, [0, 0xff, 0xff, 0xff, 0xff])
    }
  }

  @Test("memory follows the bytes that came, not the length that was claimed")
  func noClaims() throws {
    var reader = MessageReader(limit: 1 << 30)
    _ = try feed(&reader, [0, 0x3f, 0xff, 0xff, 0xff] + [UInt8](repeating: 1, count: 100))
    #expect(reader.buffered == 100)
    #expect(reader.capacity < 1000)
    _ = try feed(&reader, [UInt8](repeating: 1, count: 10_000))
    #expect(reader.capacity < 25_000)
    var small = MessageReader(limit: 1 << 30)
    _ = try feed(&small, [0, 0, 2, 0, 0] + [UInt8](repeating: 1, count: 100))
    #expect(small.capacity < 1000)
  }

  @Test("a compressed flag other than 0 and 1 is an error (GRPC 5.7)", arguments: [2, 3, 128, 255])
  func flag(_ flag: UInt8) {
    var reader = MessageReader(limit: 10)
    #expect(throws: FramingError.badFlag(flag)) { try feed(&reader, [flag, 0, 0, 0, 1, 5]) }
  }

  @Test("messages before an error are delivered, nothing after it, and the error stays")
  func poisoned() {
    var reader = MessageReader(limit: 10)
    let bytes = wire([Message(payload: [1])]) + [7, 0, 0, 0, 0] + wire([Message(payload: [2])])
    var seen: [[UInt8]] = []
    _ = bytes.withUnsafeBytes { buffer in
      #expect(throws: FramingError.badFlag(7)) {
        try reader.receive(buffer) { payload, _ in seen.append(payload) }
      }
    }
    #expect(seen == [[1]])
    #expect(throws: FramingError.badFlag(7)) { try feed(&reader, [0, 0, 0, 0, 0]) }
  }

  @Test("too large is RESOURCE_EXHAUSTED, bad framing INTERNAL (GRPC 5.6)")
  func statuses() {
    let large = FramingError.tooLarge(size: 5_000_000, limit: 4_194_304).rpcError
    #expect(large.code == .resourceExhausted)
    #expect(large.message.contains("5000000") && large.message.contains("4194304"))
    #expect(FramingError.badFlag(9).rpcError.code == .internal)
  }
}
