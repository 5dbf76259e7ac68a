// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
/// The values that a session announces and enforces (RFC 9113 §6.5.2).
package struct HTTP2Settings: Sendable, Hashable {
  /// Streams that the peer may have open at once; servers only. Default 100.
  package var maxConcurrentStreams: UInt32 = 100
  /// The same before the peer has acknowledged the server's SETTINGS, if that is more: it may not
  /// have read them. Envoy opens this many.
  package static let streamsBeforeSettings: UInt32 = 1_024
  /// Flow-control window of each stream in bytes. Default 1 MiB: 64 KiB cost uploads a factor of
  /// 3.7.
  package var initialWindowSize: Int32 = 1 << 20
  /// Flow-control window of the connection in bytes. Default 4 MiB.
  package var connectionWindowSize: Int32 = 4 << 20
  /// Received bytes that may be unread in all streams of a connection before its window is held
  /// back. Default 4 MiB.
  package var maxBufferedBytes = 4 << 20
  /// Header list in bytes, names and values plus 32 each (RFC 9113 §10.5.1). Default 16 KiB.
  package var maxHeaderListSize = 16 << 10

  package init() {}
}
