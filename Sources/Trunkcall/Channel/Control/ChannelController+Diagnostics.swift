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

  /// At debug level.
  func logEnd(_ event: ConnectionEvent, of id: SubchannelID) {
    let peer = subchannels[id].map { "\($0.core.endpoint)" } ?? "a former endpoint"
    switch event {
    case .failed(let error): log.connectionEnded(peer: peer, "not connected: \(error)")
    case .ended(let error, let use):
      log.connectionEnded(peer: peer, "\(error ?? "GOAWAY or no longer needed"), \(use)")
    case .ready, .decided, .closed, .outcomes, .tooManyPings: break
    }
  }

  /// gRFC A8: connections made from now on send keepalive PINGs half as often. Once, however many
  /// of the earlier connections get "too_many_pings".
  func slowKeepalive(_ peer: String, _ time: UInt64?) {
    guard let doubled = connectionSettings.doubleKeepaliveTime(from: time) else { return }
    parts.logger.warning(
      "a server got too many pings: the channel's keepalive time is doubled",
      metadata: ["server": "\(peer)", "seconds": "\(Double(doubled) / 1e9)"])
  }
}
