// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// TLS to an agent, with Consul's own settings (CONSUL_CACERT and its like). Needs the package
/// trait `TLS`, which is on by default.
public struct ConsulTLS: Sendable, Hashable {
  /// False believes any certificate: only for an agent on the same machine.
  public var verifiesServer = true
  /// PEM files; nil: the system's roots.
  public var caFile: String?
  /// A folder of CAs, named by hash; `caFile` goes before.
  public var caFolder: String?
  /// A certificate and its key, PEM files, for an agent that wants one. Both or neither.
  public var certificateFile: String?
  /// See ``certificateFile``.
  public var keyFile: String?
  /// The name to send and to expect; nil: the host of the address.
  public var serverName: String?

  /// The system's roots, no client certificate.
  public init() {}

  /// Why it cannot be used.
  var problem: String? {
    switch (certificateFile, keyFile) {
    case (_?, nil): "a client certificate without its key (CONSUL_CLIENT_KEY)"
    case (nil, _?): "a client key without its certificate (CONSUL_CLIENT_CERT)"
    default: nil
    }
  }
}
