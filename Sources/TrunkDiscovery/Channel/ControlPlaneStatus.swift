// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
package import TrunkWire

extension RPCError {
  /// A status made by a resolver, policy or credentials, fit for an application: codes that mean
  /// something about the *request* become INTERNAL, the original in the text (gRFC A54).
  package var fromControlPlane: RPCError {
    switch code {
    case .invalidArgument, .notFound, .alreadyExists, .failedPrecondition, .aborted, .outOfRange,
      .dataLoss:
      var error = self
      error.code = .internal
      error.message = "the control plane answered \(code): \(message)"
      return error
    default: return self
    }
  }
}
