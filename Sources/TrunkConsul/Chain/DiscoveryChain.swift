private import FoundationEssentials
// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
package import TrunkDiscovery

/// The answer of `GET /v1/discovery-chain/:service` (Consul, Discovery Chain API): what config entries
/// make of a service, compiled by the server. Decoded leniently: unknown fields are ignored, and
/// everything may be missing or null.
package struct DiscoveryChain: Sendable, Hashable, Decodable {
  package struct Node: Sendable, Hashable, Decodable {
    /// `router`, `splitter` or `resolver`.
    package var type = ""
    package var name = ""
    package var routes: [Route] = []
    package var splits: [Split] = []
    package var resolver: Resolver?
    /// Consul 1.9.
    package var loadBalancer: JSONValue?
  }
  package struct Route: Sendable, Hashable, Decodable {
    /// `{"Match": {"HTTP": {…}}, "Destination": {…}}`
    package var definition: JSONValue?
    package var nextNode = ""
  }
  package struct Split: Sendable, Hashable, Decodable {
    /// Percent; Consul leaves out a zero.
    package var weight = 0.0
    /// Consul 1.11.
    package var definition: JSONValue?
    package var nextNode = ""
  }
  package struct Resolver: Sendable, Hashable, Decodable {
    /// There is no config entry for it.
    package var isDefault = false
    package var target = ""
    package var failover: [String] = []
    /// Consul 1.16, Enterprise.
    package var failoverPolicy: JSONValue?
    /// Consul 1.17.
    package var requestTimeout: JSONValue?
  }
  package struct Target: Sendable, Hashable, Decodable {
    package var service = ""
    package var subset = ""
    package var namespace = ""
    package var partition = ""
    package var datacenter = ""
    package var peer = ""
    package var filter = ""
    package var onlyPassing = false
    /// `local` or `remote`.
    package var meshGateway = ""
  }

  package var service = ""
  package var namespace = ""
  package var partition = ""
  /// The one that the chain is compiled for.
  package var datacenter = ""
  package var startNode = ""
  package var nodes: [String: Node] = [:]
  package var targets: [String: Target] = [:]

  /// Whether no config entry has a part in it: so are the chains of all services, those that do not
  /// exist included, and those of an agent that has lost its state.
  package var isDefault: Bool {
    guard let resolver = nodes[startNode]?.resolver, let target = targets[resolver.target] else {
      return false
    }
    return resolver.isDefault && resolver.failover.isEmpty && target.service == service
      && target.subset.isEmpty
  }
}

extension AgentClient {
  /// - Throws: ``ConsulError/malformed(agent:reason:)``.
  func chain(of answer: HTTPResponse) throws(ConsulError) -> DiscoveryChain {
    do {
      return try JSONDecoder().decode(DiscoveryChain.self, from: Data(answer.body))
    } catch {
      let place = (error as? DecodingError).map(DiscoveryChain.place) ?? ""
      throw .malformed(agent: name, reason: "the answer is not a discovery chain\(place)")
    }
  }
}

// MARK: - Decoding

private struct Field: CodingKey {
  var stringValue: String
  var intValue: Int? { nil }
  init(_ name: String) { stringValue = name }
  init?(stringValue: String) { self.init(stringValue) }
  init?(intValue: Int) { nil }
}

extension KeyedDecodingContainer<Field> {
  /// The default for a field that is missing or null.
  fileprivate func value<Value: Decodable>(_ name: String, or missing: Value) throws -> Value {
    try decodeIfPresent(Value.self, forKey: Field(name)) ?? missing
  }
}

extension DiscoveryChain {
  package init(from decoder: any Decoder) throws {
    let answer = try decoder.container(keyedBy: Field.self)
    let chain = try answer.nestedContainer(keyedBy: Field.self, forKey: Field("Chain"))
    service = try chain.value("ServiceName", or: "")
    namespace = try chain.value("Namespace", or: "")
    partition = try chain.value("Partition", or: "")
    datacenter = try chain.value("Datacenter", or: "")
    startNode = try chain.value("StartNode", or: "")
    nodes = try chain.value("Nodes", or: [:])
    targets = try chain.value("Targets", or: [:])
  }

  fileprivate static func place(_ error: DecodingError) -> String {
    switch error {
    case .typeMismatch(_, let context), .valueNotFound(_, let context),
      .keyNotFound(_, let context), .dataCorrupted(let context):
      let path = context.codingPath.map { $0.intValue.map { "[\($0)]" } ?? $0.stringValue }
      // A path holds names from the answer.
      return path.isEmpty ? "" : ": \(path.joined(separator: ".").prefix(200))"
    @unknown default: return ""
    }
  }
}

extension DiscoveryChain.Node {
  package init(from decoder: any Decoder) throws {
    let fields = try decoder.container(keyedBy: Field.self)
    type = try fields.value("Type", or: "")
    name = try fields.value("Name", or: "")
    routes = try fields.value("Routes", or: [])
    splits = try fields.value("Splits", or: [])
    resolver = try fields.value("Resolver", or: nil)
    loadBalancer = try fields.value("LoadBalancer", or: nil)
  }
}

extension DiscoveryChain.Route {
  package init(from decoder: any Decoder) throws {
    let fields = try decoder.container(keyedBy: Field.self)
    definition = try fields.value("Definition", or: nil)
    nextNode = try fields.value("NextNode", or: "")
  }
}

extension DiscoveryChain.Split {
  package init(from decoder: any Decoder) throws {
    let fields = try decoder.container(keyedBy: Field.self)
    weight = try fields.value("Weight", or: 0)
    definition = try fields.value("Definition", or: nil)
    nextNode = try fields.value("NextNode", or: "")
  }
}

extension DiscoveryChain.Resolver {
  package init(from decoder: any Decoder) throws {
    let fields = try decoder.container(keyedBy: Field.self)
    isDefault = try fields.value("Default", or: false)
    target = try fields.value("Target", or: "")
    requestTimeout = try fields.value("RequestTimeout", or: nil)
    struct Failover: Decodable {
      var targets: [String]?
      var policy: JSONValue?
      private enum CodingKeys: String, CodingKey { case targets = "Targets", policy = "Policy" }
    }
    let failover = try fields.decodeIfPresent(Failover.self, forKey: Field("Failover"))
    self.failover = failover?.targets ?? []
    failoverPolicy = failover?.policy
  }
}

extension DiscoveryChain.Target {
  package init(from decoder: any Decoder) throws {
    let fields = try decoder.container(keyedBy: Field.self)
    service = try fields.value("Service", or: "")
    subset = try fields.value("ServiceSubset", or: "")
    namespace = try fields.value("Namespace", or: "")
    partition = try fields.value("Partition", or: "")
    datacenter = try fields.value("Datacenter", or: "")
    peer = try fields.value("Peer", or: "")
    struct Subset: Decodable {
      var filter: String?
      var onlyPassing: Bool?
      private enum CodingKeys: String, CodingKey {
        case filter = "Filter", onlyPassing = "OnlyPassing"
      }
    }
    let subset = try fields.decodeIfPresent(Subset.self, forKey: Field("Subset"))
    filter = subset?.filter ?? ""
    onlyPassing = subset?.onlyPassing ?? false
    struct MeshGateway: Decodable {
      var mode: String?
      private enum CodingKeys: String, CodingKey { case mode = "Mode" }
    }
    let gateway = try fields.decodeIfPresent(MeshGateway.self, forKey: Field("MeshGateway"))
    meshGateway = gateway?.mode ?? ""
  }
}
