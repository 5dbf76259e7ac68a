// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import ArgumentParser
internal import Trunkcall

#if TLS
  /// gRPC's own flags for TLS, and two for mutual TLS. `--server_host_override` is the name that is
  /// verified in the server's certificate as well.
  struct ClientSecurityOptions: ParsableArguments {
    @Option(name: .customLong("use_tls"), help: ArgumentHelp("Speak TLS.", valueName: "true|false"))
    var useTLS = false
    @Option(
      name: .customLong("use_test_ca"),
      help: ArgumentHelp(
        "Trust the CA of --ca_file instead of the system's.", valueName: "true|false"))
    var useTestCA = false
    @Option(name: .customLong("ca_file"), help: "A PEM file; Scripts/certs makes one.")
    var ca = ".cache/certs/ca.pem"
    @Option(name: .customLong("tls_cert_file"), help: "The client's own certificate, a PEM file.")
    var certificate: String?
    @Option(name: .customLong("tls_key_file"), help: "Its private key, a PEM file.")
    var key: String?

    func validate() throws {
      guard (certificate == nil) == (key == nil) else {
        throw ValidationError("--tls_cert_file and --tls_key_file go together")
      }
    }

    var value: ChannelSecurity {
      guard useTLS else { return .plaintext }
      var tls = ClientTLS(trust: useTestCA ? .file(ca) : .system)
      if let certificate, let key {
        tls.identity = .files(certificates: certificate, privateKey: key)
      }
      return .tls(tls)
    }
  }
#else
  /// Without the package trait `TLS` there are no options.
  struct ClientSecurityOptions: ParsableArguments {
    @Option(name: .customLong("use_tls"), help: "Not in this build: it has no TLS.")
    var useTLS = false

    func validate() throws {
      if useTLS { throw ValidationError("--use_tls=true: built without TLS; false is allowed") }
    }
    var value: ChannelSecurity { .plaintext }
  }
#endif
