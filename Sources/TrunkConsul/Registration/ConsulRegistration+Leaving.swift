// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import Logging
internal import TrunkDiscovery
internal import TrunkSockets

/// The end of a registration: deregister, then look until the catalogue no longer shows it.
extension ConsulRegistration {
  /// What went to the agent, and has to be taken out again.
  struct Sent: Sendable {
    var definition: ServiceDefinition
    /// False: no answer came yet, so it may be there or not.
    var isCertain = false
    /// A write was cut short: it may still be carried out, even behind a deregistration.
    var isUnderWay = false
  }

  /// - Parameter start: when the stop began; what is left of the time for the deregistration counts
  ///   from then.
  func deregister(since start: ContinuousClock.Instant, by client: AgentClient) async {
    if server.isServing(name) != false { await server.setServing(name, false) }
    // Nothing is said of what never was.
    guard let sent = sent.withLock({ $0 }) else { return }
    let (agent, id) = ("consul \(client.name)", sent.definition.id)
    do {
      let left = start + timing.leaveTimeout - .now
      try await client.deregister(serviceID: id, timeout: max(left, timing.leaveTimeout / 2))
    } catch {
      // The agent will find out by its check and take the entry out later.
      logger.log(
        level: sent.isCertain || sent.isUnderWay ? .warning : .debug,
        "asked \(agent) to deregister \(id); could not be confirmed: \(ConsulRegistration.why(error))"
      )
      return
    }
    guard sent.isCertain || sent.isUnderWay else {
      return logger.debug("\(agent) was asked to forget \(id), if it ever knew it")
    }
    switch await waitUntilGone(sent, by: client) {
    case .absent: logger.info("deregistered \(id) from \(agent)")
    case .shown:
      logger.warning(
        """
        \(agent) took \(id) out, but the catalogue still shows it: perhaps the agent may \
        not change it with the token that it was registered with
        """)
    case .unknown(let reason):
      logger.notice("asked \(agent) to deregister \(id); could not be confirmed: \(reason)")
    }
  }

  private enum CatalogueState { case absent, shown, unknown(String) }

  /// The agent's own answer comes before the catalogue knows. Watchers are woken within about 20 ms
  /// of that (measured with 1.8.7) and ask again; the margin is ten times as long. Whoever is later
  /// then is sent the GOAWAY of the server and loses no call either.
  private func waitUntilGone(_ sent: Sent, by client: AgentClient) async -> CatalogueState {
    let deadline = ContinuousClock.now + timing.leaveTimeout
    var left: Duration { max(.zero, deadline - .now) }
    var isShown = false
    do {
      while left > .zero {
        switch try await client.catalogueShows(sent.definition, timeout: left) {
        case .shown: isShown = true
        case .notShown where isShown: return try await gone()
        case .notShown(let answer):
          // An empty answer proves nothing where ACLs may be why (Consul, ACL).
          if let hidden = try await client.hides(answer, timeout: left) {
            try await Task.sleep(for: timing.propagation)
            return .unknown(
              hidden == .withoutToken
                ? "without a token the catalogue may not be read"
                : "the token may not read the service in the catalogue")
          }
          return try await gone()
        }
        // The write that was cut short came after the deregistration.
        if sent.isUnderWay {
          try await client.deregister(serviceID: sent.definition.id, timeout: left)
        }
        try await Task.sleep(for: timing.pollInterval)
      }
      return .shown
    } catch {
      return isShown && error is ConsulError ? .shown : .unknown(ConsulRegistration.why(error))
    }
  }

  private func gone() async throws -> CatalogueState {
    try await Task.sleep(for: timing.propagation)
    return .absent
  }

  private static func why(_ error: any Error) -> String {
    (error as? ConsulError)?.reason ?? "\(error)"
  }
}
