// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// How the messages of one direction of a call are compressed: the value of `grpc-encoding`
/// (compression.md).
///
/// Each message is compressed on its own, without a dictionary of earlier ones.
public enum Compression: String, Sendable, Hashable, CaseIterable {
  /// No compression; the default everywhere.
  case identity
  /// RFC 1952.
  case gzip
  /// Deflate in zlib's wrapping (RFC 1950), as by gRPC's compression.md.
  case deflate
}

extension Compression: CustomStringConvertible {
  /// As on the wire.
  public var description: String { rawValue }
}

extension Compression {
  /// For atomic variables.
  package var code: UInt8 {
    switch self {
    case .identity: 0
    case .gzip: 1
    case .deflate: 2
    }
  }

  package init(code: UInt8) {
    switch code {
    case 1: self = .gzip
    case 2: self = .deflate
    default: self = .identity
    }
  }

  /// From the bytes of `grpc-encoding`; nil for a name that this library does not know.
  package init?(wire name: UnsafeRawBufferPointer) {
    if name.equals("identity") {
      self = .identity
    } else if name.equals("gzip") {
      self = .gzip
    } else if name.equals("deflate") {
      self = .deflate
    } else {
      return nil
    }
  }

  /// As on the wire.
  package var wireName: StaticString {
    switch self {
    case .identity: "identity"
    case .gzip: "gzip"
    case .deflate: "deflate"
    }
  }
}

/// A set of algorithms that one side accepts: the value of `grpc-accept-encoding`. `identity` is
/// always accepted.
public struct CompressionSet: OptionSet, Sendable, Hashable {
  /// One bit for each algorithm; `identity` has none.
  public let rawValue: UInt8
  /// Unknown bits are kept and have no effect.
  public init(rawValue: UInt8) { self.rawValue = rawValue }

  /// RFC 1952.
  public static let gzip = CompressionSet(rawValue: 1)
  /// RFC 1950.
  public static let deflate = CompressionSet(rawValue: 2)
  /// All algorithms of this library.
  public static let all: CompressionSet = [.gzip, .deflate]

  /// Whether `compression` is in the set; true for `identity`.
  public func accepts(_ compression: Compression) -> Bool {
    switch compression {
    case .identity: true
    case .gzip: contains(.gzip)
    case .deflate: contains(.deflate)
    }
  }
}

extension CompressionSet {
  /// From the bytes of `grpc-accept-encoding`: names between commas, with or without spaces.
  /// Unknown names are ignored.
  package init(wire list: UnsafeRawBufferPointer) {
    // The values that this library and C-core send.
    if list.equals("identity,deflate,gzip") || list.equals("identity, deflate, gzip") {
      self = .all
      return
    }
    var set: CompressionSet = []
    for part in list.split(separator: UInt8(ascii: ",")) {
      var name = part[...]
      while name.first == UInt8(ascii: " ") { name = name.dropFirst() }
      while name.last == UInt8(ascii: " ") { name = name.dropLast() }
      switch Compression(wire: UnsafeRawBufferPointer(rebasing: name)) {
      case .gzip: set.insert(.gzip)
      case .deflate: set.insert(.deflate)
      case .identity, nil: break
      }
    }
    self = set
  }

  /// As on the wire.
  package var wireNames: StaticString {
    switch (contains(.deflate), contains(.gzip)) {
    case (true, true): "identity,deflate,gzip"
    case (true, false): "identity,deflate"
    case (false, true): "identity,gzip"
    case (false, false): "identity"
    }
  }
}
