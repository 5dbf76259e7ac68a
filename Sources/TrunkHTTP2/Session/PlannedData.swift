// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import CNGHTTP2

/// A DATA frame whose payload is in its stream's queue: nghttp2 has made its header and counts it,
/// and ``HTTP2Session/drain(now:_:)`` sends it. One copy less than through nghttp2's own buffer.
///
/// ```
///  pull: NO_COPY ─► onSendData: planned, "would block" ─► drain: head and payload to the sink
///                        ▲                                      │
///      settled: 0 ◄──────┴──────────── the same frame again ◄───┘
/// ```
/// Both happen within one `drain`, so that the sent bytes and nghttp2's windows agree. A frame that
/// is planned when the sink returns false is planned anew by the next `drain`, if its stream still
/// exists.
struct PlannedData {
  /// Nine bytes, owned by nghttp2 until the frame is settled.
  let head: UnsafePointer<UInt8>
  let count: Int
  let stream: Unmanaged<HTTP2Stream>
}

extension HTTP2Session {
  /// nghttp2 asks to send a frame whose payload it does not have.
  func onSendData(
    _ head: UnsafePointer<UInt8>, _ count: Int, _ stream: Unmanaged<HTTP2Stream>
  ) -> Int32 {
    if plannedIsOut {
      plannedIsOut = false
      return 0
    }
    planned = PlannedData(head: head, count: count, stream: stream)
    return NGHTTP2_ERR_WOULDBLOCK.rawValue
  }

  func takePlanned() -> PlannedData? {
    defer { planned = nil }
    return planned
  }

  /// - Returns: whether the sink takes more.
  func send(_ data: PlannedData, _ sink: (UnsafeRawBufferPointer) -> Bool) -> Bool {
    var more = sink(UnsafeRawBufferPointer(start: data.head, count: 9))
    data.stream._withUnsafeGuaranteedRef { stream in
      stream.handOver(data.count) { more = sink($0) }
    }
    plannedIsOut = true
    return more
  }
}
