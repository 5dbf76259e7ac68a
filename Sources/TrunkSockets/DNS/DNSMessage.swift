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
    /// SRV (RFC 2782).
    case service(Service)
  }

  /// One server of a service.
  package struct Service: Sendable, Hashable {
    /// Lower ones first.
    package var priority: UInt16
    package var weight: UInt16
    package var port: UInt16
    /// The root alone: the service is not offered.
    package var target: Name

    package init(priority: UInt16, weight: UInt16, port: UInt16, target: Name) {
      self.priority = priority
      self.weight = weight
      self.port = port
      self.target = target
    }
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
    found.compactMap { if case .address(let bytes) = $0.data { bytes } else { nil } }
  }

  /// The texts for the question, its aliases followed.
  package var texts: [[UInt8]] {
    found.compactMap { if case .text(let bytes) = $0.data { bytes } else { nil } }
  }

  /// The servers of the service that is asked for, its aliases followed.
  package var services: [Service] {
    found.compactMap { if case .service(let service) = $0.data { service } else { nil } }
  }

  /// The smallest time to live of what was found, in seconds, aliases included; nil if nothing was.
  package var timeToLive: UInt32? {
    let chain = chain
    guard !chain.found.isEmpty else { return nil }
    return (chain.aliases + chain.found).map(\.effectiveTimeToLive).min()
  }

  private var found: [Record] { chain.found }

  /// A chain of aliases ends after as many steps as there are records: then it is a cycle.
  private var chain: (aliases: [Record], found: [Record]) {
    guard var name = question else { return ([], []) }
    var aliases: [Record] = []
    for _ in 0...answers.count {
      let own = answers.filter { $0.owner == name }
      var next: Name?
      for record in own {
        guard case .alias(let alias) = record.data else { continue }
        next = alias
        aliases.append(record)
      }
      guard let next else { return (aliases, own) }
      name = next
    }
    return ([], [])
  }

  /// A name as text without its last dot, for another question; nil unless it is a host name of
  /// letters, digits, `-` and `_` (RFC 1123 §2.1).
  package static func hostName(_ name: Name) -> String? {
    var labels: [String] = []
    var rest = name[...]
    while let length = rest.popFirst(), length > 0 {
      let label = rest.prefix(Int(length))
      guard
        label.allSatisfy({
          (0x61...0x7a).contains($0) || (0x30...0x39).contains($0) || $0 == 0x2d || $0 == 0x5f
        })
      else { return nil }
      labels.append(String(decoding: label, as: UTF8.self))
      rest = rest.dropFirst(Int(length))
    }
    return labels.isEmpty ? nil : labels.joined(separator: ".")
  }
}

extension DNSMessage.Record {
  /// RFC 2181 §8: one with the highest bit set is 0.
  fileprivate var effectiveTimeToLive: UInt32 { timeToLive > UInt32(Int32.max) ? 0 : timeToLive }
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
    case (33, 7...):
      var position = start + 6
      let fields = [0, 2, 4].map { UInt16(bytes[start + $0]) << 8 | UInt16(bytes[start + $0 + 1]) }
      parsed = .service(
        DNSMessage.Service(
          priority: fields[0], weight: fields[1], port: fields[2], target: try name(at: &position)))
    case (33, _): throw failure("an SRV record of \(length) bytes")
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
