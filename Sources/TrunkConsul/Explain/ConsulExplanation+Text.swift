// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

extension ConsulExplanation: CustomStringConvertible {
  /// One fact a line, for people.
  public var description: String {
    let noun = usable == 1 ? "usable instance" : "usable instances"
    let version = agentVersion.map { ", Consul \($0)" } ?? ""
    var lines = ["\(target) has \(usable) \(noun) of \(instances.count)"]
    if let problem { lines.append(line("problem", problem)) }
    lines.append(line("agent", "\(agent)\(version), \(token)"))
    for request in requests {
      lines.append(line("request", "\(request.method) \(request.path)"))
      lines.append(line("", request.text))
    }
    for instance in instances { lines.append(line(instance.use.label, instance.text)) }
    for entry in unreadable { lines.append(line("unreadable", entry)) }
    if let config { lines.append(line("config", config.text)) }
    for watch in watches {
      lines.append(line("watch", watch.request.isEmpty ? watch.name : "GET \(watch.request)"))
      lines.append(line("", watch.text))
    }
    lines.append(line("process", process))
    for text in advice { lines.append(line("advice", text)) }
    return lines.joined(separator: "\n")
  }

  private var process: String {
    let own = watches.isEmpty ? "no watch of this target; " : ""
    let abandoned = polls.abandonedPolls > 0 ? ", \(polls.abandonedPolls) of them abandoned" : ""
    return "\(own)\(counted(processWatches, "watch", "watches")), "
      + "\(polls.polls + polls.abandonedPolls) of \(polls.limit) long polls to the agent\(abandoned)"
  }

  private func line(_ label: String, _ text: String) -> String {
    // Consul's and checks' texts may contain line breaks and escapes: each fact is one line.
    let flat = String(
      String.UnicodeScalarView(
        text.unicodeScalars.map {
          $0.value < 0x20 || (0x7F...0x9F).contains($0.value) || $0 == "\u{2028}"
            || $0 == "\u{2029}"
            ? " " : $0
        }))
    return label + String(repeating: " ", count: 12 - label.count) + flat
  }
}

private func counted(_ number: Int, _ one: String, _ many: String) -> String {
  number == 1 ? "1 \(one)" : "\(number) \(many)"
}

private func milliseconds(_ duration: Duration) -> Int64 {
  duration.components.seconds * 1_000 + duration.components.attoseconds / 1_000_000_000_000_000
}

/// In steps that a person reads: `12 ms`, `4 s`.
private func rounded(_ duration: Duration) -> String {
  let milliseconds = milliseconds(duration)
  return milliseconds < 1_000 ? "\(milliseconds) ms" : "\(milliseconds / 1_000) s"
}

extension ConsulRequestExplanation {
  fileprivate var text: String {
    var facts: [String] = []
    if let index { facts.append("index \(index)") }
    if let knowsLeader { facts.append(knowsLeader ? "leader known" : "no leader known") }
    if let lastContact { facts.append("last contact \(milliseconds(lastContact)) ms ago") }
    if let cache { facts.append("cache \(cache)") }
    if let age { facts.append("age \(milliseconds(age) / 1_000) s") }
    if let backend { facts.append("by \(backend)") }
    if let consistency { facts.append("consistency \(consistency)") }
    if isFilteredByACLs { facts.append("filtered by ACLs") }
    if let defaultPolicy { facts.append("default ACL policy \(defaultPolicy)") }
    // The error of a status begins with it.
    let head = status.map { succeeded ? "\($0): \(outcome)" : outcome } ?? outcome
    return facts.isEmpty ? head : "\(head); \(facts.joined(separator: ", "))"
  }
}

extension ConsulConfigExplanation {
  fileprivate var text: String {
    let place = index.map { "kv:\(key) at index \($0)" } ?? "kv:\(key)"
    return "\(place): \(state.rawValue): \(reason)"
  }
}

extension ConsulWatchStatistics {
  fileprivate var text: String {
    let age = answerAge.map { "the last \(rounded($0)) ago" } ?? "none yet"
    var facts = [
      subscribers == 0 ? "no channel, it lingers" : counted(subscribers, "channel", "channels"),
      "\(counted(answers, "answer", "answers")), \(age)", counted(updates, "update", "updates"),
    ]
    if failures > 0 { facts.append(counted(failures, "failure", "failures")) }
    if let index { facts.append("index \(index)") }
    if let knowsLeader, !knowsLeader { facts.append("no leader known") }
    if !holds.isEmpty {
      let end = holdsEndIn.map { " for \(rounded($0)) more" } ?? ""
      facts.append(holds.map(\.rawValue).joined(separator: " and ") + end)
    }
    let said = note.isEmpty ? "" : "; \(note)"
    return facts.joined(separator: ", ") + said
  }
}

extension ConsulInstanceExplanation.Use {
  fileprivate var label: String {
    switch self {
    case .used: "in"
    case .standby: "standby"
    case .kept: "kept"
    case .lastResort: "last resort"
    case .unused: "out"
    }
  }
}

extension ConsulInstanceExplanation {
  fileprivate var text: String {
    let place = datacenter.map { "\(node) in \($0)" } ?? node
    // A data center is said with the node.
    let group = part == datacenter ? "" : part.map { " for \($0)" } ?? ""
    let head = "\(address) \(id) on \(place)\(group)"
    guard reasons.isEmpty else {
      let holds = holds.isEmpty ? "" : " (\(holds.map(\.rawValue).joined(separator: ", ")))"
      return "\(head): \(reasons.joined(separator: "; "))\(holds)"
    }
    let marks = tags.isEmpty ? "" : ", tags \(tags.joined(separator: ","))"
    let failing = checks.map {
      "; check \"\($0.id)\" is \($0.status)\($0.output.isEmpty ? "" : ": \($0.output)")"
    }.joined()
    return "\(head): \(health), weight \(weight)\(marks)\(failing)"
  }
}
