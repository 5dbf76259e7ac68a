// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import Logging
internal import TrunkDiscovery
internal import TrunkSockets

/// Keeping a server registered until the stop.
extension ConsulRegistration {
  func keepRegistered(by client: AgentClient) async throws {
    let bound = try await server.listeningAddresses()
    func define(_ nodeAddress: String?) throws -> ServiceDefinition {
      try template.definition(
        desired.withLock { $0.content }, bound: bound, nodeAddress: nodeAddress)
    }
    // A definition that cannot be registered is an error at once.
    var definition = try define(nil)
    var nodeAddress: String?
    var isDefined = !template.needsNodeAddress(bound)
    // An application that is not ready says so before.
    if server.isServing(name) == nil { await server.setServing(name, true) }
    warn(asksForAddress: !isDefined)

    var token: String?
    var random = SystemRandom()
    let life = template.checks.filter { $0.kind == .ttl }.map(\.interval).min()
    var state = RegistrationState(confirmEvery: timing.confirmInterval, life: life)
    var since: ContinuousClock.Instant?
    // An agent allows 200 connections from one address, and a host may run as many servers: no
    // connection is kept between two steps.
    let gate = RequestGates.shared.gate(to: client.name)
    var step = state.begin()
    while true {
      try checkNotStopped()
      log(step.notice, definition, client)
      do {
        switch step.next {
        case .register:
          if since == nil, status.current == .waiting { status.set(.registering) }
          if !isDefined {
            nodeAddress = try await client.nodeAddress(timeout: timing.requestTimeout)
            isDefined = true
          }
          definition = try define(nodeAddress)
          token = try client.currentToken()
          let finding = try await gate.pass {
            defer { client.close() }
            return try await registerWhole(definition, by: client)
          }
          let now = ContinuousClock.now
          since = now
          report(finding, since: now)
          step = state.registered(using: &random)
        case .confirm where try client.currentToken() != token: step = state.renewed()
        case .confirm:
          let confirmation = try await gate.pass {
            defer { client.close() }
            return try await confirm(definition, by: client)
          }
          switch confirmation {
          case .well(let finding):
            report(finding, since: since ?? .now)
            step = state.confirmed(
              critical: finding.critical, maintenance: finding.maintenance, using: &random)
          case .forgotten: step = state.forgotten()
          case .drifted(let what): step = state.drifted(what, at: .now)
          }
        case .sleep(let duration):
          step = try await changes.sleep(for: duration) ? state.changed() : state.timerFired()
        }
      } catch let error as ConsulError where error.isPermanent && step.next == .register {
        if since == nil, options.onRefusal == .stop { throw error }
        status.set(.refused(reason: error.reason))
        step = state.refused(error.reason, using: &random)
      } catch let error as ConsulError {
        status.set(.trouble(reason: error.reason))
        step = state.failed(
          step.next, error.reason, status: error.status, at: .now, using: &random)
      }
    }
  }

  private func report(_ finding: Finding, since: ContinuousClock.Instant) {
    if let reason = finding.maintenance {
      status.set(.inMaintenance(reason: reason))
    } else if let output = finding.critical {
      status.set(.critical(output: ConsulRegistration.line(output)))
    } else {
      status.set(.registered(since: since))
    }
  }

  /// Checks for the stop between its steps: reads are cancelled at once, writes after a timeout.
  private func registerWhole(
    _ definition: ServiceDefinition, by client: AgentClient
  ) async throws -> Finding {
    let (timeout, id) = (timing.requestTimeout, definition.id)
    var understood = try await understood(definition, by: client)
    if let tags = await overriddenTags(definition, by: client) { understood.tags = tags }
    let isFirst = sent.withLock { $0?.isCertain != true }
    let before = try await checksBefore(id, by: client)
    let isServing = server.isServing(name) ?? true
    // An instance that crashed and is restarted at once finds its former checks, whose status stays
    // as it is until the agent checks again (Consul, Agent Check API, Status). This server listens
    // and is SERVING, so they are removed first.
    if isFirst, isServing {
      for check in understood.checks where check.isMadeByAgent {
        guard before?.check(check.id)?.status == "critical" else { continue }
        try checkNotStopped()
        try await client.deregisterCheck(check.id, timeout: timeout)
      }
    }
    try checkNotStopped()
    let wanted = desired.withLock { $0.maintenance }
    let found = before?.maintenance(of: id)
    let staysOut = found.map { wanted != nil || !Maintenance.isOurs($0) } ?? false
    // In maintenance from the start, it is not shown as passing before.
    let body = understood.initially(isPassing: isServing && wanted == nil)
    try await write(definition) {
      try await client.register(body, replacesChecks: !staysOut, timeout: timeout)
    }
    // An end of the maintenance by replacing checks would show the instance for a moment.
    if staysOut, let before {
      let kept = Set(body.checks.map(\.id) + [Maintenance.checkID(of: id)])
      for old in before.ids where !kept.contains(old) && old.hasPrefix("service:\(id)") {
        try checkNotStopped()
        try await client.deregisterCheck(old, timeout: timeout)
      }
    }
    try checkNotStopped()
    let maintenance = try await settle(staysOut ? found : nil, id, by: client)
    return Finding(
      critical: isServing || body.checks.isEmpty ? nil : ConsulRegistration.notServing,
      maintenance: maintenance)
  }

