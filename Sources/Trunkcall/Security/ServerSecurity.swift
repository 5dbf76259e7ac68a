// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import Logging
internal import TrunkDiscovery
internal import TrunkSockets

#if TLS
  public import TrunkTLS
#endif

/// Whether a server's connections are encrypted: an explicit choice, never a guess.
public struct ServerSecurity: Sendable {
  enum Kind: Sendable {
    case plaintext
    #if TLS
      case tls(ServerTLS)
    #endif
  }
  let kind: Kind

  /// HTTP/2 by prior knowledge (RFC 9113 §3.3). Neither encrypted nor authenticated.
  public static let plaintext = ServerSecurity(kind: .plaintext)

  #if TLS
    /// TLS 1.2 or 1.3 with ALPN `h2`.
    public static func tls(_ tls: ServerTLS) -> ServerSecurity { ServerSecurity(kind: .tls(tls)) }
  #endif

  /// The part that a registry's health check needs.
  var checked: CheckedSecurity {
    var checked = CheckedSecurity()
    #if TLS
      if case .tls(let tls) = kind {
        checked.usesTLS = true
        if case .required = tls.clientCertificates { checked.requiresClientCertificates = true }
      }
    #endif
    return checked
  }
}

#if TLS
  /// The TLS configuration of a server's connections: the certificates in force, reloaded when
  /// their files change.
  final class ServerCertificates: Sendable {
    private let tls: ServerTLS
    private let context: Locked<TLSContext>
    /// The files' contents just before they were first used: the first comparison is with these, so
    /// that a change in between is noticed.
    private let first: [[UInt8]?]
    private let logger: Logger

    /// Reads certificates and keys.
    /// - Parameter fileTimeout: the limit of one read of the files.
    /// - Throws: ``ListenError``.
    init(_ tls: ServerTLS, _ logger: Logger, fileTimeout: Duration = .seconds(10)) throws {
      self.tls = tls
      self.fileTimeout = fileTimeout
      self.logger = logger
      first = tls.reloadInterval == nil ? [] : tls.fileContents
      do { context = Locked(try TLSContext.server(tls)) } catch {
        throw ListenError("TLS: \(error)")
      }
    }

    func filter() throws(SocketError) -> any ByteFilter {
      let context = context.withLock { $0 }
      do throws(TLSError) { return try TLSEngine(server: context) } catch {
        throw SocketError("TLS", errno: 0, detail: "TLS: \(error)")
      }
    }

    /// Compares the files until its task is cancelled. Files that cannot be read count as
    /// unchanged; that is logged once.
    func watch() async {
      guard let interval = tls.reloadInterval else { return }
      var known = first
      var failure: String?
      while (try? await Task.sleep(for: interval)) != nil {
        let now: [[UInt8]?]
        do throws(ReadFailure) { now = try await read(known) } catch {
          if failure != error.reason, !Task.isCancelled {
            logger.warning(
              "certificates cannot be read, the ones in force are kept: \(error.reason)")
          }
          failure = error.reason
          continue
        }
        failure = nil
        guard now != known else { continue }
        known = now
        await reload()
      }
    }

    private func reload() async {
      let tls = tls
      do {
        let new = try await BlockingWork.files.run(timeout: fileTimeout, "reading certificates") {
          () -> Result<TLSContext, TLSError> in
          do throws(TLSError) { return .success(try TLSContext.server(tls)) } catch {
            return .failure(error)
          }
        }.get()
        context.withLock { $0 = new }
        logger.info("certificates were reloaded")
      } catch {
        logger.error("certificates changed and cannot be used; the old ones are kept: \(error)")
      }
    }

    private struct ReadFailure: Error { var reason: String }

    /// The files' contents: they are small, and a changed file may have the same time and size.
    private func read(_ known: [[UInt8]?]) async throws(ReadFailure) -> [[UInt8]?] {
      let tls = tls
      let now: [[UInt8]?]
      do {
        now = try await BlockingWork.files.run(timeout: fileTimeout, "reading certificates") {
          tls.fileContents
        }
      } catch { throw ReadFailure(reason: "\(error)") }
      if let missing = now.indices.first(where: { now[$0] == nil && known[$0] != nil }) {
        throw ReadFailure(reason: "the file \(tls.fileNames[missing]) cannot be read")
      }
      return now
    }
    private let fileTimeout: Duration
  }
#endif
