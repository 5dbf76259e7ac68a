// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// What a server remembers of the streams that its client may not use any more: nghttp2 forgets a
/// stream when it is closed (`no_closed_streams`). A value of fixed size, whatever the client does.
///
/// ```
///   new ──► open ──► closed behind the client's END_STREAM or RST_STREAM: 16 of the newest are kept
///     └──► passed over by a higher one: the newest gap is kept (RFC 9113 §5.1.1)
/// ```
/// A stream that the server reset on its own is not remembered: what was under way for it has to be
/// ignored (RFC 9113 §5.1).
struct UsedStreams: Sendable {
  /// Each stream has its place, and takes it over from the one sixteen streams (32 numbers) before.
  /// 0 is no stream of a request.
  private var closed = InlineArray<16, UInt32>(repeating: 0)
  /// The lowest stream that the client has not used or passed over.
  private var next: UInt32 = 1
  /// The newest streams that were passed over, the last one not among them.
  private var gap: Range<UInt32> = 0..<0

  /// The client has ended or reset the stream, and it is closed.
  mutating func close(_ stream: UInt32) {
    closed[Int(stream >> 1 & 15)] = stream
  }

  /// HEADERS: of a new stream, or trailers of one that is open.
  /// - Returns: what is wrong with it.
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
  /// - Returns: what is wrong with it.
  @inline(__always)
  func use(_ stream: UInt32) -> FrameCounter.Violation? {
    if closed[Int(stream >> 1 & 15)] != stream, !gap.contains(stream) { return nil }
    // Nothing is known of stream 0: nghttp2 refuses it.
    if stream == 0 { return nil }
    return gap.contains(stream) ? .passedOverStream(stream) : .closedStream(stream)
  }
}
