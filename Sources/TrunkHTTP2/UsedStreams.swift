// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// The streams that a server's client may not use any more: nghttp2 drops a stream's state when it
/// is closed (`no_closed_streams`). A value of fixed size.
///
/// ```
///   new ──► open ──► closed after the client's END_STREAM or RST_STREAM: 16 of the newest are kept
///     └──► passed over by a higher one: the newest gap is kept (RFC 9113 §5.1.1)
/// ```
/// A stream that the server reset on its own is not kept: frames under way for it must be ignored
/// (RFC 9113 §5.1).
struct UsedStreams: Sendable {
  /// Each stream has a slot, shared with the one sixteen streams (32 numbers) before. 0 is no
  /// stream of a request.
  private var closed = InlineArray<16, UInt32>(repeating: 0)
  /// The lowest stream that the client has neither used nor passed over.
  private var next: UInt32 = 1
  /// The newest streams that were passed over, the last one excepted.
  private var gap: Range<UInt32> = 0..<0

  /// The client has ended or reset the stream, and it is closed.
  mutating func close(_ stream: UInt32) {
    closed[Int(stream >> 1 & 15)] = stream
  }

  /// HEADERS: of a new stream, or trailers of one that is open.
  /// - Returns: the violation, if it is one.
  @inline(__always)
  mutating func headers(_ stream: UInt32) -> FrameCounter.Violation? {
    if stream == next {
      next &+= 2
      return nil
    }
    // Even ones are refused by nghttp2.
    guard stream > next else { return use(stream) }
    gap = next..<stream
    next = stream | 1
    next &+= 2
    return nil
  }

  /// DATA, or HEADERS of a stream that is not new.
  /// - Returns: the violation, if it is one.
  @inline(__always)
  func use(_ stream: UInt32) -> FrameCounter.Violation? {
    if closed[Int(stream >> 1 & 15)] != stream, !gap.contains(stream) { return nil }
    // Stream 0 is not tracked: nghttp2 refuses it.
    if stream == 0 { return nil }
    return gap.contains(stream) ? .passedOverStream(stream) : .closedStream(stream)
  }
}
