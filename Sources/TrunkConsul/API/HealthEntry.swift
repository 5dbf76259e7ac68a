// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// One element of `GET /v1/health/service/:name`, decoded leniently: unknown fields are ignored,
/// and everything but the names may be missing or null.
package struct HealthEntry: Decodable, Sendable {
  package struct Node: Decodable, Sendable {
    package var name = ""
    package var address = ""
    package var datacenter: String?
    package var partition: String?
    package var taggedAddresses: [String: String] = [:]
    package var meta: [String: String] = [:]
  }
  package struct TaggedAddress: Decodable, Sendable {
    package var address = ""
    package var port = 0
  }
  package struct Weights: Decodable, Sendable {
    package var passing = 1
    package var warning = 1
  }
  package struct Service: Decodable, Sendable {
    package var id = ""
    package var name = ""
    package var address = ""
    package var port = 0
    /// Consul 1.10: a unix socket in place of address and port.
    package var socketPath: String?
    package var tags: [String] = []
    package var meta: [String: String] = [:]
    package var taggedAddresses: [String: TaggedAddress] = [:]
    package var weights = Weights()
    package var namespace: String?
    package var partition: String?
  }
  package struct Check: Decodable, Sendable {
    package var id = ""
    package var status = ""
    /// Its last output, and what its registration says of it; of a maintenance check the reason. Read
    /// for ``ConsulExplanation`` only.
    package var output = ""
    package var notes = ""
  }

  package var node: Node
  package var service: Service
  package var checks: [Check] = []

  /// Taken out of service by an operator (`/v1/agent/maintenance`,
  /// `/v1/agent/service/maintenance`).
  package var isInMaintenance: Bool {
    checks.contains { HealthEntry.isMaintenance($0.id) }
  }
  package static func isMaintenance(_ check: String) -> Bool {
    check == "_node_maintenance" || check.hasPrefix("_service_maintenance:")
  }

  package init() {
    node = Node()
    service = Service()
  }

  private enum Key: String, CodingKey { case node = "Node", service = "Service", checks = "Checks" }
  package init(from decoder: any Decoder) throws {
    let fields = try decoder.container(keyedBy: Key.self)
    node = try fields.decode(Node.self, forKey: .node)
    service = try fields.decode(Service.self, forKey: .service)
    checks = try fields.decodeIfPresent([Check].self, forKey: .checks) ?? []
  }
}

// Written out, because a synthesized decoder refuses a missing key in spite of a default value.
extension HealthEntry.Node {
  private enum Key: String, CodingKey {
    case name = "Node", address = "Address", datacenter = "Datacenter", partition = "Partition"
    case taggedAddresses = "TaggedAddresses", meta = "Meta"
  }
  package init(from decoder: any Decoder) throws {
    let fields = try decoder.container(keyedBy: Key.self)
    name = try fields.decodeIfPresent(String.self, forKey: .name) ?? ""
    address = try fields.decodeIfPresent(String.self, forKey: .address) ?? ""
    datacenter = try fields.decodeIfPresent(String.self, forKey: .datacenter)
    partition = try fields.decodeIfPresent(String.self, forKey: .partition)
    taggedAddresses =
      try fields.decodeIfPresent([String: String].self, forKey: .taggedAddresses) ?? [:]
    meta = try fields.decodeIfPresent([String: String].self, forKey: .meta) ?? [:]
  }
}

extension HealthEntry.TaggedAddress {
  private enum Key: String, CodingKey { case address = "Address", port = "Port" }
  package init(from decoder: any Decoder) throws {
    let fields = try decoder.container(keyedBy: Key.self)
    address = try fields.decodeIfPresent(String.self, forKey: .address) ?? ""
    port = try fields.decodeIfPresent(Int.self, forKey: .port) ?? 0
  }
}

extension HealthEntry.Weights {
  private enum Key: String, CodingKey { case passing = "Passing", warning = "Warning" }
  package init(from decoder: any Decoder) throws {
    let fields = try decoder.container(keyedBy: Key.self)
    passing = try fields.decodeIfPresent(Int.self, forKey: .passing) ?? 1
    warning = try fields.decodeIfPresent(Int.self, forKey: .warning) ?? 1
  }
}

extension HealthEntry.Service {
  private enum Key: String, CodingKey {
    case id = "ID", name = "Service", address = "Address", port = "Port"
    case socketPath = "SocketPath", tags = "Tags", meta = "Meta"
    case taggedAddresses = "TaggedAddresses", weights = "Weights"
    case namespace = "Namespace", partition = "Partition"
  }
  package init(from decoder: any Decoder) throws {
    let fields = try decoder.container(keyedBy: Key.self)
    id = try fields.decodeIfPresent(String.self, forKey: .id) ?? ""
    name = try fields.decodeIfPresent(String.self, forKey: .name) ?? ""
    address = try fields.decodeIfPresent(String.self, forKey: .address) ?? ""
    port = try fields.decodeIfPresent(Int.self, forKey: .port) ?? 0
    socketPath = try fields.decodeIfPresent(String.self, forKey: .socketPath)
    tags = try fields.decodeIfPresent([String].self, forKey: .tags) ?? []
    meta = try fields.decodeIfPresent([String: String].self, forKey: .meta) ?? [:]
    taggedAddresses =
      try fields.decodeIfPresent(
        [String: HealthEntry.TaggedAddress].self, forKey: .taggedAddresses) ?? [:]
    weights = try fields.decodeIfPresent(HealthEntry.Weights.self, forKey: .weights) ?? .init()
    namespace = try fields.decodeIfPresent(String.self, forKey: .namespace)
    partition = try fields.decodeIfPresent(String.self, forKey: .partition)
  }
}

extension HealthEntry.Check {
  private enum Key: String, CodingKey {
    case id = "CheckID", status = "Status", output = "Output", notes = "Notes"
  }
  package init(from decoder: any Decoder) throws {
    let fields = try decoder.container(keyedBy: Key.self)
    id = try fields.decodeIfPresent(String.self, forKey: .id) ?? ""
    status = try fields.decodeIfPresent(String.self, forKey: .status) ?? ""
    guard let key = CodingUserInfoKey.decodesCheckTexts, decoder.userInfo[key] != nil else {
      return
    }
    output = (try? fields.decode(String.self, forKey: .output)) ?? ""
    notes = (try? fields.decode(String.self, forKey: .notes)) ?? ""
  }
}
