// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// Writes DNS answers for tests, well-formed and not.
package struct DNSWire {
  package var bytes: [UInt8]

  /// An answer to `question` with no records yet. The name stands at byte 12.
  package init(question: String, type: UInt16, id: UInt16 = 0, responseCode: UInt8 = 0) {
    bytes = DNSWire.big(id) + [0x81, 0x80 | responseCode, 0, 1, 0, 0, 0, 0, 0, 0]
    bytes += DNSWire.name(question) + DNSWire.big(type) + [0, 1]
  }

  package mutating func add(owner: String, type: UInt16, ttl: UInt32 = 60, data: [UInt8]) {
    add(rawOwner: DNSWire.name(owner), type: type, ttl: ttl, data: data)
  }

  package mutating func add(rawOwner: [UInt8], type: UInt16, ttl: UInt32 = 60, data: [UInt8]) {
    let count = Int(bytes[6]) << 8 + Int(bytes[7]) + 1
    bytes[6...7] = DNSWire.big(UInt16(count))[...]
    bytes += rawOwner + DNSWire.big(type) + [0, 1]
    bytes += DNSWire.big(UInt16(ttl >> 16)) + DNSWire.big(UInt16(ttl & 0xffff))
    bytes += DNSWire.big(UInt16(data.count)) + data
  }

  /// The data of an SRV record (RFC 2782).
  package static func service(
    priority: UInt16 = 0, weight: UInt16 = 1, port: UInt16, target: String
  ) -> [UInt8] {
    big(priority) + big(weight) + big(port) + name(target)
  }

  package static func name(_ text: String) -> [UInt8] {
    text.split(separator: ".").flatMap { [UInt8($0.utf8.count)] + Array($0.utf8) } + [0]
  }
  package static func big(_ value: UInt16) -> [UInt8] { [UInt8(value >> 8), UInt8(value & 0xff)] }
}
