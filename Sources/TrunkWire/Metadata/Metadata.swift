// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// The name-value pairs of a call: ASCII text, or bytes under a name that ends in `-bin`.
///
/// Names are case-insensitive and kept in lower case; a name may repeat, and order is kept
/// (PROTOCOL-HTTP2.md, Custom-Metadata). Nothing is checked when a pair is added; a call with a
/// name or value that HTTP/2 cannot carry, or a reserved name (most of `grpc-…`, `:…`, `te`,
/// `content-type`, `user-agent`, `host`, …; docs/metadata.md has the table), fails with INTERNAL
/// and a message that names it, before anything is sent. Received metadata can be sent on
/// unchanged.
public struct Metadata: Sendable, Hashable {
  // Pairs are stored one after the other in wire form: two bytes of name length, four of value
  // length (big endian), name, value. One allocation for any number of pairs, none without; Strings
  // are made on access only.
  /// The number of pairs.
  @usableFromInline package var storage: [UInt8] = []
  public private(set) var count = 0

  /// Empty.
  @inlinable public init() {}

  /// Whether there is no pair.
  @inlinable public var isEmpty: Bool { storage.isEmpty }

  /// The first value of a text name, nil if there is none. Setting replaces all values of the name.
  public subscript(name: String) -> String? {
    get { first(name).map { String(decoding: $0, as: UTF8.self) } }
    set {
      removeAll(named: name)
      if let newValue { add(newValue, for: name) }
    }
  }

  /// All values of a text name, in order.
  public subscript(all name: String) -> [String] {
    var values: [String] = []
    forEachWire { key, value in
      if Metadata.equal(key, name) { values.append(String(decoding: value, as: UTF8.self)) }
    }
    return values
  }

  /// All values of a `-bin` name as bytes, in order; values joined by commas are split
  /// (PROTOCOL-HTTP2.md, Custom-Metadata). Values that are not base64 are left out.
  public subscript(binary name: String) -> [[UInt8]] {
    var values: [[UInt8]] = []
    forEachWire { key, value in
      guard Metadata.equal(key, name) else { return }
      for part in value.split(separator: UInt8(ascii: ","), omittingEmptySubsequences: false) {
        if let bytes = Base64.decode(UnsafeRawBufferPointer(rebasing: part)) {
          values.append(bytes)
        }
      }
    }
    return values
  }

  /// Adds a text value: printable ASCII (0x20...0x7E), without spaces at its edges, which HTTP does
  /// not keep (RFC 9110 §5.5). Other characters are sent as UTF-8, which peers may refuse.
  public mutating func add(_ value: String, for name: String) {
    var name = name.lowercased()
    var value = value
    name.withUTF8 { n in
      value.withUTF8 { v in append(UnsafeRawBufferPointer(n), UnsafeRawBufferPointer(v)) }
    }
  }

  /// Adds a value of any bytes; `name` must end in `-bin`, else a call with it fails with INTERNAL
  /// and a message that names it. Sent as unpadded base64.
  public mutating func add(binary value: [UInt8], for name: String) {
    let isBinary = name.lowercased().hasSuffix("-bin")
    add((isBinary ? "" : Metadata.misnamedMark) + Base64.encode(value), for: name)
  }

  /// Precedes the base64 under a name that is not binary: no value can be sent with it, whereas a
  /// peer would read the base64 as text.
  static let misnamedMark = "\0"

  /// Removes all values of a name, text or binary.
  public mutating func removeAll(named name: String) {
    guard !isEmpty else { return }
    var kept = Metadata()
    forEachWire { key, value in
      if !Metadata.equal(key, name) { kept.append(key, value) }
    }
    self = kept
  }

  /// Appends all pairs, in order; repeated names are kept.
  public mutating func append(contentsOf other: Metadata) {
    storage.append(contentsOf: other.storage)
    count += other.count
  }
}

