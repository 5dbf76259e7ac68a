// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
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

  /// HTTP/2 by prior knowledge (RFC 9113 §3.3). Anybody on the way can read and change everything.
  public static let plaintext = ChannelSecurity(kind: .plaintext)

  #if TLS
    /// TLS 1.2 or 1.3 with ALPN `h2`; by default the system's roots, and the name in the target.
    public static func tls(_ tls: ClientTLS = ClientTLS()) -> ChannelSecurity {
      ChannelSecurity(kind: .tls(tls))
    }
  #endif

  /// Whether credentials may be sent.
  var isSecure: Bool { if case .plaintext = kind { false } else { true } }

  /// Makes what stands between a connection and its socket, for the `:authority` of its calls and
  /// the address that was dialled; nil for plaintext.
  typealias Filter =
    @Sendable (_ authority: String, _ address: Address) throws(SocketError) -> any ByteFilter
  var filter: Filter? {
    switch kind {
    case .plaintext: return nil
    #if TLS
      case .tls(let tls):
        let connections = ConnectionSecurity(tls)
        return { authority, address throws(SocketError) in
          try connections.filter(authority: authority, address: address)
        }
    #endif
    }
  }
}

#if TLS
  /// The TLS side of a channel's connections. Certificates and trust are read when the first
  /// connection is made, and again as long as that fails.
  final class ConnectionSecurity: Sendable {
    private let tls: ClientTLS
    private let context = Locked<TLSContext?>(nil)

    init(_ tls: ClientTLS) { self.tls = tls }

    /// - Parameters:
    ///   - authority: of the calls; its host is the name that is expected.
    ///   - address: tells apart servers whose sessions are resumed.
    func filter(authority: String, address: Address) throws(SocketError) -> any ByteFilter {
      let made = context.withLock { context -> Result<TLSContext, TLSError> in
        if let context { return .success(context) }
        do throws(TLSError) {
          let new = try TLSContext.client(tls)
          context = new
          return .success(new)
        } catch { return .failure(error) }
      }
      do throws(TLSError) {
        return try TLSEngine(
          client: try made.get(), serverName: tls.serverName ?? TLSName.host(of: authority),
          server: "\(address)")
      } catch {
        throw SocketError("TLS", errno: 0, detail: "TLS: \(error)")
      }
    }
  }

  /// `orders.example` of `orders.example:443`, `::1` of `[::1]:443`.
  enum TLSName {
    static func host(of authority: String) -> String {
      (try? HostPort(parsing: authority))?.host ?? authority
    }
  }
#endif
