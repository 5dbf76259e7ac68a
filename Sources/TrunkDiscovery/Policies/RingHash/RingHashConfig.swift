// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

extension RingHash {
  /// `{"minRingSize": 1024, "maxRingSize": 4096, "requestHashHeader": "x-user"}`
  package struct Config: Sendable, Hashable {
    /// Of the ring in entries, the channel's cap applied.
    var sizes = 1024...RingHash.defaultCap
    /// The metadata whose value places a call on the ring, in lower case; empty: random places.
    var header: [UInt8] = []
  }

  /// No ring has more entries, unless `ChannelOptions.maxRingSize` raises it.
  package static let defaultCap = 4096
  /// The largest size that a config or a channel may name (gRFC A42: 8 Mi).
  package static let maximumCap = 8 << 20

  package static func parse(_ json: [UInt8]) throws(ServiceConfigError) -> Config {
    try parse(json, policies: BalancerRegistry())
  }
  package static func parse(
    _ json: [UInt8], policies: BalancerRegistry
  ) throws(ServiceConfigError) -> Config {
    let fields = try JSONReader(JSONValue(parsing: json), path: name)
    let least = try fields.integer("minRingSize", in: 1...maximumCap) ?? 1024
    let most = try fields.integer("maxRingSize", in: 1...maximumCap) ?? maximumCap
    guard least <= most else {
      throw fields.error("minRingSize", "\(least) is larger than maxRingSize, \(most)")
    }
    let cap = min(max(policies.maxRingSize, 1), maximumCap)
    return Config(sizes: min(least, cap)...min(most, cap), header: try header(fields))
  }

  private static func header(_ fields: JSONReader) throws(ServiceConfigError) -> [UInt8] {
    let name = try fields.string("requestHashHeader") ?? ""
    let header = Array(name.lowercased().utf8)
    // RFC 9110 §5.6.2: token.
    let isToken = header.allSatisfy {
      (0x30...0x39).contains($0) || (0x61...0x7a).contains($0)
        || "!#$%&'*+-.^_`|~".utf8.contains($0)
    }
    guard isToken else {
      throw fields.error("requestHashHeader", "\"\(name)\" is no header name")
    }
    guard !name.lowercased().hasSuffix("-bin") else {
      throw fields.error("requestHashHeader", "\"\(name)\" is binary; a text header is needed")
    }
    return header
  }
}
