// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
/// Commands of a subchannel.
package enum SubchannelAction: Sendable, Hashable {
  /// Connect; answer with `.ready` or `.failed` under the same id. `deadline` covers everything up
  /// to the server's SETTINGS, in nanoseconds on the clock of `now`.
  case attempt(id: UInt32, address: Address, deadline: UInt64)
  /// Close that attempt; no event of it follows.
  case abandon(id: UInt32)
  /// Let that connection finish its calls, then close it; no event of it follows.
  case drain(id: UInt32)
  /// That attempt's connection takes calls beside the earlier ones (gRFC A105).
  case joined(id: UInt32)
  /// The first connection takes no more calls; that one is the oldest now.
  case promoted(id: UInt32)
  /// Send `.timer` at that time. There is one timer; a new time replaces the old one.
  case timer(at: UInt64)
  /// For the policy.
  case report(ConnectivityState, error: String?)
}
