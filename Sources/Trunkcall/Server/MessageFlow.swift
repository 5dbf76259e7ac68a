// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import DequeModule
internal import TrunkHTTP2

/// The state that a stream of messages needs and a unary call does not.
final class MessageFlow {
  @exclusivity(unchecked) var inbox = Deque<ReceivedMessage>()
  @exclusivity(unchecked) var reading = StreamWaiter<Inbound>()

  /// No message is buffered, and no read waits.
  var isIdle: Bool { inbox.isEmpty && !reading.isWaiting }
}
