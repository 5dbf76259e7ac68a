// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// What happens to a subchannel.
package enum SubchannelEvent: Sendable, Hashable {
  /// The policy wants a connection. In backoff it is remembered.
  case connect
  /// New addresses: a READY connection stays if its address is still listed.
  case update(Endpoint)
  /// The attempt's connection works: the server's SETTINGS arrived, not just TCP or TLS (5.4).
  case ready(id: UInt32)
  /// The attempt came to nothing, its deadline included. One line: "connection refused".
  case failed(id: UInt32, error: String)
  /// The connection takes no more calls: it broke, or a GOAWAY came. `error` is nil for the latter.
  case ended(id: UInt32, error: String?, use: ConnectionUse)
  /// A connection that had ended as `.undecided` has answered a call, or is closed without an
  /// answer.
  case decided(id: UInt32, answered: Bool)
  /// The time of the last `.timer` has come (an early or stale one changes nothing).
  case timer
  /// The network changed: try again now (5.4).
  case resetBackoff
  case close
}

/// What a connection did for its calls by the time it took no more of them.
package enum ConnectionUse: Sendable, Hashable {
  /// A call got an answer (a HEADERS frame of the server).
  case answered
  /// Calls that the server has accepted are under way, none has an answer yet.
  case undecided
  /// Calls were sent, none was answered, and none will be.
  case unanswered
  /// No call was sent.
  case unused
}
