// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import Logging
internal import TrunkDiscovery
internal import TrunkSockets

#if TLS
  internal import TrunkTLS
#endif

/// The TLS configuration of the connections to one agent. Changed files are reloaded, as a
/// channel's.
enum AgentSecurity {
  struct Filter: Sendable {
    /// Reloads files if a check is due, before a connection is made.
    let prepare: @Sendable (_ timeout: Duration) async -> Void
    let make: @Sendable () throws(SocketError) -> any ByteFilter
  }

  #if TLS
    static func filter(_ tls: ConsulTLS, _ address: AgentAddress) -> Filter {
      var client = ClientTLS(
        trust: tls.caFile.map(TLSTrust.file) ?? tls.caFolder.map(TLSTrust.folder) ?? .system,
        serverName: tls.serverName)
      if let certificate = tls.certificateFile, let key = tls.keyFile {
        client.identity = .files(certificates: certificate, privateKey: key)
      }
      if !tls.verifiesServer { client.verification = .none }
      let logger = Logger(label: "trunkcall.consul")
      let connector = TLSConnector(client, .http1) { notice in
        switch notice {
        case .reloaded: logger.info("certificates for consul \(address) were reloaded")
        case .unusable(let problem):
          logger.error(
            "certificates for consul \(address) changed and cannot be used: \(problem)")
        case .unreadable(let why):
          logger.warning(
            "certificates for consul \(address) cannot be read, the old ones are kept: \(why)")
        }
      }
      var host: String?
      if case .host(let name, _) = address.address { host = name }
      return Filter(prepare: { await connector.prepare(timeout: $0) }) {
        [host] () throws(SocketError) in
        try connector.filter(name: host, server: "\(address)")
      }
    }
  #else
    static func filter(_ tls: ConsulTLS, _ address: AgentAddress) -> Filter {
      Filter(prepare: { _ in }) { () throws(SocketError) in
        throw SocketError("TLS", errno: 0, detail: "built without the package trait TLS")
      }
    }
  #endif
}
