// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// What an operator can do about what Consul answered.
extension ExplanationDraft {
  /// - Parameter answer: without an instance.
  mutating func adviseOnNothing(_ query: ConsulQuery, _ answer: HTTPResponse) async {
    let rule = "service_prefix \"\(query.service)\" { policy = \"read\" }"
    switch await hidden(answer) {
    case .withoutToken: advise("the agent has ACLs and no token was sent: give one with \(rule)")
    case .withToken: advise("the token may not see it: \(rule), node_prefix \"\" as well")
    case nil:
      advise(
        "no instance of \"\(query.service)\" is registered here: check the name, "
          + "GET /v1/catalog/services has those that are")
    }
  }

  mutating func advise(
    on error: ConsulError, _ purpose: ConsulRequestExplanation.Purpose, _ query: ConsulQuery?
  ) async {
    switch error {
    case .unreachable(let agent, _), .timedOut(let agent, _):
      advise("is an agent running at \(agent)? CONSUL_HTTP_ADDR or the target names it")
    case .tokenFile: advise("\(error)")
    case .refused(_, 403, _): adviseOnRights(purpose, query)
    case .refused(_, 404, _) where query?.kind == .prepared && purpose == .query:
      advise("GET /v1/query lists the prepared queries that the token may see")
    case .refused(_, 404...500, _) where purpose == .chain:
      if case .permanent(let reason) = ChainQuery.failure(error) { advise(reason) }
    case .refused(_, _, let text) where text.contains("No path to datacenter"):
      await adviseOnDatacenters()
    case .refused(_, let status, _) where status >= 500 || status == 400:
      if query?.filter != nil, purpose != .all {
        advise("the filter may be at fault: Consul's page on filtering has its language")
      }
    case .refused(_, 429, _): advise("the agent limits requests or connections (Consul, Limits)")
    default: break
    }
  }

  private mutating func adviseOnRights(
    _ purpose: ConsulRequestExplanation.Purpose, _ query: ConsulQuery?
  ) {
    let name = query?.service ?? ""
    switch purpose {
    case .agent: advise("the version needs the rule agent_prefix \"\" { policy = \"read\" }")
    case .config:
      advise("the config needs the rule key_prefix \"\" { policy = \"read\" } for its key")
    case .definition:
      advise("what it leaves out needs the rule query_prefix \"\(name)\" { policy = \"read\" }")
    default:
      advise(
        "the token is unknown or lacks service_prefix \"\(name)\" { policy = \"read\" } and "
          + "node_prefix \"\" { policy = \"read\" }")
    }
  }

  private mutating func adviseOnDatacenters() async {
    guard !requests.contains(where: { $0.purpose == .datacenters }) else { return }
    let request = HTTPRequest(.get, "v1", "catalog", "datacenters")
    guard let answer = await send(.datacenters, request) else { return }
    let names = AgentClient.names(answer).joined(separator: ", ")
    describeLast(names)
    advise("the agent knows these data centers: \(names)")
  }
}
