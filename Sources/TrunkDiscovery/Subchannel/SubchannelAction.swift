// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
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
