// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import Logging
internal import TrunkDiscovery
internal import TrunkSockets

#if TLS
  public import TrunkTLS
#endif

/// Whether a channel's connections are encrypted: an explicit choice, never a guess.
public struct ChannelSecurity: Sendable {
  enum Kind: Sendable {
    case plaintext
    #if TLS
      case tls(ClientTLS)
    #endif
  }
  let kind: Kind

  /// HTTP/2 by prior knowledge (RFC 9113 §3.3). Neither encrypted nor authenticated.
  public static let plaintext = ChannelSecurity(kind: .plaintext)

  #if TLS
    /// TLS 1.2 or 1.3 with ALPN `h2`; by default verified with the system's roots and the target's
    /// name.
    public static func tls(_ tls: ClientTLS = ClientTLS()) -> ChannelSecurity {
      ChannelSecurity(kind: .tls(tls))
    }
  #endif

  /// Whether credentials may be sent.
  var isSecure: Bool { if case .plaintext = kind { false } else { true } }

  /// Why no channel can use it.
  var refusal: String? {
    switch kind {
    case .plaintext: nil
    #if TLS
      case .tls(let tls):
        tls.serverName.flatMap { name in
          TLSServerName(name) == nil
            ? "ClientTLS.serverName is \(name.debugDescription); allowed: a host name or an IP address"
            : nil
        }
    #endif
    }
  }

  /// Makes the TLS filter of a connection; nil for plaintext.
  struct Filter: Sendable {
    /// Whether ``prepare`` has nothing to do.
    let isReady: @Sendable () -> Bool
    /// Reads the files it needs, before the connection is made; bounded in time.
    let prepare: @Sendable () async -> Void
    /// - Parameters: the `:authority` of the connection's calls, and the address connected to.
    let make:
      @Sendable (_ authority: String, _ address: Address) throws(SocketError) -> any ByteFilter
  }
  func filter(logger: Logger) -> Filter? {
    switch kind {
    case .plaintext: return nil
    #if TLS
      case .tls(let tls):
        let connector = TLSConnector(tls) { change in
          switch change {
          case .reloaded: logger.info("certificates were reloaded")
          case .unusable(let problem):
            logger.error(
              "certificates changed and cannot be used; the old ones are kept: \(problem)")
          case .unreadable(let why):
            logger.warning("certificates cannot be read, the ones in force are kept: \(why)")
          }
        }
        return Filter(
          isReady: { connector.isReady() }, prepare: { await connector.prepare() }
        ) { authority, address throws(SocketError) in
          try connector.filter(name: TLSName.host(of: authority), server: "\(address)")
        }
    #endif
    }
  }
}

#if TLS
  /// `orders.example` of `orders.example:443`, `::1` of `[::1]:443`.
  enum TLSName {
    static func host(of authority: String) -> String {
      (try? HostPort(parsing: authority))?.host ?? authority
    }
  }
#endif
