// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import TrunkDiscovery

/// Finds for each instance of a service why a query's answer has it or not. No I/O.
struct InstanceVerdicts {
  let query: ConsulQuery
  /// The answer of the query itself; nil if it failed.
  var answered: [HealthEntry]?
  /// Every instance of the service.
  var all: [HealthEntry]
  /// Ids of those that the query's filter alone lets through; nil: there is no filter, or that is not
  /// known.
  var matching: Set<String>?

  /// Of a prepared query: conditions that no health query has.
  var definition: PreparedDefinition?

  struct Verdict {
    /// See ``InstanceMapping/instanceID(_:)``.
    var key: String
    var instance: ConsulInstanceExplanation
  }

  /// What is used first, then by id.
  var verdicts: [Verdict] {
    let inAnswer = Set((answered ?? []).map(InstanceMapping.instanceID))
    let mapping = InstanceMapping(answered ?? [], for: query)
    let used = Set(mapping.endpoints.compactMap(\.instanceID))
    var holders: [Address: String] = [:]
    for endpoint in mapping.endpoints {
      if let address = endpoint.addresses.first { holders[address] = endpoint.instanceID }
    }
    var seen: Set<String> = []
    let entries = (all + (answered ?? [])).filter {
      seen.insert(InstanceMapping.instanceID($0)).inserted
    }
    let verdicts = entries.map { entry in
      let id = InstanceMapping.instanceID(entry)
      let reasons =
        used.contains(id) ? [] : reasons(entry, isInAnswer: inAnswer.contains(id), holders)
      return Verdict(key: id, instance: explanation(of: entry, reasons))
    }
    return verdicts.sorted {
      $0.instance.isUsed == $1.instance.isUsed ? $0.key < $1.key : $0.instance.isUsed
    }
  }

  private func explanation(
    of entry: HealthEntry, _ reasons: [String]
  ) -> ConsulInstanceExplanation {
    let (service, state) = (entry.service, InstanceState(entry))
    let address =
      InstanceMapping.address(of: entry, prefer: query.taggedAddress)?.description
      ?? "\(service.address.isEmpty ? entry.node.address : service.address):\(service.port)"
    return ConsulInstanceExplanation(
      id: service.id, node: entry.node.name, datacenter: entry.node.datacenter, address: address,
      health: state.name, checks: entry.checks.filter { $0.status != "passing" }.map(shown),
      weight: state == .warning ? service.weights.warning : service.weights.passing,
      tags: service.tags, use: reasons.isEmpty ? .used : .unused, reasons: reasons)
  }

  private func shown(_ check: HealthEntry.Check) -> ConsulInstanceExplanation.Check {
    let isMaintenance = HealthEntry.isMaintenance(check.id)
    let text = isMaintenance || check.output.isEmpty ? check.notes : check.output
    return ConsulInstanceExplanation.Check(
      id: check.id, status: check.status, output: InstanceVerdicts.line(text))
  }

  private func reasons(
    _ entry: HealthEntry, isInAnswer: Bool, _ holders: [Address: String]
  ) -> [String] {
    var reasons = health(entry)
    // Consul compares tags without case.
    let tags = Set(entry.service.tags.map { $0.lowercased() })
    for tag in query.tags where !tags.contains(tag.lowercased()) {
      let has =
        entry.service.tags.isEmpty ? "no tags" : entry.service.tags.joined(separator: ",")
      reasons.append("the tag \"\(tag)\" is missing, it has \(has)")
    }
    for pair in query.nodeMeta {
      let parts = pair.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
      guard let key = parts.first.map(String.init) else { continue }
      let wanted = parts.count > 1 ? String(parts[1]) : ""
      guard entry.node.meta[key] != wanted else { continue }
      let has = entry.node.meta[key].map { "\"\($0)\"" } ?? "not set"
      reasons.append("node-meta \(key) is \(has), not \"\(wanted)\"")
    }
    for tag in definition?.tags ?? []
    where tag.hasPrefix("!") && tags.contains(tag.dropFirst().lowercased()) {
      reasons.append("it has the tag \"\(tag.dropFirst())\", which is excluded")
    }
    for (key, wanted) in (definition?.serviceMeta ?? [:]).sorted(by: { $0.key < $1.key })
    where entry.service.meta[key] != wanted {
      let has = entry.service.meta[key].map { "\"\($0)\"" } ?? "not set"
      reasons.append("service meta \(key) is \(has), not \"\(wanted)\"")
    }
    if let matching, !matching.contains(InstanceMapping.instanceID(entry)) {
      reasons.append("the filter does not match it")
    }
    let address = InstanceMapping.address(of: entry, prefer: query.taggedAddress)
    if address == nil {
      reasons.append(
        entry.service.port == 0 ? "it has no port" : "port \(entry.service.port) is none")
    }
    if !reasons.isEmpty { return reasons }
    guard answered != nil else { return ["the query failed"] }
    if isInAnswer, let address, let holder = holders[address] {
      return ["it has the address of \(holder), which is used"]
    }
    if query.kind == .connect { return ["it takes no Connect connections itself"] }
    return ["it was not in the answer of the query, which came a moment earlier"]
  }

  private func health(_ entry: HealthEntry) -> [String] {
    guard query.health != .any else { return [] }
    var reasons: [String] = []
    for check in entry.checks where check.status != "passing" {
      if query.health == .warning, check.status == "warning" { continue }
      if definition?.ignoredChecks.contains(check.id) == true { continue }
      let text = shown(check).output
      let why = text.isEmpty ? "" : ": \(text)"
      if HealthEntry.isMaintenance(check.id) {
        let whose = check.id == "_node_maintenance" ? "its node" : "it"
        reasons.append("\(whose) is in maintenance\(why)")
        continue
      }
      let isOurs = check.status == "warning" && definition == nil
      let hint = isOurs ? " (warning=include takes it)" : ""
      reasons.append("check \"\(check.id)\" is \(check.status)\(hint)\(why)")
    }
    return reasons
  }

  /// One line of a check's output, which may be a page of HTML.
  private static func line(_ text: String) -> String {
    let flat = text.split(whereSeparator: \.isNewline).joined(separator: " ").trimmed
    return flat.count > 200 ? String(flat.prefix(200)) + "…" : flat
  }
}
