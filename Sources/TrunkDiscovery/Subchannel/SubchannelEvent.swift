// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// Input of a subchannel.
package enum SubchannelEvent: Sendable, Hashable {
  /// The policy wants a connection. During back-off it is kept until the back-off ends.
  case connect
  /// New addresses: a READY connection stays if its address is still listed.
  case update(Endpoint)
  /// The attempt's connection can be used: the server's SETTINGS arrived, not just TCP or TLS
  /// (connection-backoff.md).
  case ready(id: UInt32)
  /// The attempt failed or its deadline passed. One line: "connection refused".
  case failed(id: UInt32, error: String)
  /// The connection takes no more calls: it failed, or a GOAWAY came. `error` is nil for the
  /// latter.
  case ended(id: UInt32, error: String?, use: ConnectionUse)
  /// A connection that had ended as `.undecided` has answered a call, or is closed without an
  /// answer.
  case decided(id: UInt32, answered: Bool)
  /// The time of the last `.timer` has passed (an early or stale one changes nothing).
  case timer
  /// Whether calls are queued because no connection has a stream for them (gRFC A105). Sent anew after
  /// a connection has joined, if that had too few.
  case streamsWanted(Bool)
  /// How many connections the subchannel may have; 1 before the first of these. Those that are
  /// there stay.
  case maximumConnections(Int)
  /// The network changed: try again now (connection-backoff.md).
  case resetBackoff
  case close
}

/// What a connection had done for its calls when it stopped taking new ones.
package enum ConnectionUse: Sendable, Hashable {
  /// A call was answered (a HEADERS frame of the server).
  case answered
  /// Calls that the server has accepted are under way, none has an answer yet.
  case undecided
  /// Calls were sent, none was answered, and none will be.
  case unanswered
  /// No call was sent.
  case unused
}
