// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
#if TLS
  package import TrunkSockets

  /// The TLS side of the connections that one client makes: to servers, or to a Consul agent.
  ///
  /// Files are read when the first connection is made, again as long as that fails, and looked at
  /// again with a later connection, at most once in ``ClientTLS/reloadInterval``. What changed
  /// counts for new connections; files that cannot be used leave the old ones in force.
  package final class TLSConnector: Sendable {
    private struct State {
      var context: TLSContext?
      /// What the files held when they were looked at last.
      var contents: [[UInt8]?] = []
      var lookedAt: ContinuousClock.Instant?
    }
    private let tls: ClientTLS
    private let application: TLSContext.Application
    private let onReload: @Sendable (TLSError?) -> Void
    private let state = Locked(State())

    /// - Parameter onReload: is told when files changed; with an error if they cannot be used.
    package init(
      _ tls: ClientTLS, _ application: TLSContext.Application = .http2,
      onReload: @escaping @Sendable (TLSError?) -> Void = { _ in }
    ) {
      self.tls = tls
      self.application = application
      self.onReload = onReload
    }

    /// What stands between a new connection and its socket.
    /// - Parameters:
    ///   - name: expected in the server's certificate, unless ``ClientTLS/serverName`` says
    ///     another.
    ///   - server: tells apart servers whose sessions are resumed.
    package func filter(name: String?, server: String) throws(SocketError) -> any ByteFilter {
      do throws(TLSError) {
        return try TLSEngine(
          client: try context(at: .now), serverName: tls.serverName ?? name, server: server)
      } catch {
        throw SocketError("TLS", errno: 0, detail: "TLS: \(error)")
      }
    }

    func context(at now: ContinuousClock.Instant) throws(TLSError) -> TLSContext {
      let (result, news) = state.withLock { state in current(&state, now) }
      if let news { onReload(news.problem) }
      return try result.get()
    }

    private struct News { var problem: TLSError? }

    private func current(
      _ state: inout State, _ now: ContinuousClock.Instant
    ) -> (Result<TLSContext, TLSError>, News?) {
      let old = state.context
      if let old {
        guard let interval = tls.reloadInterval,
          state.lookedAt.map({ now - $0 >= interval }) ?? true
        else { return (.success(old), nil) }
      }
      state.lookedAt = now
      // Read before they are used: a change in between is seen the next time.
      let contents = tls.reloadInterval == nil ? [] : tls.fileContents
      if let old, contents == state.contents { return (.success(old), nil) }
      state.contents = contents
      do throws(TLSError) {
        let new = try TLSContext.client(tls, application)
        state.context = new
        return (.success(new), old == nil ? nil : News(problem: nil))
      } catch {
        guard let old else { return (.failure(error), nil) }
        return (.success(old), News(problem: error))
      }
    }
  }

  extension ClientTLS {
    /// What every file that it names holds now; nil for one that cannot be read.
    fileprivate var fileContents: [[UInt8]?] {
      var files = identity.map { [$0.certificates, $0.privateKey] } ?? []
      if case .certificates(let pem) = trust { files.append(pem) }
      return files.map { try? PEMReader.bytes($0, "file") }
    }
  }
#endif
