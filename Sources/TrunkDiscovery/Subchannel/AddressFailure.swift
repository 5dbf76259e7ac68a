// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

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
