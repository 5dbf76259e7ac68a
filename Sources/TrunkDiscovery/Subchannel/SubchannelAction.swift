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

/// What a subchannel wants done.
package enum SubchannelAction: Sendable, Hashable {
  /// Connect; answer with `.ready` or `.failed` under the same id. `deadline` covers everything up
  /// to the server's SETTINGS, in nanoseconds on the clock of `now`.
  case attempt(id: UInt32, address: Address, deadline: UInt64)
  /// Close that attempt; nothing more is heard of it.
  case abandon(id: UInt32)
  /// Let that connection finish its calls, then close it; nothing more is heard of it.
  case drain(id: UInt32)
  /// Send `.timer` then. There is one timer; a new time replaces the old one.
  case timer(at: UInt64)
  /// For the policy.
  case report(ConnectivityState, error: String?)
}

/// The last thing that went wrong with one address: for the diagnostics of a failed call.
package struct AddressFailure: Sendable, Hashable {
  package var address: Address
  package var error: String
  /// Nanoseconds, on the clock of `now`.
  package var at: UInt64
  /// Attempts since it last worked; 0 if it broke after it had worked.
  package var attempt: Int

  package init(address: Address, error: String, at: UInt64, attempt: Int) {
    self.address = address
    self.error = error
    self.at = at
    self.attempt = attempt
  }
}
