// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// TLS to an agent, with Consul's own settings (CONSUL_CACERT and the others). Needs the package
/// trait `TLS`, which is on by default.
public struct ConsulTLS: Sendable, Hashable {
  /// False accepts any certificate: only for an agent on the same machine. Default true.
  public var verifiesServer = true
  /// A PEM file of CAs; nil: the system's roots.
  public var caFile: String?
  /// A folder of CAs, named by hash; ignored if `caFile` is set.
  public var caFolder: String?
  /// A certificate and its key, PEM files, for an agent that requires one. Both or neither.
  public var certificateFile: String?
  /// See ``certificateFile``.
  public var keyFile: String?
  /// The name to send (SNI) and to verify; nil: the host of the address.
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
