// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
#if TLS
  package import TrunkSockets

  /// The TLS configuration of the connections of one client: to servers, or to a Consul agent.
  ///
  /// Files are read when the first connection is made, again as long as that fails, and compared
  /// again with a later connection, at most once in ``ClientTLS/reloadInterval``; on a helper
  /// thread, before the connection is made. Changes hold for new connections; files that cannot be
  /// used leave the old ones in force, and one that cannot be read counts as unchanged.
  package final class TLSConnector: Sendable {
    /// A change of files in use; each is reported once.
    package enum Change: Sendable {
      case reloaded
      /// They changed, and the old ones are kept.
      case unusable(TLSError)
      /// They cannot be read: why.
      case unreadable(String)
    }

    private struct State {
      var context: TLSContext?
      /// Why there is no context.
      var problem = TLSError("the certificate files were not read in time")
      /// The contents of the files when they were last compared.
      var contents: [[UInt8]?] = []
      var lookedAt: ContinuousClock.Instant?
      var unreadable: String?
    }
    private let tls: ClientTLS
    private let application: TLSContext.Application
    private let onChange: @Sendable (Change) -> Void
    private let state = Locked(State())

    package init(
      _ tls: ClientTLS, _ application: TLSContext.Application = .http2,
      onChange: @escaping @Sendable (Change) -> Void = { _ in }
    ) {
      self.tls = tls
      self.application = application
      self.onChange = onChange
    }

    /// The TLS filter of a new connection; call it after ``prepare(at:timeout:)``.
    /// - Parameters:
    ///   - name: verified in the server's certificate, unless ``ClientTLS/serverName`` is set.
    ///   - server: the key of sessions to resume.
    package func filter(name: String?, server: String) throws(SocketError) -> any ByteFilter {
      do throws(TLSError) {
        return try TLSEngine(
          client: try current(), serverName: tls.serverName ?? name, server: server)
      } catch {
        throw SocketError("TLS", errno: 0, detail: "TLS: \(error)")
      }
    }

    /// Whether ``prepare(at:timeout:)`` would do nothing.
    package func isReady(at now: ContinuousClock.Instant = .now) -> Bool {
      state.withLock { isReady($0, now) }
    }

    private func isReady(_ state: State, _ now: ContinuousClock.Instant) -> Bool {
      guard state.context != nil else { return false }
      guard let interval = tls.reloadInterval else { return true }
      return state.lookedAt.map { now - $0 < interval } ?? false
    }

    /// Reads the files if a comparison is due.
    /// - Parameter timeout: the limit of that.
    package func prepare(
      at now: ContinuousClock.Instant = .now, timeout: Duration = .seconds(10)
    ) async {
      let before = state.withLock { state -> State? in
        guard !isReady(state, now) else { return nil }
        state.lookedAt = now
        return state
      }
      guard let before else { return }
      let (tls, application) = (tls, application)
      do {
        let look = try await BlockingWork.files.run(
          timeout: timeout, "reading certificates"
        ) { TLSConnector.look(tls, application, before.context == nil ? nil : before.contents) }
        took(look)
      } catch is CancellationError {
        // The next caller compares.
        state.withLock { $0.lookedAt = before.lookedAt }
      } catch {
        took(.unreadable("\(error)"))
      }
    }

    /// The result of a comparison.
    private enum Look: Sendable {
      case unchanged
      case unreadable(String)
      case changed([[UInt8]?], Result<TLSContext, TLSError>)
    }

    /// On a helper thread.
    /// - Parameter known: the contents before; nil if none is in use.
    private static func look(
      _ tls: ClientTLS, _ application: TLSContext.Application, _ known: [[UInt8]?]?
    ) -> Look {
      // Read before they are used: a change in between is found the next time.
      let contents = tls.reloadInterval == nil ? [] : tls.fileContents
      if let known {
        if contents == known { return .unchanged }
        if let missing = contents.indices.first(where: {
          contents[$0] == nil && known[$0] != nil
        }) {
          return .unreadable("the file \(tls.fileNames[missing]) cannot be read")
        }
      }
      do throws(TLSError) {
        return .changed(contents, .success(try TLSContext.client(tls, application)))
      } catch {
        return .changed(contents, .failure(error))
      }
    }

    private func took(_ look: Look) {
      let change = state.withLock { state -> Change? in
        let isInUse = state.context != nil
        switch look {
        case .unchanged:
          state.unreadable = nil
          return nil
        case .unreadable(let why):
          if !isInUse { state.problem = TLSError(why) }
          guard isInUse, state.unreadable != why else { return nil }
          state.unreadable = why
          return .unreadable(why)
        case .changed(let contents, let result):
          state.unreadable = nil
          let isNew = state.contents != contents
          state.contents = contents
          switch result {
          case .success(let context):
            state.context = context
            return isInUse && isNew ? .reloaded : nil
          case .failure(let error):
            state.problem = error
            return isInUse && isNew ? .unusable(error) : nil
          }
        }
      }
      if let change { onChange(change) }
    }

    func current() throws(TLSError) -> TLSContext {
      let state = state.withLock { $0 }
      guard let context = state.context else { throw state.problem }
      return context
    }
  }

  extension ClientTLS {
    /// The present contents of all its files; nil for one that cannot be read.
    fileprivate var fileContents: [[UInt8]?] { files.map { try? PEMReader.bytes($0, "file") } }

    fileprivate var fileNames: [String] {
      files.map { if case .file(let path) = $0 { path } else { "" } }
    }

    private var files: [PEM] {
      var files = identity.map { [$0.certificates, $0.privateKey] } ?? []
      if case .certificates(let pem) = trust { files.append(pem) }
      return files
    }
  }
#endif
