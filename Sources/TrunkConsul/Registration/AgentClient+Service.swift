// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
private import FoundationEssentials

/// The agent's service endpoints. All may be repeated (a PUT without an answer may have been
/// applied).
extension AgentClient {
  /// Sent to the agent itself, never to the catalogue, which runs no checks (Consul, Agent Service
  /// API).
  /// - Parameters:
  ///   - definition: one that the agent understands.
  ///   - replacesChecks: whether checks that are not in the definition are removed. That ends
  ///     maintenance as well, whose mark is a check (measured with 1.8.7).
  func register(
    _ definition: ServiceDefinition, replacesChecks: Bool = true, timeout: Duration
  ) async throws {
    var request = HTTPRequest(.put, "v1", "agent", "service", "register")
    if replacesChecks { request.addQuery("replace-existing-checks", "true") }
    addTenancy(to: &request)
    request.body = try definition.json()
    _ = try await send(request, timeout: timeout)
  }

  /// - Parameter reason: nil ends it.
  func setMaintenance(_ reason: String?, of id: String, timeout: Duration) async throws {
    var request = HTTPRequest(.put, "v1", "agent", "service", "maintenance", id)
    request.addQuery("enable", reason == nil ? "false" : "true")
    if let reason { request.addQuery("reason", reason) }
    addTenancy(to: &request)
    _ = try await send(request, timeout: timeout)
  }

  /// Newer agents answer 404 for a check that is not there, which counts as success.
  func deregisterCheck(_ id: String, timeout: Duration) async throws {
    var request = HTTPRequest(.put, "v1", "agent", "check", "deregister", id)
    addTenancy(to: &request)
    do {
      _ = try await send(request, timeout: timeout)
    } catch ConsulError.refused(_, 404, _) {
    }
  }

  /// The service as the agent has it; nil if it does not know it (measured with 1.8.7).
  func service(_ id: String, timeout: Duration) async throws -> AgentService? {
    var request = HTTPRequest(.get, "v1", "agent", "service", id)
    addTenancy(to: &request)
    do {
      let answer = try await send(request, timeout: timeout)
      return (try? JSONDecoder().decode(AgentService.self, from: Data(answer.body)))
        ?? AgentService()
    } catch ConsulError.refused(_, 404, _) {
      return nil
    }
  }

  /// The checks of a service; nil if the agent's answer cannot be read.
  func checks(ofService id: String, timeout: Duration) async throws -> AgentChecks? {
    var request = HTTPRequest(.get, "v1", "agent", "checks")
    if !id.contains("\"") { request.addQuery("filter", "ServiceID == \"\(id)\"") }
    addTenancy(to: &request)
    let answer = try await send(request, timeout: timeout)
    return try? JSONDecoder().decode(AgentChecks.self, from: Data(answer.body))
  }

  /// Sets a TTL check's status; false if the agent does not know the check (measured with 1.8.7).
  func updateTTL(_ checkID: String, isServing: Bool, timeout: Duration) async throws -> Bool {
    var request = HTTPRequest(
      .put, "v1", "agent", "check", isServing ? "pass" : "fail", checkID)
    if !isServing { request.addQuery("note", "the health service's status is NOT_SERVING") }
    addTenancy(to: &request)
    do {
      _ = try await send(request, timeout: timeout)
      return true
    } catch ConsulError.refused(_, let status, let text)
      where status == 404
      || status == 500
        && (text.contains("Unknown check") || text.contains("does not have associated TTL"))
    {
      return false  // Measured with 1.8.7: 500 from old agents, 404 from newer ones
    }
  }

  /// Newer agents answer 404 for a service that is not registered, which counts as success
  /// (measured with 1.8.7).
  func deregister(serviceID: String, timeout: Duration) async throws {
    var request = HTTPRequest(.put, "v1", "agent", "service", "deregister", serviceID)
    addTenancy(to: &request)
    do {
      _ = try await send(request, timeout: timeout)
    } catch ConsulError.refused(_, 404, _) {
    }
  }

