// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import TrunkDiscovery
internal import TrunkSockets

#if TLS
  internal import TrunkTLS
#endif

/// The TLS side of the connections to one agent. Files are read with the first connection, and again
/// as long as that fails.
final class AgentSecurity: Sendable {
  private let tls: ConsulTLS
  private let address: AgentAddress
  #if TLS
    private let context = Locked<TLSContext?>(nil)
  #endif

  init(_ tls: ConsulTLS, _ address: AgentAddress) {
    self.tls = tls
    self.address = address
  }

  var filter: @Sendable () throws(SocketError) -> any ByteFilter {
    { [self] () throws(SocketError) in try make() }
  }

  #if TLS
    private func make() throws(SocketError) -> any ByteFilter {
      let made = context.withLock { context -> Result<TLSContext, TLSError> in
        if let context { return .success(context) }
        do throws(TLSError) {
          let new = try TLSContext.client(client, .http1)
          context = new
          return .success(new)
        } catch { return .failure(error) }
      }
      var name = tls.serverName
      if name == nil, case .host(let host, _) = address.address { name = host }
      do throws(TLSError) {
        return try TLSEngine(client: try made.get(), serverName: name, server: "\(address)")
      } catch {
        throw SocketError("TLS", errno: 0, detail: "TLS: \(error)")
      }
    }

    private var client: ClientTLS {
      var client = ClientTLS(
        trust: tls.caFile.map(TLSTrust.file) ?? tls.caFolder.map(TLSTrust.folder) ?? .system)
      if let certificate = tls.certificateFile, let key = tls.keyFile {
        client.identity = .files(certificates: certificate, privateKey: key)
      }
      if !tls.verifiesServer { client.verification = .none }
      return client
    }
  #else
    private func make() throws(SocketError) -> any ByteFilter {
      throw SocketError("TLS", errno: 0, detail: "built without the package trait TLS")
    }
  #endif
}
