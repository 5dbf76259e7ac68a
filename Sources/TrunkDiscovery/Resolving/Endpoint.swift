// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// Where a connection can be made: a host (name or IP literal) and port, or a unix socket.
public enum Address: Sendable, Hashable {
  /// A host name or an IP literal without brackets; a name is looked up when connecting.
  case host(String, UInt16)
  /// A file system path.
  case unix(String)
  /// A name in Linux's abstract socket namespace, without the leading NUL.
  case unixAbstract(String)

  /// Short for ``host(_:_:)``.
  public init(_ host: String, _ port: UInt16) { self = .host(host, port) }
}

extension Address: CustomStringConvertible {
  /// `10.0.0.7:50051`, `[::1]:50051`, `unix:/path`, `unix-abstract:name`.
  public var description: String {
    switch self {
    case .host(let host, let port): host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
    case .unix(let path): "unix:\(path)"
    case .unixAbstract(let name): "unix-abstract:\(name)"
    }
  }
}

/// One logical server, reachable at any of its addresses (gRFC A61).
///
/// Its identity is its addresses, server name and instance id; a change of weight or attributes
/// closes no connection.
public struct Endpoint: Sendable, Hashable {
  /// In order of preference; never empty when it comes from a built-in resolver.
  public var addresses: [Address]
  /// Replaces the target's name for this endpoint: in `:authority`, and as the name that its TLS
  /// certificate is verified against. Empty is as nil.
  public var serverName: String?
  /// Distinguishes instances that have one address at different times, e.g. Consul's node and
  /// service id.
  public var instanceID: String?
  /// Relative weight, 1...65535; 1 unless the resolver has another.
  public var weight: UInt32
  /// Further facts from the resolver: tags, metadata, zone. Each resolver defines its keys.
  public var attributes: [String: String]
  /// The names of the child policies that the endpoint is for, the outermost policy's child first
  /// (gRFC A56, hierarchical addresses): priority and weighted_target take the first name off. Empty
  /// unless the resolver sets it. Not part of the identity.
  public var childPath: [String] = []

  /// - Parameter addresses: in order of preference.
  public init(
    _ addresses: [Address], serverName: String? = nil, instanceID: String? = nil,
    weight: UInt32 = 1, attributes: [String: String] = [:]
  ) {
    self.addresses = addresses
    self.serverName = serverName
    self.instanceID = instanceID
    self.weight = weight
    self.attributes = attributes
  }

  /// An endpoint without a server name, instance id or attributes.
  public init(_ addresses: Address..., weight: UInt32 = 1) {
    self.init(addresses, weight: weight)
  }

  /// What must be equal for a connection to be kept.
  public struct Identity: Sendable, Hashable {
    /// See ``Endpoint/addresses``.
    public let addresses: [Address]
    /// See ``Endpoint/serverName``.
    public let serverName: String?
    /// See ``Endpoint/instanceID``.
    public let instanceID: String?
  }
  /// A connection is kept while this stays equal.
  public var identity: Identity {
    Identity(addresses: addresses, serverName: serverName, instanceID: instanceID)
  }
}

/// The present result of a name's resolution. Always the whole set, never a difference.
public struct Resolution: Sendable, Hashable {
  /// All endpoints; empty: the name exists and no server is known.
  public var endpoints: [Endpoint]
  /// The service config that came with the name, parsed; nil if the resolver has none.
  public var serviceConfig: ServiceConfig?
  /// Why the service config that came with the name was refused. The channel keeps the last good
  /// one, and fails calls with this if it never had one (gRFC A21).
  public var serviceConfigError: ServiceConfigError?
  /// How the endpoints are divided, each by its ``Endpoint/childPath``; nil, the default: not at all.
  public var groups: EndpointGroups?
  /// One line for the diagnostics of a failed call, e.g. "3 instances, 0 passing (3 critical)".
  public var note: String?
  /// False: the registry could not be asked or refused to answer; the endpoints are the last known
  /// ones, and the note gives the reason. Default true.
  public var isAnswer = true

  /// A result with ``isAnswer`` true.
  public init(_ endpoints: [Endpoint], serviceConfig: ServiceConfig? = nil, note: String? = nil) {
    self.endpoints = endpoints
    self.serviceConfig = serviceConfig
    self.note = note
  }
}
