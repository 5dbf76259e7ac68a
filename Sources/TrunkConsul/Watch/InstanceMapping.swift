// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
package import TrunkDiscovery

/// The instances of one answer as endpoints (Consul, Health API), and how many were in which state.
package struct InstanceMapping: Sendable, Hashable {
  package var endpoints: [Endpoint]
  package var counts: InstanceCounts
  /// The instance ids of those that are critical, and not because they are in maintenance.
  package var critical: Set<String> = []
  /// Of those that an operator, or their own drain, took out.
  package var inMaintenance: Set<String> = []

  package init(_ answer: HealthAnswer, for query: ConsulQuery) {
    self.init(answer.entries, for: query)
    counts.unreadable = answer.unreadable
    counts.failedOverTo = answer.failedOverTo
  }

  package init(_ entries: [HealthEntry], for query: ConsulQuery) {
    counts = InstanceCounts(entries)
    var mapped: [Mapped] = []
    for entry in entries {
      let state = InstanceState(entry)
      if entry.isInMaintenance {
        inMaintenance.insert(InstanceMapping.instanceID(entry))
      } else if state == .critical {
        critical.insert(InstanceMapping.instanceID(entry))
      }
      switch query.health {
      case .passing where state != .passing, .warning where state == .critical: continue
      default: break
      }
      guard let address = InstanceMapping.address(of: entry, prefer: query.taggedAddress) else {
        counts.unaddressed += 1
        continue
      }
      mapped.append(Mapped(endpoint: InstanceMapping.endpoint(entry, address, state), state: state))
    }
    // The agents' order is not stable; with `near` the order is the answer (Consul, Health API).
    if query.near == nil {
      mapped.sort { ($0.endpoint.instanceID ?? "") < ($1.endpoint.instanceID ?? "") }
    }
    endpoints = InstanceMapping.merged(mapped)
  }

  private struct Mapped {
    var endpoint: Endpoint
    var state: InstanceState
  }

  /// Of two instances with one address the one in the better state is used, else the first.
  private static func merged(_ mapped: [Mapped]) -> [Endpoint] {
    var places: [Address: Int] = [:]
    var kept: [Mapped] = []
    for one in mapped {
      guard let address = one.endpoint.addresses.first else { continue }
      if let place = places[address] {
        if one.state < kept[place].state { kept[place] = one }
      } else {
        places[address] = kept.count
        kept.append(one)
      }
    }
    return kept.map(\.endpoint)
  }

  /// Consul, Health API: the chosen tagged address, then the service's, then the node's. nil
  /// without a port.
  static func address(of entry: HealthEntry, prefer tag: String?) -> Address? {
    let service = entry.service
    if let path = service.socketPath, !path.isEmpty { return .unix(path) }
    // A tagged address carries its own port.
    if let tag, let tagged = service.taggedAddresses[tag], !tagged.address.isEmpty {
      return host(tagged.address, tagged.port)
    }
    if !service.address.isEmpty { return host(service.address, service.port) }
    // Measured with 1.8.7: an empty service address means the node's.
    return host(tag.flatMap { entry.node.taggedAddresses[$0] } ?? entry.node.address, service.port)
  }

  /// Host names are kept as they are, brackets around IPv6 are removed.
  private static func host(_ text: String, _ port: Int) -> Address? {
    guard let port = UInt16(exactly: port), port > 0, !text.isEmpty else { return nil }
    let bare =
      text.hasPrefix("[") && text.hasSuffix("]") ? String(text.dropFirst().dropLast()) : text
    return bare.isEmpty ? nil : .host(bare, port)
  }

  /// A service id is unique on its node only.
  static func instanceID(_ entry: HealthEntry) -> String {
    let (node, service) = (entry.node, entry.service)
    return [
      node.datacenter, service.partition ?? node.partition, service.namespace, node.name,
      service.id,
    ].compactMap { $0 }.joined(separator: "/")
  }

  /// Weight by state (Consul, Agent Service API), tags and metadata.
  private static func endpoint(
    _ entry: HealthEntry, _ address: Address, _ state: InstanceState
  ) -> Endpoint {
    let (node, service) = (entry.node, entry.service)
    var attributes = [
      "consul.node": node.name, "consul.service-id": service.id, "consul.health": state.name,
    ]
    if let datacenter = node.datacenter { attributes["consul.datacenter"] = datacenter }
    if !service.tags.isEmpty {
      attributes["consul.tags"] = service.tags.joined(separator: ",")
    }
    for (key, value) in service.meta { attributes["consul.meta.\(key)"] = value }
    for (key, value) in node.meta { attributes["consul.node-meta.\(key)"] = value }
    let weight = state == .warning ? service.weights.warning : service.weights.passing
    return Endpoint(
      [address], instanceID: instanceID(entry),
      weight: UInt32(min(max(weight, 1), 65_535)), attributes: attributes)
  }
}

