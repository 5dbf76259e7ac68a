// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// Why a server cannot listen, in one line.
public struct ListenError: Error, Sendable, Hashable, CustomStringConvertible {
  /// E.g. `cannot listen on 0.0.0.0:50051: address already in use`.
  public let description: String
  init(_ description: String) { self.description = description }
}
