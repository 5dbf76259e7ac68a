// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import Logging
internal import TrunkDiscovery
internal import TrunkSockets
internal import TrunkWire

/// What a channel says of itself: in the errors of its calls, and in warnings.
extension ChannelController {
  /// Between two warnings of one channel.
  private static let warningInterval: UInt64 = 60_000_000_000

  /// The picker's error, with everything that is known beside it (gRFC A54).
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

  private func diagnostics(balancer: String?) -> Diagnostics {
    var status = core.resolver
    status.nextAttempt = resolver.nextAttempt
    return Diagnostics(
      parts.target, resolver: status, configError: core.configError, balancer: balancer,
      attempts: subchannels.values.flatMap(\.attempts),
      failedAddresses: subchannels.values.flatMap(\.failedAddresses))
  }

  /// One line a minute at most, however often the channel falls.
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

  /// What is read of a service config and changes nothing yet is said, once.
  func warn(of config: ServiceConfig, before: ServiceConfig?) {
    let unsupported = config.unsupportedFields
    guard !unsupported.isEmpty, unsupported != before?.unsupportedFields else { return }
    parts.logger.warning(
      "the service config has fields that are not supported yet and change nothing",
      metadata: ["fields": "\(unsupported.joined(separator: ", "))"])
  }
}
