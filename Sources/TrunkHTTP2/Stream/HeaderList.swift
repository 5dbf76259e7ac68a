// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import CNGHTTP2
package import TrunkWire

/// A header block to send, in nghttp2's form. One per session, made with its first block and reused
/// for every further one: nghttp2 copies what is not static.
public struct HeaderList: ~Copyable {
  private var fields = HeaderList.none
  private var capacity = 0
  private(set) var count = 0
  /// The size of this block under the peer's limit: names, values, and 32 for each field (RFC 9113
  /// §10.5.1). Computed on access: most blocks do not need it.
  package var size: Int {
    (0..<count).reduce(0) { $0 + fields[$1].namelen + fields[$1].valuelen + 32 }
  }
  // Bytes that are neither static nor owned by the caller for the length of the call. Chunks, so
  // that pointers into them stay valid while more is added.
  private var arena: [UnsafeMutableRawBufferPointer] = []

  /// For an empty block; never read or written.
  nonisolated(unsafe) private static let none = UnsafeMutablePointer<nghttp2_nv>.allocate(
    capacity: 1)
  private static let firstCapacity = 8

  init() {}

  deinit {
    if capacity > 0 { fields.deallocate() }
    for chunk in arena { chunk.deallocate() }
  }

  package mutating func removeAll() {
    count = 0
    for chunk in arena { chunk.deallocate() }
    arena.removeAll(keepingCapacity: true)
  }

  /// Both are in the program's text and are referenced, not copied.
  package mutating func add(_ name: StaticString, _ value: StaticString) {
    append(
      name.utf8Start, name.utf8CodeUnitCount, value.utf8Start, value.utf8CodeUnitCount,
      UInt8(NGHTTP2_NV_FLAG_NO_COPY_NAME.rawValue | NGHTTP2_NV_FLAG_NO_COPY_VALUE.rawValue))
  }

  package mutating func add(_ name: StaticString, _ value: [UInt8]) {
    let chunk = keep(value)
    append(
      name.utf8Start, name.utf8CodeUnitCount, chunk, value.count,
      UInt8(NGHTTP2_NV_FLAG_NO_COPY_NAME.rawValue))
  }

  package mutating func add(_ metadata: Metadata) {
    guard !metadata.isEmpty else { return }
    metadata.forEachWire { name, value in
      append(keep(name), name.count, keep(value), value.count, UInt8(NGHTTP2_NV_FLAG_NONE.rawValue))
    }
  }

  func withFields<R>(_ body: (UnsafeMutablePointer<nghttp2_nv>, Int) -> R) -> R {
    body(fields, count)
  }

  private mutating func keep(_ bytes: [UInt8]) -> UnsafePointer<UInt8> {
    bytes.withUnsafeBytes { keep($0) }
  }

  private mutating func keep(_ bytes: UnsafeRawBufferPointer) -> UnsafePointer<UInt8> {
    let chunk = UnsafeMutableRawBufferPointer.allocate(byteCount: max(1, bytes.count), alignment: 1)
    chunk.copyMemory(from: bytes)
    arena.append(chunk)
    return UnsafePointer(chunk.bindMemory(to: UInt8.self).baseAddress ?? fallback)
  }
  private var fallback: UnsafeMutablePointer<UInt8> {
    UnsafeMutableRawPointer(fields).assumingMemoryBound(to: UInt8.self)
  }

  private mutating func append(
    _ name: UnsafePointer<UInt8>, _ nameLength: Int, _ value: UnsafePointer<UInt8>,
    _ valueLength: Int, _ flags: UInt8
  ) {
    if count == capacity {
      let more = max(HeaderList.firstCapacity, capacity * 2)
      let larger = UnsafeMutablePointer<nghttp2_nv>.allocate(capacity: more)
      larger.moveInitialize(from: fields, count: count)
      if capacity > 0 { fields.deallocate() }
      fields = larger
      capacity = more
    }
    // nghttp2's C interface takes mutable pointers and writes to none of them.
    (fields + count).initialize(
      to: nghttp2_nv(
        name: UnsafeMutablePointer(mutating: name), value: UnsafeMutablePointer(mutating: value),
        namelen: nameLength, valuelen: valueLength, flags: flags))
    count += 1
  }
}
