// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// `GET /v1/agent/service/:id`: a service as the agent has it. A field that cannot be read is nil,
/// and counts as unchanged.
struct AgentService: Decodable, Sendable {
  var name: String?
  var address: String?
  var port: Int?
  var tags: [String]?
  var meta: [String: String]?

  private enum Key: String, CodingKey {
    case name = "Service", address = "Address", port = "Port", tags = "Tags", meta = "Meta"
  }
  init() {}
  init(from decoder: any Decoder) throws {
    let fields = try decoder.container(keyedBy: Key.self)
    name = try? fields.decode(String.self, forKey: .name)
    address = try? fields.decode(String.self, forKey: .address)
    port = try? fields.decode(Int.self, forKey: .port)
    tags = try? fields.decode([String].self, forKey: .tags)
    meta = try? fields.decode([String: String].self, forKey: .meta)
  }

  /// What another program changed, e.g. by registering another service under this id; nil: nothing.
  func drift(from definition: ServiceDefinition) -> String? {
    func differs<Value: Equatable>(_ found: Value?, _ wanted: Value) -> Bool {
      found.map { $0 != wanted } ?? false
    }
    if differs(name, definition.name) { return "its name is \"\(name ?? "")\"" }
    if differs(address, definition.address ?? "") { return "its address is \"\(address ?? "")\"" }
    if differs(port, Int(definition.port)) { return "its port is \(port ?? 0)" }
    if differs(tags.map(Set.init), Set(definition.tags ?? [])) { return "its tags differ" }
    if differs(meta, definition.meta ?? [:]) { return "its metadata differs" }
    return nil
  }
}

/// One element of `GET /v1/agent/checks`.
struct AgentCheck: Decodable, Sendable, Hashable {
  enum Finding: Sendable, Hashable {
    case found(AgentCheck)
    case missing
    /// The agent's answer has no status that is known.
    case unknown
  }
  var status: String
  /// The check's last output.
  var output: String

  private enum Key: String, CodingKey { case status = "Status", output = "Output" }
  init(status: String, output: String = "") {
    self.status = status
    self.output = output
  }
  init(from decoder: any Decoder) throws {
    let fields = try decoder.container(keyedBy: Key.self)
    status = try fields.decode(String.self, forKey: .status)
    output = (try? fields.decode(String.self, forKey: .output)) ?? ""
  }
}

/// `GET /v1/agent/self`, the fields that are needed.
struct AgentAbout: Decodable, Sendable {
  var version: String?
  var nodeAddress: String?

  private enum Key: String, CodingKey {
    case config = "Config", member = "Member", version = "Version", address = "Addr"
  }
  init() {}
  init(from decoder: any Decoder) throws {
    let fields = try decoder.container(keyedBy: Key.self)
    let config = try? fields.nestedContainer(keyedBy: Key.self, forKey: .config)
    let member = try? fields.nestedContainer(keyedBy: Key.self, forKey: .member)
    version = try? config?.decode(String.self, forKey: .version)
    let address = try? member?.decode(String.self, forKey: .address)
    nodeAddress = address?.isEmpty == false ? address : nil
  }
}
