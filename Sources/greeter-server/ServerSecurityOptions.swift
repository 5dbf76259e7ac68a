// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import ArgumentParser
internal import Trunkcall

#if TLS
  /// `--tls-…`: with a certificate and a key the server uses TLS.
  struct ServerSecurityOptions: ParsableArguments {
    @Option(help: "Serve TLS: the certificate with its chain, a PEM file.")
    var tlsCert: String?
    @Option(help: "The certificate's private key, a PEM file.")
    var tlsKey: String?
    @Option(
      help: "Require client certificates of these CAs, a PEM file. Consul's check then needs one.")
    var tlsClientCa: String?

    func validate() throws {
      guard (tlsCert == nil) == (tlsKey == nil) else {
        throw ValidationError("--tls-cert and --tls-key go together")
      }
      if tlsClientCa != nil, tlsCert == nil {
        throw ValidationError("--tls-client-ca needs --tls-cert and --tls-key")
      }
    }

    var value: ServerSecurity {
      guard let tlsCert, let tlsKey else { return .plaintext }
      var tls = ServerTLS(.files(certificates: tlsCert, privateKey: tlsKey))
      if let tlsClientCa { tls.clientCertificates = .required(.file(tlsClientCa)) }
      return .tls(tls)
    }
  }
#else
  /// Without the package trait `TLS` there are no options.
  struct ServerSecurityOptions: ParsableArguments {
    var value: ServerSecurity { .plaintext }
  }
#endif
