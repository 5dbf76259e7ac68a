// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import Logging
internal import TrunkDiscovery
internal import TrunkSockets
internal import TrunkWire

/// The diagnostics of a channel: in the errors of its calls, and in warnings.
extension ChannelControl {
  /// Least time between two warnings of one channel.
  private static let warningInterval: UInt64 = 60_000_000_000

  /// The picker's error, with the diagnostics of resolver and subchannels (gRFC A54).
  func told(_ error: RPCError) -> RPCError {
    guard error.code == .unavailable else { return error.fromControlPlane }
    return story(balancer: error.message).error(now: Clock.now())
  }

  func story(_ code: RPCError.Code, _ message: String) -> RPCError {
    let story = story(balancer: nil)
    var error = story.error(code, now: Clock.now())
    if !message.isEmpty { error.message = "\(message): \(story.message)" }
    return error
  }

  private func story(balancer: String?) -> Story {
    var fact = core.resolver
    fact.nextTry = resolver.nextTry
    return Story(
      parts.target, resolver: fact, configError: core.configError, balancer: balancer,
      attempts: subchannels.values.flatMap(\.attempts), tries: subchannels.values.flatMap(\.tries))
  }

  /// At most one line a minute, however often the channel fails.
  func warn() {
    let now = Clock.now()
    if let lastWarning, now - lastWarning < ChannelControl.warningInterval { return }
    lastWarning = now
    let error = story(.unavailable, "")
    let story = error.story.split(separator: "\n").map { line in
      line.split(separator: " ").joined(separator: " ")
    }
    parts.logger.warning("\(error.message): \(story.joined(separator: "; "))")
  }

  /// Fields of a service config that are parsed and not supported yet are logged, once.
  func warn(of config: ServiceConfig, before: ServiceConfig?) {
    let unsupported = config.unsupportedFields
    guard !unsupported.isEmpty, unsupported != before?.unsupportedFields else { return }
    parts.logger.warning(
      "the service config has fields that are not supported yet and change nothing",
      metadata: ["fields": "\(unsupported.joined(separator: ", "))"])
  }
}
