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
  var weights: ServiceDefinition.Weights?
  var taggedAddresses: [String: ServiceDefinition.TaggedAddress]?
  var enableTagOverride: Bool?

  private enum Key: String, CodingKey {
    case name = "Service", address = "Address", port = "Port", tags = "Tags", meta = "Meta"
    case weights = "Weights", taggedAddresses = "TaggedAddresses"
    case enableTagOverride = "EnableTagOverride"
  }
  init() {}
  init(from decoder: any Decoder) throws {
    let fields = try decoder.container(keyedBy: Key.self)
    name = try? fields.decode(String.self, forKey: .name)
    address = try? fields.decode(String.self, forKey: .address)
    port = try? fields.decode(Int.self, forKey: .port)
    tags = try? fields.decode([String].self, forKey: .tags)
    meta = try? fields.decode([String: String].self, forKey: .meta)
    weights = try? fields.decode(ServiceDefinition.Weights.self, forKey: .weights)
    taggedAddresses = try? fields.decode(
      [String: ServiceDefinition.TaggedAddress].self, forKey: .taggedAddresses)
    enableTagOverride = try? fields.decode(Bool.self, forKey: .enableTagOverride)
  }

  /// What another program changed, e.g. by registering another service under this id; nil: nothing.
  func drift(from definition: ServiceDefinition) -> String? {
    func differs<Value: Equatable>(_ found: Value?, _ wanted: Value) -> Bool {
      found.map { $0 != wanted } ?? false
    }
    if differs(name, definition.name) { return "its name is \"\(name ?? "")\"" }
    if differs(address, definition.address ?? "") { return "its address is \"\(address ?? "")\"" }
    if differs(port, Int(definition.port)) { return "its port is \(port ?? 0)" }
    let allowsTagOverride = definition.enableTagOverride ?? false
    if differs(enableTagOverride, allowsTagOverride) {
      return "its EnableTagOverride is \(!allowsTagOverride)"
    }
    if !allowsTagOverride, differs(tags.map(Set.init), Set(definition.tags ?? [])) {
      return "its tags differ"
    }
    if differs(meta, definition.meta ?? [:]) { return "its metadata differs" }
    if differs(weights, definition.weights ?? .init(passing: 1, warning: 1)) {
      return "its weights are \(weights?.passing ?? 0) and \(weights?.warning ?? 0)"
    }
    // The agent adds names of its own.
    for (name, wanted) in (definition.taggedAddresses ?? [:]).sorted(by: { $0.key < $1.key })
    where taggedAddresses.map({ $0[name] != wanted }) ?? false {
      return "its tagged address \"\(name)\" differs"
    }
    return nil
  }
}

/// `GET /v1/agent/checks`, the checks of one service.
struct AgentChecks: Decodable, Sendable {
  struct Check: Decodable, Sendable, Hashable {
    var status: String
    /// The check's last output.
    var output: String
    /// Of a maintenance check: the reason.
    var notes: String

    private enum Key: String, CodingKey {
      case status = "Status", output = "Output", notes = "Notes"
    }
    init(from decoder: any Decoder) throws {
      let fields = try decoder.container(keyedBy: Key.self)
      status = try fields.decode(String.self, forKey: .status)
      output = (try? fields.decode(String.self, forKey: .output)) ?? ""
      notes = (try? fields.decode(String.self, forKey: .notes)) ?? ""
    }
  }

  /// By id; nil if it cannot be read.
  private var checks: [String: Readable<Check>]

  init(from decoder: any Decoder) throws {
    checks = try [String: Readable<Check>](from: decoder)
  }

  var ids: [String] { checks.keys.sorted() }
  func has(_ id: String) -> Bool { checks[id] != nil }
  /// nil if there is none, or it cannot be read.
  func check(_ id: String) -> Check? { checks[id]?.value }

  /// The reason of an instance's maintenance; nil if it is not in maintenance.
  func maintenance(of instance: String) -> String? {
    let id = Maintenance.checkID(of: instance)
    return has(id) ? check(id)?.notes ?? "" : nil
  }
}

/// An instance's maintenance mode (Consul, Agent Service API).
enum Maintenance {
  static let prefix = "trunkcall: "
  /// The mark of an instance that is about to deregister: for others it is taken out on purpose.
  static let draining = prefix + "draining"

  static func checkID(of instance: String) -> String { "_service_maintenance:\(instance)" }
  /// Only what this library has set is ended by it: an operator's stays.
  static func isOurs(_ reason: String) -> Bool { reason.hasPrefix(prefix) }
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
