// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// Reads the frame headers of a client before nghttp2 gets the bytes: frames that nghttp2 ignores
/// silently (unknown types, PRIORITY, empty DATA) cannot be counted otherwise. A value.
///
/// ```
///   preface ── 24 bytes ──► head ── 9 bytes ──► payload ── length bytes ──► head …
/// ```
/// Broken framing is detected by nghttp2. Violations that it accepts are detected here: PRIORITY on
/// stream 0 (RFC 9113 §6.3), which it ignores once RFC 7540's priorities are off, and HEADERS and
/// DATA on streams that it has no state of any more (``UsedStreams``).
package struct FrameCounter: Sendable {
  /// The frames of the bytes since the last call.
  package struct Counts: Sendable, Hashable {
    /// Frames that are legal and without content: empty DATA without END_STREAM, PRIORITY,
    /// SETTINGS, unknown types.
    package var idleFrames = 0
    package var windowUpdates = 0
    /// Frame headers of any type.
    package var frames = 0
    /// The first frame that ends the connection.
    package var violation: Violation?
  }

  /// A frame that nghttp2 accepts and that is a connection error.
  package enum Violation: Sendable, Hashable {
    case priorityOnConnection
    /// HEADERS or DATA on a closed stream that the client had ended or reset (RFC 9113 §5.1).
    case closedStream(UInt32)
    /// HEADERS or DATA on a stream below one that was opened before it (RFC 9113 §5.1.1).
    case passedOverStream(UInt32)
  }

  /// A header block has begun and has not ended.
  package var isInHeaderBlock: Bool { blockOpen }
  /// Counts header blocks, so that a caller can check later whether it is still the same one.
  package private(set) var headerBlocks: UInt64 = 0

  private var prefaceLeft = 24
  private var head: UInt64 = 0
  /// Of the frame whose head was read last, with the reserved bit.
  private var stream: UInt32 = 0
  private var type: UInt8 = 0
  private var headCount = 0
  private var stage = Stage.head
  private var payloadLeft = 0
  private var blockOpen = false
  private var blockEndsHere = false
  /// The length of a padded DATA frame without END_STREAM, whose first byte shows whether it is all
  /// padding.
  private var paddedLength: Int?
  private var used = UsedStreams()
  private enum Stage { case head, payload }

  package init() {}

  /// A stream that the client had ended is closed.
  package mutating func closed(_ stream: UInt32) { used.close(stream) }

  package mutating func scan(_ bytes: UnsafeRawBufferPointer, _ counts: inout Counts) {
    var offset = 0
    if prefaceLeft > 0 {
      offset = min(prefaceLeft, bytes.count)
      prefaceLeft -= offset
    }
    while offset < bytes.count {
      switch stage {
      case .head where headCount == 0 && bytes.count - offset >= 9:
        // Nine bytes: length (3), type, flags, stream (4).
        head = UInt64(bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self).bigEndian >> 24)
        stream = bytes.loadUnaligned(fromByteOffset: offset + 5, as: UInt32.self).bigEndian
        offset += 9
        begin(&counts)
      case .head:
        if headCount < 5 {
          head = head << 8 | UInt64(bytes[offset])
        } else {
          stream = stream << 8 | UInt32(bytes[offset])
        }
        headCount += 1
        offset += 1
        if headCount == 9 { begin(&counts) }
      case .payload:
        if let length = paddedLength {
          paddedLength = nil
          if Int(bytes[offset]) + 1 >= length { counts.idleFrames += 1 }
        }
        let count = min(payloadLeft, bytes.count - offset)
        payloadLeft -= count
        offset += count
        if payloadLeft == 0 { end() }
      }
    }
  }

  private mutating func begin(_ counts: inout Counts) {
    let length = Int(head >> 16 & 0xff_ffff)
    let flags = UInt8(truncatingIfNeeded: head)
    type = UInt8(truncatingIfNeeded: head >> 8)
    head = 0
    headCount = 0
    payloadLeft = length
    counts.frames += 1
    stream &= 0x7fff_ffff  // the first bit is reserved
    switch type {
    case 0x0:  // DATA; END_STREAM is 1, PADDED is 8
      if let violation = used.use(stream) { note(violation, &counts) }
      if flags & 1 == 0 {
        if length == 0 {
          counts.idleFrames += 1
        } else if flags & 8 != 0 {
          paddedLength = length
        }
      }
    case 0x1, 0x9:  // HEADERS, CONTINUATION; END_HEADERS is 4
      if type == 1 {
        headerBlocks &+= 1
        if let violation = used.headers(stream) { note(violation, &counts) }
      }
      blockOpen = true
      blockEndsHere = flags & 4 != 0
    case 0x2:  // PRIORITY
      counts.idleFrames += 1
      if stream == 0 { note(.priorityOnConnection, &counts) }
    case 0x3: used.close(stream)  // RST_STREAM, PING and GOAWAY have limits of their own
    case 0x6, 0x7: break
    case 0x8: counts.windowUpdates += 1
    default: counts.idleFrames += 1
    }
    stage = .payload
    if payloadLeft == 0 { end() }
  }

  private func note(_ violation: Violation, _ counts: inout Counts) {
    if counts.violation == nil { counts.violation = violation }
  }

  private mutating func end() {
    stage = .head
    if type == 1 || type == 9, blockEndsHere { blockOpen = false }
  }
}

extension FrameCounter.Violation {
  package var code: UInt32 {
    switch self {
    case .priorityOnConnection, .passedOverStream: HTTP2ErrorCode.protocolError
    case .closedStream: HTTP2ErrorCode.streamClosed
    }
  }

  /// The debug text of the GOAWAY, in nghttp2's form.
  package var text: String {
    switch self {
    case .priorityOnConnection: "PRIORITY: stream_id == 0"
    case .closedStream(let stream): "stream \(stream) is closed"
    case .passedOverStream(let stream): "stream \(stream) was passed over"
    }
  }
}