  /// The tags as others made them, where they may: a registration overwrites them in the catalogue,
  /// which the agent reads once a minute only (Consul, Anti-Entropy; measured with 1.8.7).
  /// - Returns: nil if the definition's own tags are to be sent: the first time, if the application
  ///   changed them, and if the catalogue does not have the service, or may not be read.
  private func overriddenTags(
    _ definition: ServiceDefinition, by client: AgentClient
  ) async -> [String]? {
    guard definition.enableTagOverride == true, let sent = sent.withLock({ $0 }), sent.isCertain,
      sent.definition.enableTagOverride == true, sent.definition.tags == definition.tags,
      let shown = try? await client.catalogueShows(definition, timeout: timing.requestTimeout),
      case .shown(_, let tags) = shown
    else { return nil }
    return tags
  }

  static let notServing = "the health service's status is NOT_SERVING"

  /// The definition as the agent knows its fields.
  /// - Throws: ``ConsulError/needsNewerAgent(agent:feature:needed:present:)``.
  private func understood(
    _ definition: ServiceDefinition, by client: AgentClient
  ) async throws -> ServiceDefinition {
    guard definition.dependsOnVersion else { return definition }
    let version: ConsulVersion?
    do {
      version = try await client.version(timeout: timing.requestTimeout)
    } catch ConsulError.refused(_, 403, _) {
      version = nil
    }
    if let version, let requirement = definition.requirement, version < requirement.version {
      throw ConsulError.needsNewerAgent(
        agent: client.name, feature: requirement.feature, needed: "\(requirement.version)",
        present: "\(version)")
    }
    let (understood, leftOut) = definition.understood(by: version)
    if !leftOut.isEmpty, sent.withLock({ $0 }) == nil {
      logger.notice(
        """
        consul \(client.name) \(version.map { "is \($0)" } ?? "does not show its version"): \
        \(leftOut.joined(separator: ", ")) of the checks of \(definition.id) left out
        """)
    }
    return understood
  }

  /// nil if they may not be read.
  private func checksBefore(_ id: String, by client: AgentClient) async throws -> AgentChecks? {
    do {
      return try await client.checks(ofService: id, timeout: timing.requestTimeout)
    } catch ConsulError.refused(_, 400..<500, _) {
      return nil
    }
  }

  /// Makes the maintenance as the application wants it.
  /// - Parameter found: the reason of the present one.
  /// - Returns: the reason of the one in force.
  func settle(_ found: String?, _ id: String, by client: AgentClient) async throws -> String? {
    let wanted = desired.withLock { $0.maintenance }
    switch (wanted, found) {
    case (nil, nil): return nil
    case (let wanted?, nil):
      try await client.setMaintenance(wanted, of: id, timeout: timing.requestTimeout)
      return wanted
    case (nil, let found?) where Maintenance.isOurs(found):
      try await client.setMaintenance(nil, of: id, timeout: timing.requestTimeout)
      return nil
    case (_, let found?): return found
    }
  }

  /// - Throws: `CancellationError` once the stop has begun, or run() is cancelled.
  func checkNotStopped() throws {
    try Task.checkCancellation()
    if stopped.withLock({ $0 }) != nil { throw CancellationError() }
  }

  /// A write without an answer may have been carried out, or may still be. So a stop waits for it
  /// for a short time; `sent` records one that was cancelled.
  private func write(
    _ definition: ServiceDefinition, _ body: @escaping @Sendable () async throws -> Void
  ) async throws {
    sent.withLock { sent in
      sent = Sent(
        definition: definition, isCertain: sent?.isCertain ?? false, isUnderWay: true)
    }
    let task = Task { try await body() }
    let writeTimeout = timing.leaveTimeout / 2
    try await withTaskCancellationHandler {
      do {
        try await task.value
        sent.withLock { $0 = Sent(definition: definition, isCertain: true) }
      } catch {
        if !(error is CancellationError) { sent.withLock { $0?.isUnderWay = false } }
        throw error
      }
    } onCancel: {
      // If run() itself is cancelled, it deregisters nothing and waits for nothing.
      guard stopped.withLock({ $0 }) != nil else { return task.cancel() }
      Task {
        try? await Task.sleep(for: writeTimeout)
        task.cancel()
      }
    }
  }
}
