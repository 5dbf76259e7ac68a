// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import Logging
internal import TrunkDiscovery

/// Confirming a registration, and its log lines.
extension ConsulRegistration {
  enum Confirmation {
    /// With the output of a failing check.
    case well(critical: String?)
    case forgotten
    case drifted(String)
  }

  /// Whether the agent has the service as it was registered; a TTL check's status is sent with it.
  func confirm(
    _ definition: ServiceDefinition, by client: AgentClient
  ) async throws -> Confirmation {
    let timeout = timing.requestTimeout
    if check.kind == .ttl {
      let isServing = server.isServing(name) ?? true
      let isKnown = try await client.updateTTL(
        serviceID: definition.id, isServing: isServing, timeout: timeout)
      return isKnown ? .well(critical: nil) : .forgotten
    }
    guard let found = try await client.service(definition.id, timeout: timeout) else {
      return .forgotten
    }
    if let what = found.drift(from: definition) { return .drifted(what) }
    guard check.isMadeByAgent else { return .well(critical: nil) }
    switch try await client.check(ofService: definition.id, timeout: timeout) {
    case .unknown: return .well(critical: nil)
    case .missing: return .drifted("its check is gone")
    case .found(let check):
      return .well(critical: check.status == "critical" ? check.output : nil)
    }
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
    if !DNSLabel.isValid(name) {
      logger.notice("consul's DNS will not show \(name): it is no DNS label (RFC 1123)")
    }
    let obstacle = check.obstacle(
      server.checkedSecurity, hasHealthService: server.hasHealthService)
    if let obstacle { logger.warning("\(name) may turn critical in consul: \(obstacle)") }
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
    }
  }

  /// A check's output may have any shape and length.
  private static func line(_ output: String) -> String {
    let flat = output.split(whereSeparator: \.isNewline).joined(separator: " ").trimmed
    let shown = flat.unicodeScalars.filter { $0.value >= 0x20 && $0.value != 0x7F }.prefix(300)
    return shown.isEmpty ? "no output yet" : String(String.UnicodeScalarView(shown))
  }
}

extension ConsulCheck {
  /// Whether the agent runs the check.
  var isMadeByAgent: Bool {
    switch kind {
    case .grpc, .tcp, .http: true
    case .ttl, .none: false
    }
  }
}
