// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import CNGHTTP2

/// Decodes HPACK blocks without a session: for peers that send single frames.
package final class HeaderInflater {
  package struct Failure: Error {}

  private let pointer: OpaquePointer

  package init() throws {
    var pointer: OpaquePointer?
    guard nghttp2_hd_inflate_new(&pointer) == 0, let pointer else { throw Failure() }
    self.pointer = pointer
  }

  deinit { nghttp2_hd_inflate_del(pointer) }

  /// A whole header block; blocks must come in the order in which they were received.
  package func inflate(_ block: [UInt8]) throws -> [(name: [UInt8], value: [UInt8])] {
    var fields: [(name: [UInt8], value: [UInt8])] = []
    var offset = 0
    while true {
      var field = nghttp2_nv()
      var flags: Int32 = 0
      let used = block.withUnsafeBufferPointer {
        nghttp2_hd_inflate_hd2(
          pointer, &field, &flags, $0.baseAddress.map { $0 + offset }, block.count - offset, 1)
      }
      guard used >= 0 else { throw Failure() }
      offset += used
      if flags & Int32(NGHTTP2_HD_INFLATE_EMIT.rawValue) != 0 {
        fields.append((bytes(field.name, field.namelen), bytes(field.value, field.valuelen)))
      }
      if flags & Int32(NGHTTP2_HD_INFLATE_FINAL.rawValue) != 0 { break }
      if flags & Int32(NGHTTP2_HD_INFLATE_EMIT.rawValue) == 0, offset == block.count { break }
    }
    nghttp2_hd_inflate_end_headers(pointer)
    return fields
  }

  private func bytes(_ start: UnsafeMutablePointer<UInt8>?, _ count: Int) -> [UInt8] {
    Array(UnsafeBufferPointer(start: start, count: count))
  }
}
