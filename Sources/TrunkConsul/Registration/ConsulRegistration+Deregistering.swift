// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import Logging
internal import TrunkDiscovery
internal import TrunkSockets

/// The end of a registration: deregister, then wait until the catalogue no longer has it.
extension ConsulRegistration {
  /// What was sent to the agent, and has to be deregistered.
  struct Sent: Sendable {
    var definition: ServiceDefinition
    /// False: no answer yet, so it may or may not be registered.
    var isCertain = false
    /// A write was cancelled: it may still be carried out, even after a deregistration.
    var isUnderWay = false
  }

  /// - Parameter start: the time of the stop; the time left for the deregistration counts from
  ///   then.
  func deregister(since start: ContinuousClock.Instant, by client: AgentClient) async {
    if server.isServing(name) != false { await server.setServing(name, false) }
    // Nothing is logged if nothing was sent.
    guard let sent = sent.withLock({ $0 }) else { return }
    let (agent, id) = ("consul \(client.name)", sent.definition.id)
    do {
      let left = start + timing.leaveTimeout - .now
      try await client.deregister(serviceID: id, timeout: max(left, timing.leaveTimeout / 2))
    } catch {
      // The agent's check will fail, and the agent removes the entry later.
      logger.log(
        level: sent.isCertain || sent.isUnderWay ? .warning : .debug,
        "asked \(agent) to deregister \(id); could not be confirmed: \(ConsulRegistration.why(error))"
      )
      return
    }
    guard sent.isCertain || sent.isUnderWay else {
      return logger.debug("\(agent) was asked to deregister \(id), if it had it")
    }
    switch await waitUntilAbsent(sent, by: client) {
    case .absent: logger.info("deregistered \(id) from \(agent)")
    case .listed:
      logger.warning(
        """
        \(agent) took \(id) out, but the catalogue still shows it: perhaps the agent may \
        not change it with the token that it was registered with
        """)
    case .unknown(let reason):
      logger.notice("asked \(agent) to deregister \(id); could not be confirmed: \(reason)")
    }
  }

  /// Whether the catalogue has the instance.
  private enum CatalogueState { case absent, listed, unknown(String) }

  /// The agent's answer comes before the catalogue has the change. Watchers are woken within about
  /// 20 ms of that (measured with 1.8.7) and query again; the margin is ten times as long. A client
  /// that is even later gets the server's GOAWAY, and loses no call either.
  private func waitUntilAbsent(_ sent: Sent, by client: AgentClient) async -> CatalogueState {
    let deadline = ContinuousClock.now + timing.leaveTimeout
    var left: Duration { max(.zero, deadline - .now) }
    var isListed = false
    do {
      while left > .zero {
        switch try await client.catalogueShows(sent.definition, timeout: left) {
        case .shown: isListed = true
        case .notShown where isListed: return try await absent()
        case .notShown(let answer):
          // An empty answer proves nothing where ACLs may be the cause (Consul, ACL).
          if let hidden = try await client.hides(answer, timeout: left) {
            try await Task.sleep(for: timing.propagation)
            return .unknown(
              hidden == .withoutToken
                ? "without a token the catalogue may not be read"
                : "the token may not read the service in the catalogue")
          }
          return try await absent()
        }
        // The cancelled write was carried out after the deregistration.
        if sent.isUnderWay {
          try await client.deregister(serviceID: sent.definition.id, timeout: left)
        }
        try await Task.sleep(for: timing.pollInterval)
      }
      return .listed
    } catch {
      return isListed && error is ConsulError ? .listed : .unknown(ConsulRegistration.why(error))
    }
  }

  /// Waits until watchers have seen the change.
  private func absent() async throws -> CatalogueState {
    try await Task.sleep(for: timing.propagation)
    return .absent
  }

  private static func why(_ error: any Error) -> String {
    (error as? ConsulError)?.reason ?? "\(error)"
  }
}
