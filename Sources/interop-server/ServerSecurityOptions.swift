// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import ArgumentParser
internal import Trunkcall

#if TLS
  /// gRPC's own flags for TLS, and one for mutual TLS.
  struct ServerSecurityOptions: ParsableArguments {
    @Option(name: .customLong("use_tls"), help: ArgumentHelp("Serve TLS.", valueName: "true|false"))
    var useTLS = false
    @Option(
      name: .customLong("tls_cert_file"), help: "The certificate with its chain, a PEM file.")
    var certificate = ".cache/certs/server.pem"
    @Option(name: .customLong("tls_key_file"), help: "Its private key, a PEM file.")
    var key = ".cache/certs/server.key"
    @Option(
      name: .customLong("tls_client_ca_file"),
      help: "Require client certificates of these CAs, a PEM file.")
    var clientCA: String?

    var value: ServerSecurity {
      guard useTLS else { return .plaintext }
      var tls = ServerTLS(.files(certificates: certificate, privateKey: key))
      if let clientCA { tls.clientCertificates = .required(.file(clientCA)) }
      return .tls(tls)
    }
  }
#else
  /// Without the package trait `TLS` there are no options.
  struct ServerSecurityOptions: ParsableArguments {
    @Option(name: .customLong("use_tls"), help: "Not in this build: it has no TLS.")
    var useTLS = false

    func validate() throws {
      if useTLS { throw ValidationError("--use_tls=true: built without TLS; false is allowed") }
    }
    var value: ServerSecurity { .plaintext }
  }
#endif
