// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
private import FoundationEssentials

extension ConsulAgent {
  /// What the environment says, as for Consul's own programs: CONSUL_HTTP_ADDR, CONSUL_HTTP_TOKEN,
  /// CONSUL_HTTP_TOKEN_FILE (wins over the token), CONSUL_HTTP_AUTH, CONSUL_NAMESPACE,
  /// CONSUL_PARTITION. Without them the agent at `127.0.0.1:8500`, no token.
  public static var fromEnvironment: ConsulAgent {
    ConsulAgent(environment: ProcessInfo.processInfo.environment)
  }

  package init(environment: [String: String]) {
    // An empty variable is as good as none, as in Consul's own client.
    func value(_ name: String) -> String? {
      environment[name].flatMap { $0.trimmed.isEmpty ? nil : $0.trimmed }
    }
    self.init(
      value("CONSUL_HTTP_ADDR") ?? AgentAddress.local.description,
      token: value("CONSUL_HTTP_TOKEN_FILE").map(Token.file)
        ?? value("CONSUL_HTTP_TOKEN").map(Token.value),
      basicAuth: value("CONSUL_HTTP_AUTH"),
      namespace: value("CONSUL_NAMESPACE"),
      partition: value("CONSUL_PARTITION"))
  }
}
