// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import Logging
internal import TrunkDiscovery

/// Confirming a registration, and its log lines.
extension ConsulRegistration {
  /// What the agent says of a registered instance.
  struct Finding: Sendable, Hashable {
    /// The output of a failing check.
    var critical: String?
    /// The reason of a maintenance.
    var maintenance: String?
  }
  enum Confirmation {
    case well(Finding)
    case forgotten
    case drifted(String)
  }

  /// Whether the agent has the service as it was registered; a TTL check's status is sent with it.
  func confirm(
    _ definition: ServiceDefinition, by client: AgentClient
  ) async throws -> Confirmation {
    let (timeout, id) = (timing.requestTimeout, definition.id)
    for check in definition.checks where check.isTTL {
      let isKnown = try await client.updateTTL(
        check.id, isServing: server.isServing(name) ?? true, timeout: timeout)
      if !isKnown { return .forgotten }
    }
    guard let found = try await client.service(id, timeout: timeout) else { return .forgotten }
    if let what = found.drift(from: definition) { return .drifted(what) }
    guard let checks = try await client.checks(ofService: id, timeout: timeout) else {
      return .well(Finding())
    }
    let hasOne = definition.checks.count == 1
    for check in definition.checks where !checks.has(check.id) {
      return .drifted(hasOne ? "its check is gone" : "its check \(check.id) is gone")
    }
    try checkNotStopped()
    var finding = Finding()
    finding.maintenance = try await settle(checks.maintenance(of: id), id, by: client)
    for check in definition.checks {
      guard let now = checks.check(check.id), now.status == "critical" else { continue }
      finding.critical = hasOne ? now.output : "\(check.id): \(now.output)"
      break
    }
    return .well(finding)
  }

  /// Logs what cannot work from the start.
  /// - Parameter asksForAddress: the advertised address is that of the agent's node.
  func warn(asksForAddress: Bool) {
    if asksForAddress, let address = try? agent.parsedAddress(), !address.isLocal {
      logger.warning(
        """
        \(name) will be registered under the address of the node of consul \(address), which may be \
        another host than this one; if it is, give an address to advertise
        """)
    }
    if server.isServing(name) == false {
      logger.notice(
        "\(name) is NOT_SERVING in the health service: it is critical until that is set to SERVING")
    }
    if !DNSLabel.isValid(name) {
      logger.notice("consul's DNS will not show \(name): it is no DNS label (RFC 1123)")
    }
    for check in template.checks {
      let obstacle = check.obstacle(
        server.checkedSecurity, hasHealthService: server.hasHealthService)
      if let obstacle { logger.warning("\(name) may turn critical in consul: \(obstacle)") }
      if let raised = check.raised { logger.notice("\(name): \(raised)") }
    }
    if let after = template.deregisterCriticalAfter, after < .seconds(60) {
      logger.notice(
        "\(name): the agent raises deregisterCriticalAfter of \(ConsulDuration.text(after)) to 1m")
    }
  }

  func log(
    _ notice: RegistrationState.Notice?, _ definition: ServiceDefinition, _ client: AgentClient
  ) {
    let (agent, id) = ("consul \(client.name)", definition.id)
    switch notice {
    case nil: break
    case .registered(let again):
      logger.info("registered with \(agent)\(again ? " again" : "") as \(id)")
    case .forgotten: logger.notice("\(agent) does not have \(id) any more, registering again")
    case .trouble(let reason):
      logger.warning("\(agent): \(reason); \(id) is still served, trying again")
    case .drifted(let what):
      logger.warning("\(agent): another program changed \(id): \(what); registering again")
    case .renewed: logger.notice("the token for \(agent) was replaced, registering \(id) again")
    case .critical(let output):
      logger.warning(
        "\(agent): the check of \(id) is critical: \(ConsulRegistration.line(output))")
    case .passing: logger.notice("\(agent): the check of \(id) is not critical any more")
    case .changed: logger.debug("\(id) was changed by the application, registering again")
    case .refused(let reason):
      logger.error("\(agent) refuses \(id): \(reason); it is served, but not found by clients")
    case .inMaintenance(let reason):
      logger.notice("\(agent): \(id) is in maintenance: \(ConsulRegistration.line(reason))")
    case .maintenanceEnded: logger.notice("\(agent): \(id) is not in maintenance any more")
    }
  }

  /// A check's output may have any shape and length.
  static func line(_ output: String) -> String {
    let flat = output.split(whereSeparator: \.isNewline).joined(separator: " ").trimmed
    let shown = flat.unicodeScalars.filter { $0.value >= 0x20 && $0.value != 0x7F }.prefix(300)
    return shown.isEmpty ? "no output yet" : String(String.UnicodeScalarView(shown))
  }
}
