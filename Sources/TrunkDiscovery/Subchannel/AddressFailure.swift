// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// The last failure of one address, for the diagnostics of a failed call.
package struct AddressFailure: Sendable, Hashable {
  package var address: Address
  package var error: String
  /// Nanoseconds, on the clock of `now`.
  package var at: UInt64
  /// Attempts since its last success; 0 if the connection failed after it had been ready.
  package var attempt: Int

  package init(address: Address, error: String, at: UInt64, attempt: Int) {
    self.address = address
    self.error = error
    self.at = at
    self.attempt = attempt
  }
}
