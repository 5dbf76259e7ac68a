// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// Splits a stream of bytes into gRPC messages (PROTOCOL-HTTP2.md, Length-Prefixed-Message).
///
/// ```
///            5 bytes                     length bytes
///  ┌ prefix ───────────────────┐   ┌ payload ───────────┐
///  │ flag 0|1 │ length, 32 bit │──►│ never pre-allocated│──► deliver ──► prefix …
///  └───────────────────────────┘   └────────────────────┘
///        │ flag > 1, length > limit
///        ▼
///      failed (for good: every later `receive` throws the same error)
/// ```
/// 1. Message boundaries are independent of DATA frames: any split gives the same messages.
/// 2. A length is not trusted. Memory grows with the received bytes, at most twice over; eight
///    times where no more than 128 KiB are announced, so that received bytes are not copied
///    repeatedly.
/// 3. A message that is whole in one chunk costs exactly one allocation, an empty one none.
package struct MessageReader {
  // 22 bytes: every stream has one.
  // The received part of the prefix: byte n of it is in bits 8(4-n)..., `prefixCount` of 5 are
  // there.
  private var prefix: UInt64 = 0
  // The payload under way; its length is known once the prefix is complete.
  private var payload: [UInt8] = []
  private let largest: UInt32
  private var prefixCount: UInt8 = 0
  private var hasFailed = false
  private static let whole = UInt8(MessageFrame.prefixLength)
  private static let lenientLength = 128 * 1024

  /// - Parameter limit: Largest payload taken, in bytes as they are on the wire (before any
  ///   decompression).
  package init(limit: Int) {
    largest = UInt32(clamping: limit)
  }

  package var limit: Int { Int(largest) }

  /// Whether bytes of an unfinished message were received: an end of stream now would truncate it.
  package var isMidMessage: Bool { prefixCount > 0 }

  /// Payload bytes held for the unfinished message.
  package var buffered: Int { payload.count }

  /// Bytes allocated for it; for tests of rule 2.
  var capacity: Int { payload.capacity }

  /// Takes the next bytes of the stream and delivers every message that they complete, in order.
  ///
  /// `deliver` must not call this reader. Messages delivered before an error are valid.
  package mutating func receive(
    _ bytes: UnsafeRawBufferPointer, _ deliver: (_ payload: [UInt8], _ compressed: Bool) -> Void
  ) throws(FramingError) {
    if hasFailed { throw failure }
    var offset = 0
    while offset < bytes.count {
      if prefixCount < MessageReader.whole {
        readPrefix(bytes, &offset)
        guard prefixCount == MessageReader.whole else { return }
        try checkPrefix()
      }
      let missing = length - payload.count
      let available = bytes.count - offset
      if missing > available {
        keep(UnsafeRawBufferPointer(rebasing: bytes[offset...]))
        return
      }
      let rest = UnsafeRawBufferPointer(rebasing: bytes[offset..<(offset + missing)])
      offset += missing
      finish(rest, deliver)
    }
  }

  private var flag: UInt8 { UInt8(truncatingIfNeeded: prefix >> 32) }
  private var length: Int { Int(prefix & 0xffff_ffff) }

  private mutating func readPrefix(_ bytes: UnsafeRawBufferPointer, _ offset: inout Int) {
    if prefixCount == 0, bytes.count - offset >= MessageFrame.prefixLength {
      let length = bytes.loadUnaligned(fromByteOffset: offset + 1, as: UInt32.self).bigEndian
      prefix = UInt64(bytes[offset]) << 32 | UInt64(length)
      prefixCount = MessageReader.whole
      offset += MessageFrame.prefixLength
      return
    }
    while prefixCount < MessageReader.whole, offset < bytes.count {
      prefix = prefix << 8 | UInt64(bytes[offset])
      prefixCount += 1
      offset += 1
    }
  }

  private mutating func checkPrefix() throws(FramingError) {
    if flag <= 1 && length <= limit { return }
    hasFailed = true
    payload = []
    throw failure
  }

  /// The fault in the prefix, which is kept.
  private var failure: FramingError {
    flag > 1 ? .badFlag(flag) : .tooLarge(size: length, limit: limit)
  }

  /// Holds the bytes of a message that continues in a later chunk.
  private mutating func keep(_ bytes: UnsafeRawBufferPointer) {
    let needed = payload.count + bytes.count
    if needed > payload.capacity {
      // Cut at the message's end: rule 2 holds, and the last growth has no spare room.
      let factor = length <= MessageReader.lenientLength ? 8 : 2
      payload.reserveCapacity(min(length, needed * factor))
    }
    payload.append(contentsOf: bytes)
  }

  private mutating func finish(
    _ rest: UnsafeRawBufferPointer, _ deliver: (_ payload: [UInt8], _ compressed: Bool) -> Void
  ) {
    let compressed = flag == 1
    let whole: [UInt8]
    if payload.isEmpty {
      whole = Array(rest)
    } else {
      keep(rest)
      whole = payload
      payload = []
    }
    prefix = 0
    prefixCount = 0
    deliver(whole, compressed)
  }
}

/// A fault in a stream of length-prefixed messages, after which it cannot be read.
package enum FramingError: Error, Equatable {
  /// The prefix announces `size` bytes.
  case tooLarge(size: Int, limit: Int)
  /// A compressed flag other than 0 and 1.
  case badFlag(UInt8)

  /// The status for the call (statuscodes.md): over a limit is RESOURCE_EXHAUSTED, a framing
  /// violation INTERNAL.
  package var rpcError: RPCError {
    switch self {
    case .tooLarge(let size, let limit):
      RPCError(
        .resourceExhausted,
        "received message of \(size) bytes is larger than the limit of \(limit) bytes")
    case .badFlag(let flag):
      RPCError(.internal, "received message with compressed flag \(flag); only 0 and 1 are defined")
    }
  }
}
