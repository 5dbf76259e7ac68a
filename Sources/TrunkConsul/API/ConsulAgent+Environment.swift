// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
private import FoundationEssentials
internal import TrunkDiscovery

extension ConsulAgent {
  /// The agent of the environment, as for Consul's own programs: CONSUL_HTTP_ADDR,
  /// CONSUL_HTTP_TOKEN, CONSUL_HTTP_TOKEN_FILE (wins over the token), CONSUL_HTTP_AUTH,
  /// CONSUL_NAMESPACE, CONSUL_PARTITION; for TLS CONSUL_HTTP_SSL, CONSUL_HTTP_SSL_VERIFY,
  /// CONSUL_CACERT, CONSUL_CAPATH, CONSUL_CLIENT_CERT, CONSUL_CLIENT_KEY, CONSUL_TLS_SERVER_NAME.
  /// Without them the agent at `127.0.0.1:8500`, no token.
  public static var fromEnvironment: ConsulAgent {
    ConsulAgent(environment: ProcessInfo.processInfo.environment)
  }

  package init(environment: [String: String]) {
    // An empty variable counts as unset, as in Consul's own client.
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
    func flag(_ name: String) -> Bool? {
      guard let text = value(name) else { return nil }
      switch text.lowercased() {
      case "1", "t", "true": return true
      case "0", "f", "false": return false
      default:
        environmentProblem = "\(name)=\(text): allowed: true, false"
        return nil
      }
    }
    usesTLS = flag("CONSUL_HTTP_SSL") ?? false
    tls.verifiesServer = flag("CONSUL_HTTP_SSL_VERIFY") ?? true
    tls.caFile = value("CONSUL_CACERT")
    tls.caFolder = value("CONSUL_CAPATH")
    tls.certificateFile = value("CONSUL_CLIENT_CERT")
    tls.keyFile = value("CONSUL_CLIENT_KEY")
    // It may have a port, as an address may.
    tls.serverName = value("CONSUL_TLS_SERVER_NAME").map { name in
      (try? HostPort(parsing: name))?.host ?? name
    }
  }
}