  enum Shown {
    /// - Parameters:
    ///   - isOut: with its maintenance mark, so that no client uses it.
    ///   - tags: as others may have changed them.
    case shown(isOut: Bool, tags: [String])
    /// Or hidden by ACLs, see ``hides(_:timeout:)``.
    case notShown(HTTPResponse)
  }

  /// Whether the catalogue still has this instance, in any state: asked of the leader, which asks
  /// its peers (Consul, Consistency Modes).
  func catalogueShows(_ definition: ServiceDefinition, timeout: Duration) async throws -> Shown {
    var request = HTTPRequest(.get, "v1", "health", "service", definition.name)
    request.addQuery("consistent", "")
    addTenancy(to: &request)
    let response = try await send(request, timeout: timeout)
    let found = try entries(of: response).entries.first {
      // The id is unique on its node only (Consul, Agent Service API), hence the address.
      $0.service.id == definition.id && $0.service.port == Int(definition.port)
        && $0.service.address == definition.address ?? ""
    }
    return found.map { .shown(isOut: $0.isInMaintenance, tags: $0.service.tags) }
      ?? .notShown(response)
  }

  /// Whether ACLs may be why an answer is empty (Consul, ACL): newer agents have headers for it, of this
  /// answer and of their default policy; an older agent with ACLs refuses `/v1/agent/self` to a token without rights; else there are
  /// none.
  func hides(_ answer: HTTPResponse, timeout: Duration) async throws -> InstanceCounts.Hidden? {
    let reason: InstanceCounts.Hidden = agent.token == nil ? .withoutToken : .withToken
    let info = AnswerInfo(answer.headers)
    if info.isFiltered { return reason }
    // Without a token the default policy decides; with one its own rules do.
    switch info.defaultPolicy {
    case "allow" where agent.token == nil: return nil
    case "deny" where agent.token == nil: return reason
    default: break
    }
    do {
      _ = try await send(HTTPRequest(.get, "v1", "agent", "self"), timeout: timeout)
      return nil
    } catch ConsulError.refused(_, 403, _) {
      return reason
    }
  }

  /// The agent's version, `1.8.7`; nil if its answer has none.
  func version(timeout: Duration) async throws -> ConsulVersion? {
    try await about(timeout: timeout).version.flatMap(ConsulVersion.init)
  }

  /// The address of the agent's node for others; nil if it may not be read, or is missing.
  func nodeAddress(timeout: Duration) async throws -> String? {
    do {
      return try await about(timeout: timeout).nodeAddress
    } catch ConsulError.refused(_, let status, _) where status == 403 || status == 404 {
      return nil
    }
  }

  private func about(timeout: Duration) async throws -> AgentAbout {
    let answer = try await send(HTTPRequest(.get, "v1", "agent", "self"), timeout: timeout)
    return AgentClient.about(answer)
  }

  /// The instances of an answer.
  /// - Throws: ``ConsulError/malformed(agent:reason:)`` if it is no list, or nothing in it can be
  ///   read.
  func entries(of response: HTTPResponse) throws -> HealthAnswer {
    let answer: HealthAnswer
    do {
      answer = try JSONDecoder().decode(HealthAnswer.self, from: Data(response.body))
    } catch {
      throw ConsulError.malformed(agent: name, reason: "the answer is not a list of instances")
    }
    if answer.entries.isEmpty, let problem = answer.unreadable.first {
      throw ConsulError.malformed(
        agent: name, reason: "no instance in the answer can be read: \(problem)")
    }
    return answer
  }

  /// The instances of the answer of a prepared query.
  /// - Throws: ``ConsulError/malformed(agent:reason:)``.
  func preparedEntries(of response: HTTPResponse) throws -> HealthAnswer {
    guard
      let answer = try? JSONDecoder().decode(PreparedQueryAnswer.self, from: Data(response.body))
    else {
      throw ConsulError.malformed(agent: name, reason: "the answer is none of a prepared query")
    }
    return answer.nodes
  }

  private func addTenancy(to request: inout HTTPRequest) {
    if let namespace = agent.namespace { request.addQuery("ns", namespace) }
    if let partition = agent.partition { request.addQuery("partition", partition) }
  }
}
