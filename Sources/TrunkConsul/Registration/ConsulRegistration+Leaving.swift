// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import Logging
internal import TrunkDiscovery
internal import TrunkSockets

/// The end of a registration: taken out, deregistered, confirmed.
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
  func leave(since start: ContinuousClock.Instant, by client: AgentClient) async {
    if server.isServing(name) != false { await server.setServing(name, false) }
    // Nothing is logged if nothing was sent.
    guard let sent = sent.withLock({ $0 }) else { return }
    let (agent, id) = ("consul \(client.name)", sent.definition.id)
    let calls = await takeOut(sent, since: start, by: client)
    do {
      let left = start + timing.leaveTimeout - .now
      try await deregister(id, within: max(left, timing.leaveTimeout / 2), by: client)
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
    switch await waitUntilAbsent(sent, isOut: calls != nil, by: client) {
    case .absent:
      let now = server.callsStarted
      callsBefore.withLock { $0 = now }
      var text = ""
      if case .counted(let before)? = calls, let now {
        text = "; \(now - before) calls arrived after clients could see that it leaves"
      }
      logger.info("deregistered \(id) from \(agent)\(text)")
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

  /// Of a server that counts its calls: their number when watchers had seen the instance leave.
  private enum CallsSoFar { case counted(Int), notCounted }

  /// Maintenance tells clients two things: that the instance is not to be used, and that this is on
  /// purpose. A client that sees several instances vanish at once, which may be a fault of Consul's,
  /// does not take those for lost.
  /// - Returns: nil if the catalogue did not show it: then only the deregistration tells clients.
  private func takeOut(
    _ sent: Sent, since start: ContinuousClock.Instant, by client: AgentClient
  ) async -> CallsSoFar? {
    guard sent.isCertain, !sent.isUnderWay else { return nil }
    let deadline = start + timing.leaveTimeout / 2
    var left: Duration { max(.milliseconds(1), deadline - .now) }
    var pause = timing.pollInterval
    do {
      try await inTurn(client) {
        try await client.setMaintenance(
          Maintenance.draining, of: sent.definition.id, timeout: left)
      }
      while case .shown(let isOut, _) = try await inTurn(
        client, { try await client.catalogueShows(sent.definition, timeout: left) })
      {
        if isOut {
          try await Task.sleep(for: timing.propagation + options.drainLag)
          return server.callsStarted.map { .counted($0) } ?? .notCounted
        }
        if deadline <= .now { return nil }
        try await Task.sleep(for: pause)
        pause = min(pause * 2, timing.pollInterval * 10)
      }
      return nil
    } catch {
      logger.debug(
        "consul \(client.name): no maintenance for \(sent.definition.id): \(ConsulRegistration.why(error))"
      )
      return nil
    }
  }

  /// Whether the catalogue has the instance.
  private enum CatalogueState { case absent, listed, unknown(String) }

  /// The agent's answer comes before the catalogue has the change. Watchers are woken within about
  /// 20 ms of that (measured with 1.8.7) and query again; the margin is ten times as long. A client
  /// that is even later gets the server's GOAWAY, and loses no call either.
  /// - Parameter isOut: watchers have seen the instance leave before.
  private func waitUntilAbsent(
    _ sent: Sent, isOut: Bool, by client: AgentClient
  ) async -> CatalogueState {
    let deadline = ContinuousClock.now + timing.leaveTimeout
    var left: Duration { max(.zero, deadline - .now) }
    var isListed = false
    var pause = timing.pollInterval
    do {
      while left > .zero {
        let shown = try await inTurn(client) {
          try await client.catalogueShows(sent.definition, timeout: left)
        }
        switch shown {
        case .shown: isListed = true
        case .notShown where isListed: return try await absent(isOut)
        case .notShown(let answer):
          // An empty answer proves nothing where ACLs may be the cause (Consul, ACL).
          let hidden = try await inTurn(client) { try await client.hides(answer, timeout: left) }
          if let hidden {
            try await Task.sleep(for: timing.propagation + options.drainLag)
            return .unknown(
              hidden == .withoutToken
                ? "without a token the catalogue may not be read"
                : "the token may not read the service in the catalogue")
          }
          return try await absent(isOut)
        }
        // The cancelled write was carried out after the deregistration.
        if sent.isUnderWay {
          try await inTurn(client) {
            try await client.deregister(serviceID: sent.definition.id, timeout: left)
          }
        }
        try await Task.sleep(for: pause)
        pause = min(pause * 2, timing.pollInterval * 10)
      }
      return .listed
    } catch {
      return isListed && error is ConsulError ? .listed : .unknown(ConsulRegistration.why(error))
    }
  }

  /// An agent at its limit of connections closes one without an answer; one that is down does so as
  /// well, and holds up the exit by 0.35 s.
  private func deregister(
    _ id: String, within timeout: Duration, by client: AgentClient
  ) async throws {
    let end = ContinuousClock.now + timeout
    for pause in [50, 100, 200] {
      do {
        return try await inTurn(client) {
          try await client.deregister(
            serviceID: id, timeout: max(.milliseconds(1), end - .now))
        }
      } catch ConsulError.unreachable {
        try await Task.sleep(for: .milliseconds(pause))
      }
    }
    try await inTurn(client) {
      try await client.deregister(serviceID: id, timeout: max(.milliseconds(1), end - .now))
    }
  }

  /// All registrations of a process may leave in one moment.
  private func inTurn<Answer>(
    _ client: AgentClient, _ body: () async throws -> Answer
  ) async throws -> Answer {
    try await RequestGates.shared.gate(to: client.name).pass {
      defer { client.close() }
      return try await body()
    }
  }

  /// Watchers have time to see the change, where they have not seen it before.
  private func absent(_ isOut: Bool) async throws -> CatalogueState {
    if !isOut { try await Task.sleep(for: timing.propagation + options.drainLag) }
    return .absent
  }

  private static func why(_ error: any Error) -> String {
    (error as? ConsulError)?.reason ?? "\(error)"
  }
}