extension Endpoint {
  /// Identifies an instance, also one that has no id.
  var instanceKey: String { instanceID ?? addresses.map(\.description).joined(separator: ",") }
}

/// The worst state of all checks of an instance and its node (Consul, Health API).
package enum InstanceState: Int, Sendable, Hashable, Comparable {
  case passing
  case warning
  case critical

  package init(_ entry: HealthEntry) {
    // Maintenance is a critical check of its own; an unknown state counts as the worst.
    self =
      entry.checks.map { check in
        switch check.status {
        case "passing": InstanceState.passing
        case "warning": .warning
        default: .critical
        }
      }.max() ?? .passing
  }

  package static func < (left: InstanceState, right: InstanceState) -> Bool {
    left.rawValue < right.rawValue
  }

  package var name: String {
    switch self {
    case .passing: "passing"
    case .warning: "warning"
    case .critical: "critical"
    }
  }
}

/// The number of instances in each state; its text is the resolver's note.
package struct InstanceCounts: Sendable, Hashable, CustomStringConvertible {
  package var passing = 0
  package var warning = 0
  package var critical = 0
  /// Instances that were left out because they have no port.
  package var unaddressed = 0
  /// Entries that could not be read: which, and why.
  package var unreadable: [String] = []
  /// Why there may be more than the agent's answer has (Consul, ACL).
  package var hidden: Hidden?
  /// The data center that a prepared query has failed over to.
  package var failedOverTo: String?
  /// What is unusual about where the answer comes from (``AnswerInfo/remark``).
  package var remark: String?
  package enum Hidden: Sendable, Hashable { case withoutToken, withToken }

  package init(passing: Int = 0, warning: Int = 0, critical: Int = 0) {
    self.passing = passing
    self.warning = warning
    self.critical = critical
  }

  package init(_ entries: [HealthEntry]) {
    for entry in entries {
      switch InstanceState(entry) {
      case .passing: passing += 1
      case .warning: warning += 1
      case .critical: critical += 1
      }
    }
  }

  package var total: Int { passing + warning + critical }

  /// `3 instances, 0 passing (3 critical)`, `2 instances, 2 passing`, `no instance is registered`.
  package var description: String { remark.map { "\(text), \($0)" } ?? text }

  private var text: String {
    if total == 0, !unreadable.isEmpty { return unreadableText }
    guard total > 0 else {
      switch hidden {
      case nil: return "no instance is registered"
      case .withoutToken: return "no instance is visible: the agent has ACLs and no token was sent"
      case .withToken:
        return "no instance is visible: the agent has ACLs and the token may not see it"
      }
    }
    let others = [
      warning > 0 ? "\(warning) warning" : nil, critical > 0 ? "\(critical) critical" : nil,
      unaddressed > 0 ? "\(unaddressed) without a port" : nil,
      unreadable.isEmpty ? nil : unreadableText,
    ].compactMap { $0 }
    let tail = others.isEmpty ? "" : " (\(others.joined(separator: ", ")))"
    let place = failedOverTo.map { ", failed over to \($0)" } ?? ""
    return "\(total) \(total == 1 ? "instance" : "instances"), \(passing) passing\(tail)\(place)"
  }

  /// `1 unreadable: "orders-7": Service.Port is no integer`
  private var unreadableText: String {
    "\(unreadable.count) unreadable: \(unreadable.prefix(3).joined(separator: ", "))"
  }
}
