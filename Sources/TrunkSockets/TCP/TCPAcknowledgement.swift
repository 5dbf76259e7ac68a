// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// What the kernel knows of a TCP peer (RFC 9293 §3.8: all data is acknowledged by the peer's kernel, also
/// while its program does nothing). Times in nanoseconds.
package struct TCPAcknowledgement: Sendable, Hashable {
  /// Data was sent and is not acknowledged.
  package var isAwaited: Bool
  /// Since the last acknowledgement.
  package var sinceLast: UInt64
  /// Smoothed (RFC 6298 §2).
  package var roundTrip: UInt64

  package init(isAwaited: Bool, sinceLast: UInt64, roundTrip: UInt64) {
    self.isAwaited = isAwaited
    self.sinceLast = sinceLast
    self.roundTrip = roundTrip
  }
}
