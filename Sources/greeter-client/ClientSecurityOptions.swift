// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import ArgumentParser
internal import Trunkcall

#if TLS
  /// `--tls` and its settings; any of them implies it.
  struct ClientSecurityOptions: ParsableArguments {
    @Flag(help: "Speak TLS; without --tls-ca the system's CAs are trusted.")
    var tls = false
    @Option(help: "Trust these CAs instead, a PEM file.")
    var tlsCa: String?
    @Option(help: "The name to expect in the server's certificate, instead of the target's.")
    var tlsServerName: String?
    @Option(help: "The client's own certificate with its chain, a PEM file.")
    var tlsCert: String?
    @Option(help: "The certificate's private key, a PEM file.")
    var tlsKey: String?

    func validate() throws {
      guard (tlsCert == nil) == (tlsKey == nil) else {
        throw ValidationError("--tls-cert and --tls-key go together")
      }
    }

    var value: ChannelSecurity {
      guard tls || tlsCa != nil || tlsServerName != nil || tlsCert != nil else { return .plaintext }
      var tls = ClientTLS(
        trust: tlsCa.map(TLSTrust.file) ?? .system, serverName: tlsServerName)
      if let tlsCert, let tlsKey {
        tls.identity = .files(certificates: tlsCert, privateKey: tlsKey)
      }
      return .tls(tls)
    }
  }
#else
  /// Without the package trait `TLS` there are no options.
  struct ClientSecurityOptions: ParsableArguments {
    var value: ChannelSecurity { .plaintext }
  }
#endif
