// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

extension UInt64 {
  /// The sum, or `.max` where it does not fit: a time that never comes.
  @inlinable package func saturatingAdd(_ other: UInt64) -> UInt64 {
    let (sum, overflow) = addingReportingOverflow(other)
    return overflow ? .max : sum
  }
}