extension Metadata: Sequence {
  /// Pairs in wire form (`-bin` values as base64), in order.
  public struct Iterator: IteratorProtocol {
    let storage: [UInt8]
    var offset = 0

    /// The next name and value; nil after the last pair.
    public mutating func next() -> (name: String, value: String)? {
      guard let pair = Metadata.pair(in: storage, at: offset) else { return nil }
      offset = pair.value.upperBound
      return (
        String(decoding: storage[pair.name], as: UTF8.self),
        String(decoding: storage[pair.value], as: UTF8.self)
      )
    }
  }
  public func makeIterator() -> Iterator { Iterator(storage: storage) }
}

extension Metadata: ExpressibleByDictionaryLiteral {
  /// Pairs in order; a name may repeat.
  public init(dictionaryLiteral pairs: (String, String)...) {
    for (name, value) in pairs { add(value, for: name) }
  }
}

extension Metadata: CustomStringConvertible {
  public var description: String { map { "\($0.name): \($0.value)" }.joined(separator: ", ") }
}

// MARK: - Wire form

extension Metadata {
  /// Appends a received pair in wire form; `name` already in lower case (RFC 9113 §8.2.1).
  package mutating func append(_ name: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) {
    // A name is at most 64 KiB - 1 long, which is more than can be sent: a longer one is cut here,
    // and refused with its size later.
    let name = UnsafeRawBufferPointer(rebasing: name.prefix(0xffff))
    let value = UnsafeRawBufferPointer(rebasing: value.prefix(0x7fff_ffff))
    let needed = storage.count + 6 + name.count + value.count
    if needed > storage.capacity {
      // Doubled: reserving the exact size for each pair would copy everything each time.
      storage.reserveCapacity(Swift.max(needed, storage.capacity * 2))
    }
    storage.append(UInt8(truncatingIfNeeded: name.count >> 8))
    storage.append(UInt8(truncatingIfNeeded: name.count))
    for shift in stride(from: 24, through: 0, by: -8) {
      storage.append(UInt8(truncatingIfNeeded: value.count >> shift))
    }
    storage.append(contentsOf: name)
    storage.append(contentsOf: value)
    count += 1
  }

  /// Visits every pair without making Strings. The buffers are valid during the call only.
  package func forEachWire(
    _ body: (_ name: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) -> Void
  ) {
    storage.withUnsafeBytes { all in
      var offset = 0
      while let pair = Metadata.pair(in: all, at: offset) {
        body(
          UnsafeRawBufferPointer(rebasing: all[pair.name]),
          UnsafeRawBufferPointer(rebasing: all[pair.value]))
        offset = pair.value.upperBound
      }
    }
  }

  /// The first value of `name` in wire form.
  private func first(_ name: String) -> [UInt8]? {
    var found: [UInt8]?
    forEachWire { key, value in
      if found == nil, Metadata.equal(key, name) { found = Array(value) }
    }
    return found
  }

  private static func pair(
    in bytes: some RandomAccessCollection<UInt8>, at offset: Int
  ) -> (name: Range<Int>, value: Range<Int>)? {
    guard bytes.count - offset >= 6 else { return nil }
    func byte(_ i: Int) -> Int { Int(bytes[bytes.index(bytes.startIndex, offsetBy: offset + i)]) }
    let nameLength = byte(0) << 8 | byte(1)
    let valueLength = byte(2) << 24 | byte(3) << 16 | byte(4) << 8 | byte(5)
    let nameStart = offset + 6
    let valueStart = nameStart + nameLength
    return (nameStart..<valueStart, valueStart..<(valueStart + valueLength))
  }

  private static func equal(_ key: UnsafeRawBufferPointer, _ name: String) -> Bool {
    var name = name
    return name.withUTF8 { bytes in
      guard key.count == bytes.count else { return false }
      for i in 0..<bytes.count {
        let byte = bytes[i]
        let lower = (0x41...0x5a).contains(byte) ? byte | 0x20 : byte
        if key[i] != lower { return false }
      }
      return true
    }
  }
}
