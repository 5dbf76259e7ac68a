// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import TrunkDiscovery

extension ConsulExplanation {
  /// One JSON object, keys sorted: names as in the properties, durations in seconds. What is not known
  /// is left out.
  public var json: String {
    var fields: [String: JSONValue] = [
      "target": .string(target), "agent": .string(agent), "token": .string(token),
      "usable": count(usable), "requests": .array(requests.map(\.value)),
      "instances": .array(instances.map(\.value)), "watches": .array(watches.map(\.value)),
      "processWatches": count(processWatches), "polls": polls.value,
    ]
    fields["problem"] = problem.map { .string($0) }
    fields["agentVersion"] = agentVersion.map { .string($0) }
    fields["config"] = config.map(\.value)
    if !unreadable.isEmpty { fields["unreadable"] = strings(unreadable) }
    if !advice.isEmpty { fields["advice"] = strings(advice) }
    return String(decoding: JSONValue.object(fields).canonical, as: UTF8.self)
  }
}

extension ConsulStatistics {
  /// One JSON object, keys sorted: names as in the properties, durations in seconds. What is not known
  /// is left out.
  public var json: String {
    let value = JSONValue.object([
      "watches": .array(watches.map(\.value)), "agents": .array(agents.map(\.value)),
    ])
    return String(decoding: value.canonical, as: UTF8.self)
  }
}

extension ConsulRequestExplanation {
  fileprivate var value: JSONValue {
    var fields: [String: JSONValue] = [
      "purpose": .string(purpose.rawValue), "method": .string(method), "path": .string(path),
      "outcome": .string(outcome),
    ]
    fields["status"] = status.map(count)
    fields["index"] = index.map(text)
    fields["knowsLeader"] = knowsLeader.map { .bool($0) }
    fields["lastContact"] = lastContact.map(seconds)
    fields["age"] = age.map(seconds)
    fields["cache"] = cache.map { .string($0) }
    fields["backend"] = backend.map { .string($0) }
    fields["consistency"] = consistency.map { .string($0) }
    if isFilteredByACLs { fields["isFilteredByACLs"] = .bool(true) }
    fields["defaultPolicy"] = defaultPolicy.map { .string($0) }
    return .object(fields)
  }
}

extension ConsulConfigExplanation {
  fileprivate var value: JSONValue {
    var fields: [String: JSONValue] = [
      "key": .string(key), "state": .string(state.rawValue), "reason": .string(reason),
    ]
    fields["index"] = index.map(text)
    return .object(fields)
  }
}

extension ConsulInstanceExplanation {
  fileprivate var value: JSONValue {
    var fields: [String: JSONValue] = [
      "id": .string(id), "node": .string(node), "address": .string(address),
      "health": .string(health), "weight": count(weight), "tags": strings(tags),
      "use": .string(use.rawValue), "isUsed": .bool(isUsed), "reasons": strings(reasons),
      "checks": .array(
        checks.map {
          .object([
            "id": .string($0.id), "status": .string($0.status), "output": .string($0.output),
          ])
        }),
    ]
    fields["datacenter"] = datacenter.map { .string($0) }
    fields["part"] = part.map { .string($0) }
    if !holds.isEmpty { fields["holds"] = strings(holds.map(\.rawValue)) }
    return .object(fields)
  }
}

extension ConsulWatchStatistics {
  fileprivate var value: JSONValue {
    var fields: [String: JSONValue] = [
      "kind": .string(kind.rawValue), "agent": .string(agent), "name": .string(name),
      "request": .string(request), "subscribers": count(subscribers), "queries": count(queries),
      "answers": count(answers), "updates": count(updates), "failures": count(failures),
      "instances": count(instances), "lastResort": count(lastResort), "note": .string(note),
    ]
    fields["answerAge"] = answerAge.map(seconds)
    fields["index"] = index.map(text)
    fields["knowsLeader"] = knowsLeader.map { .bool($0) }
    fields["lastContact"] = lastContact.map(seconds)
    fields["problem"] = problem.map { .string($0) }
    if !holds.isEmpty { fields["holds"] = strings(holds.map(\.rawValue)) }
    fields["holdsEndIn"] = holdsEndIn.map(seconds)
    return .object(fields)
  }
}

extension ConsulAgentStatistics {
  fileprivate var value: JSONValue {
    .object([
      "address": .string(address), "polls": count(polls), "abandonedPolls": count(abandonedPolls),
      "limit": count(limit),
    ])
  }
}

private func count(_ number: Int) -> JSONValue { .number(Double(number)) }
private func strings(_ list: [String]) -> JSONValue { .array(list.map { .string($0) }) }

/// As a string: JSON's numbers do not hold every UInt64.
private func text(_ index: UInt64) -> JSONValue { .string(String(index)) }

private func seconds(_ duration: Duration) -> JSONValue {
  let (seconds, attoseconds) = duration.components
  return .number(Double(seconds) + Double(attoseconds / 1_000_000_000) / 1e9)
}
