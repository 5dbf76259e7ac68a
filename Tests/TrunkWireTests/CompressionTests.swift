// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

import Testing

@testable import TrunkWire

@Suite("Compression (GRPC 5.7, compression.md)")
struct CompressionTests {
  static let algorithms: [Compression] = [.gzip, .deflate]

  private func frame(_ message: [UInt8]) -> [UInt8] {
    [UInt8](repeating: 0, count: MessageFrame.prefixLength) + message
  }

  private func compress(_ message: [UInt8], _ algorithm: Compression) throws -> [UInt8] {
    let sealed = try #require(try Deflater.frame(frame(message), algorithm))
    return Array(sealed.dropFirst(MessageFrame.prefixLength))
  }

  private func failure(
    _ bytes: [UInt8], _ algorithm: Compression, limit: Int = 1 << 20
  ) -> CompressionError? {
    do throws(CompressionError) {
      _ = try Inflater.inflate(bytes, algorithm, limit: limit)
      return nil
    } catch {
      return error
    }
  }

  private func randomBytes(_ count: Int, distinct: UInt8) -> [UInt8] {
    (0..<count).map { _ in UInt8.random(in: 0...distinct) }
  }

  @Test("messages of every size and kind come back as they were", arguments: algorithms)
  func roundTrip(_ algorithm: Compression) throws {
    let large = [UInt8](repeating: 5, count: 3_000_000)
    #expect(
      try Inflater.inflate(try compress(large, algorithm), algorithm, limit: 3_000_000) == large)
    for size in [1, 2, 100, 1_024, 1_025, 4_096, 4_097, 16_384, 16_385, 70_000] {
      for distinct: UInt8 in [0, 3, 255] {
        let message = randomBytes(size, distinct: distinct)
        let bytes = try compress(message, algorithm)
        #expect(try Inflater.inflate(bytes, algorithm, limit: size) == message, "\(size) bytes")
      }
    }
  }

  @Test("a compressed frame has flag 1 and its own length, and is smaller where it can be")
  func frames() throws {
    for algorithm in CompressionTests.algorithms {
      let sealed = try #require(
        try Deflater.frame(frame([UInt8](repeating: 7, count: 100_000)), algorithm))
      #expect(sealed[0] == 1)
      let length = sealed[1...4].reduce(0) { $0 << 8 | Int($1) }
      #expect(length == sealed.count - MessageFrame.prefixLength)
      #expect(sealed.count < 1_000)
      #expect(sealed.capacity < 2_000, "a waiting frame holds no spare room")
    }
  }

  @Test("identity and the empty message are left alone")
  func nothingToDo() throws {
    #expect(try Deflater.frame(frame([1, 2, 3]), .identity) == nil)
    #expect(try Deflater.frame(frame([]), .gzip) == nil)
    #expect(try Deflater.frame([0, 0], .gzip) == nil)
    #expect(try Inflater.inflate([1, 2, 3], .identity, limit: 0) == [1, 2, 3])
  }

  @Test("what other implementations of RFC 1950 and 1952 write is read")
  func foreign() throws {
    let text = Array("hello hello hello hello".utf8)
    let gzip: [UInt8] = [
      31, 139, 8, 0, 0, 0, 0, 0, 2, 3, 203, 72, 205, 201, 201, 87, 200, 64, 39, 1, 227, 81, 61, 141,
      23, 0, 0, 0,
    ]
    let zlib: [UInt8] = [120, 156, 203, 72, 205, 201, 201, 87, 200, 64, 39, 1, 104, 3, 8, 177]
    #expect(try Inflater.inflate(gzip, .gzip, limit: text.count) == text)
    #expect(try Inflater.inflate(zlib, .deflate, limit: text.count) == text)
    #expect(failure(gzip, .deflate) == .corrupt(.deflate))
    #expect(failure(zlib, .gzip) == .corrupt(.gzip))
  }

  @Test("the limit holds for what comes out, to the byte", arguments: algorithms)
  func limit(_ algorithm: Compression) throws {
    for size in [1, 255, 256, 257, 1_000, 65_536] {
      let bytes = try compress([UInt8](repeating: 0, count: size), algorithm)
      #expect(failure(bytes, algorithm, limit: size) == nil)
      #expect(failure(bytes, algorithm, limit: size - 1) == .tooLarge(limit: size - 1))
    }
    #expect(failure(try compress([1], algorithm), algorithm, limit: -5) == .tooLarge(limit: 0))
  }

  @Test("a bomb ends at the limit, even one whose end is broken", arguments: algorithms)
  func bomb(_ algorithm: Compression) throws {
    var bytes = try compress([UInt8](repeating: 0, count: 32 << 20), algorithm)
    #expect(bytes.count < 64 << 10)
    #expect(failure(bytes, algorithm, limit: 4 << 20) == .tooLarge(limit: 4 << 20))
    // Were all of it inflated first, the broken end would be the finding.
    bytes.removeLast(8)
    bytes.append(contentsOf: [1, 2, 3])
    #expect(failure(bytes, algorithm, limit: 4 << 20) == .tooLarge(limit: 4 << 20))
  }

  @Test("a message cut short anywhere is an error", arguments: algorithms)
  func truncated(_ algorithm: Compression) throws {
    let bytes = try compress(randomBytes(300, distinct: 20), algorithm)
    for count in 0..<bytes.count {
      #expect(failure(Array(bytes.prefix(count)), algorithm) == .truncated(algorithm))
    }
  }

  @Test("bytes after the end are an error", arguments: algorithms)
  func trailing(_ algorithm: Compression) throws {
    let bytes = try compress([1, 2, 3], algorithm)
    #expect(failure(bytes + [0], algorithm) == .trailingBytes(algorithm, count: 1))
    if algorithm == .deflate {
      #expect(failure(bytes + bytes, .deflate) == .trailingBytes(.deflate, count: bytes.count))
    }
  }

  @Test("a gzip message may have several members (RFC 1952 §2.2), within the limit")
  func members() throws {
    let parts = (1..<5).map { randomBytes(1_000 * $0, distinct: 9) }
    let bytes = try parts.flatMap { try compress($0, .gzip) }
    let whole = Array(parts.joined())
    #expect(try Inflater.inflate(bytes, .gzip, limit: whole.count) == whole)
    #expect(throws: CompressionError.tooLarge(limit: whole.count - 1)) {
      try Inflater.inflate(bytes, .gzip, limit: whole.count - 1)
    }
    #expect(failure(bytes.dropLast(), .gzip) == .truncated(.gzip))
    #expect(failure(bytes + [0x1f], .gzip) == .truncated(.gzip))
    let empty: [UInt8] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0]
    let most = Array(repeatElement(empty, count: Inflater.maxMembers).joined())
    #expect(try Inflater.inflate(most, .gzip, limit: 0) == [])
    #expect(failure(most + empty, .gzip) == .trailingBytes(.gzip, count: empty.count))
  }

  @Test("a flipped bit is an error or, in a header's free fields, harmless", arguments: algorithms)
  func corrupt(_ algorithm: Compression) throws {
    let message = randomBytes(200, distinct: 9)
    let bytes = try compress(message, algorithm)
    for index in bytes.indices {
      for bit in 0..<8 {
        var broken = bytes
        broken[index] ^= 1 << bit
        // deflate's Adler-32 is weak for short messages (RFC 3309): now and then it misses one.
        if let read = try? Inflater.inflate(broken, algorithm, limit: 1 << 16), algorithm == .gzip {
          #expect(read == message, "byte \(index), bit \(bit)")
        }
      }
    }
    #expect(failure(randomBytes(64, distinct: 1), algorithm) == .corrupt(algorithm))
  }

  @Test("a zlib stream that asks for a dictionary is corrupt: messages have no context")
  func dictionary() {
    #expect(failure([0x78, 0xbb, 1, 2, 3, 4, 0, 0, 0], .deflate) == .corrupt(.deflate))
  }

  @Test("one message says nothing about the next")
  func noContext() throws {
    let message = randomBytes(2_000, distinct: 50)
    #expect(try compress(message, .gzip) == compress(message, .gzip))
  }

  @Test("a small message gets a small state")
  func stateSize() {
    #expect(Deflater.StateSize(1) == Deflater.StateSize(1_024))
    #expect(Deflater.StateSize(1_024).windowBits == 10)
    #expect(Deflater.StateSize(1 << 20).windowBits == 15)
  }

  @Test("names on the wire")
  func names() {
    func list(_ text: String) -> CompressionSet {
      Array(text.utf8).withUnsafeBytes { CompressionSet(wire: $0) }
    }
    for compression in Compression.allCases {
      #expect("\(compression.wireName)" == compression.rawValue)
      #expect(Array(compression.rawValue.utf8).withUnsafeBytes(Compression.init) == compression)
      #expect(Compression(code: compression.code) == compression)
    }
    #expect(Array("GZIP".utf8).withUnsafeBytes(Compression.init) == nil)
    for set: CompressionSet in [[], .gzip, .deflate, .all] {
      #expect(list("\(set.wireNames)") == set)
      #expect(set.accepts(.identity))
    }
    #expect(list("identity, deflate, gzip") == .all)
    #expect(list("br,  gzip ,snappy,,") == .gzip)
    #expect(list("") == [] && list(" ") == [])
    #expect(!CompressionSet.gzip.accepts(.deflate))
  }

  @Test("statuses: over the limit RESOURCE_EXHAUSTED, undecompressible INTERNAL (GRPC 5.6)")
  func statuses() {
    #expect(CompressionError.tooLarge(limit: 9).rpcError.code == .resourceExhausted)
    for error: CompressionError in [
      .corrupt(.gzip), .truncated(.gzip), .trailingBytes(.gzip, count: 1),
    ] {
      #expect(error.rpcError.code == .internal)
    }
  }
}
