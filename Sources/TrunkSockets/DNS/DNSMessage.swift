// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// Parses a DNS server's answer (RFC 1035 §4; AAAA: RFC 3596). No input traps: what does not parse
/// throws, and compression pointers may only point backwards, so that a name ends.
package struct DNSMessage: Sendable, Hashable {
  /// A domain name in wire form without compression, ASCII letters in lower case: two names are
  /// equal exactly if their bytes are (RFC 4343).
  package typealias Name = [UInt8]

  package enum RecordData: Sendable, Hashable {
    /// 4 or 16 bytes in network order.
    case address([UInt8])
    /// CNAME: where to look instead.
    case alias(Name)
    /// TXT: its character strings, joined.
    case text([UInt8])
  }

  package struct Record: Sendable, Hashable {
    package var owner: Name
    /// Seconds.
    package var timeToLive: UInt32
    package var data: RecordData
  }

  /// RFC 1035 §4.1.1: 0 is no error, 2 SERVFAIL, 3 NXDOMAIN, 5 REFUSED.
  package var responseCode: UInt8
  package var isTruncated: Bool
  /// The name of the first question.
  package var question: Name?
  /// Records of class IN and a type that is known here.
  package var answers: [Record]

  /// What is malformed, and where.
  package struct Failure: Error, Sendable, Hashable, CustomStringConvertible {
    package var offset: Int
    package var reason: String
    package var description: String { "malformed DNS answer: \(reason) at byte \(offset)" }
  }

  /// Records read at most; a UDP answer or one of 64 KiB over TCP holds far fewer for one name.
  package static let recordLimit = 4_096

  package init(parsing bytes: [UInt8]) throws(Failure) {
    var reader = DNSReader(bytes)
    _ = try reader.uint16()
    let flags = try reader.uint16()
    guard flags & 0x8000 != 0 else { throw Failure(offset: 2, reason: "it is a question") }
    isTruncated = flags & 0x0200 != 0
    responseCode = UInt8(flags & 0x000f)
    let questions = try reader.uint16()
    let answerCount = try reader.uint16()
    _ = try reader.uint16()
    _ = try reader.uint16()

    for index in 0..<questions {
      let name = try reader.name()
      if index == 0 { question = name }
      try reader.skip(4)
    }
    answers = []
    for _ in 0..<min(Int(answerCount), DNSMessage.recordLimit) {
      if let record = try reader.record() { answers.append(record) }
    }
  }

  /// The addresses for the question, its aliases followed.
  package var addresses: [[UInt8]] {
    found.compactMap { if case .address(let bytes) = $0 { bytes } else { nil } }
  }

  /// The texts for the question, its aliases followed.
  package var texts: [[UInt8]] {
    found.compactMap { if case .text(let bytes) = $0 { bytes } else { nil } }
  }

  /// A chain of aliases ends after as many steps as there are records: then it is a cycle.
  private var found: [RecordData] {
    guard var name = question else { return [] }
    for _ in 0...answers.count {
      let own = answers.filter { $0.owner == name }.map(\.data)
      var next: Name?
      for case .alias(let alias) in own { next = alias }
      guard let next else { return own }
      name = next
    }
    return []
  }
}

/// Reads a message front to back.
private struct DNSReader {
  private let bytes: [UInt8]
  private var offset = 0

  init(_ bytes: [UInt8]) { self.bytes = bytes }

  mutating func uint16() throws(DNSMessage.Failure) -> UInt16 {
    let field = try take(2)
    return UInt16(field[field.startIndex]) << 8 | UInt16(field[field.startIndex + 1])
  }

  mutating func skip(_ count: Int) throws(DNSMessage.Failure) { _ = try take(count) }

  private mutating func take(_ count: Int) throws(DNSMessage.Failure) -> ArraySlice<UInt8> {
    guard bytes.count - offset >= count else { throw failure("it is cut off") }
    defer { offset += count }
    return bytes[offset..<(offset + count)]
  }

  /// Nil for a record of another class or type.
  mutating func record() throws(DNSMessage.Failure) -> DNSMessage.Record? {
    let owner = try name()
    let type = try uint16()
    let kind = try uint16()
    let high = try uint16()
    let low = try uint16()
    let length = Int(try uint16())
    let start = offset
    let data = try take(length)
    guard kind == 1 else { return nil }
    let parsed: DNSMessage.RecordData
    switch (type, length) {
    case (1, 4), (28, 16): parsed = .address(Array(data))
    case (1, _), (28, _): throw failure("an address of \(length) bytes")
    case (5, _):
      var position = start
      parsed = .alias(try name(at: &position))
    case (16, _): parsed = .text(try text(data))
    default: return nil
    }
    return DNSMessage.Record(
      owner: owner, timeToLive: UInt32(high) << 16 | UInt32(low), data: parsed)
  }

  /// RFC 1035 §3.3.14: one or more strings, each behind a byte with its length.
  private func text(_ data: ArraySlice<UInt8>) throws(DNSMessage.Failure) -> [UInt8] {
    var rest = data
    var joined: [UInt8] = []
    while let length = rest.popFirst() {
      guard rest.count >= Int(length) else { throw failure("a string is cut off") }
      joined += rest.prefix(Int(length))
      rest = rest.dropFirst(Int(length))
    }
    return joined
  }

  mutating func name() throws(DNSMessage.Failure) -> DNSMessage.Name { try name(at: &offset) }

  /// RFC 1035 §3.1 and §4.1.4. Leaves `position` behind the name in place.
  private func name(at position: inout Int) throws(DNSMessage.Failure) -> DNSMessage.Name {
    var name: DNSMessage.Name = []
    var cursor = position
    // Each pointer must lead to before the start of the run of labels that it ends: no loops.
    var runStart = position
    var hasJumped = false
    while true {
      guard cursor < bytes.count else { throw failure("a name is cut off") }
      let length = Int(bytes[cursor])
      switch length >> 6 {
      case 0:
        guard bytes.count - cursor > length else { throw failure("a name is cut off") }
        guard name.count + length + 1 <= 255 else { throw failure("a name is over 255 bytes") }
        name += bytes[cursor...(cursor + length)].map {
          (0x41...0x5a).contains($0) ? $0 | 0x20 : $0
        }
        cursor += length + 1
        if !hasJumped { position = cursor }
        if length == 0 { return name }
      case 3:
        guard bytes.count - cursor >= 2 else { throw failure("a name is cut off") }
        let target = (length & 0x3f) << 8 | Int(bytes[cursor + 1])
        guard target < runStart else { throw failure("a name points forwards") }
        if !hasJumped { position = cursor + 2 }
        hasJumped = true
        runStart = target
        cursor = target
      default: throw failure("a label of an unknown kind")
      }
    }
  }

  private func failure(_ reason: String) -> DNSMessage.Failure {
    DNSMessage.Failure(offset: offset, reason: reason)
  }
}
