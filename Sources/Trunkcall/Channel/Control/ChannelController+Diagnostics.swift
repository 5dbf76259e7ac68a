// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import Logging
internal import TrunkDiscovery
internal import TrunkSockets
internal import TrunkWire

/// The diagnostics of a channel: in the errors of its calls, and in warnings.
extension ChannelController {
  /// Least time between two warnings of one channel.
  private static let warningInterval: UInt64 = 60_000_000_000

  /// The picker's error, with the diagnostics of resolver and subchannels (gRFC A54).
  func withDiagnostics(_ error: RPCError) -> RPCError {
    guard error.code == .unavailable else { return error.fromControlPlane }
    return diagnostics(balancer: error.message).error(now: Clock.now())
  }

  func diagnostics(_ code: RPCError.Code, _ message: String) -> RPCError {
    let diagnostics = diagnostics(balancer: nil)
    var error = diagnostics.error(code, now: Clock.now())
    if !message.isEmpty { error.message = "\(message): \(diagnostics.message)" }
    return error
  }

  func diagnostics(balancer: String?) -> Diagnostics {
    var status = core.resolver
    status.nextAttempt = resolver.nextAttempt
    return Diagnostics(
      parts.target, resolver: status, configError: core.configError, balancer: balancer,
      attempts: subchannels.values.flatMap(\.attempts),
      failedAddresses: subchannels.values.flatMap(\.failedAddresses))
  }

  /// At most one line a minute, however often the channel fails.
  func warn() {
    let now = Clock.now()
    if let lastWarning, now - lastWarning < ChannelController.warningInterval { return }
    lastWarning = now
    let error = diagnostics(.unavailable, "")
    let diagnostics = error.diagnostics.split(separator: "\n").map { line in
      line.split(separator: " ").joined(separator: " ")
    }
    parts.logger.warning("\(error.message): \(diagnostics.joined(separator: "; "))")
  }
}
