// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

extension ChannelExplanation {
  /// One JSON object, keys sorted: names as in the properties, durations in seconds, states as gRPC
  /// writes them (`READY`). The service config is an object, not a string.
  public var json: String {
    var fields: [String: JSONValue] = [
      "target": .string(target), "state": .string(state.name), "resolver": .string(resolver),
      "configOrigin": .string(configOrigin.rawValue), "waitingCalls": .number(Double(waitingCalls)),
      "endpoints": .array(endpoints.map(\.value)),
    ]
    if let serviceConfig, let value = try? JSONValue(parsing: Array(serviceConfig.utf8)) {
      fields["serviceConfig"] = value
    }
    fields["configError"] = configError.map { .string($0) }
    fields["policy"] = policy?.value
    return String(decoding: JSONValue.object(fields).canonical, as: UTF8.self)
  }
}

extension PolicyExplanation {
  fileprivate var value: JSONValue {
    var fields: [String: JSONValue] = ["name": .string(name)]
    fields["state"] = state.map { .string($0.name) }
    if !notes.isEmpty { fields["notes"] = .array(notes.map { .string($0) }) }
    if !children.isEmpty {
      fields["children"] = .array(
        children.map { .object(["label": .string($0.label), "policy": $0.policy.value]) })
    }
    return .object(fields)
  }
}

extension EndpointExplanation {
  fileprivate var value: JSONValue {
    var fields: [String: JSONValue] = [
      "id": .number(Double(id.raw)),
      "addresses": .array(endpoint.addresses.map { .string($0.description) }),
      "weight": .number(Double(endpoint.weight)), "state": .string(state.name),
      "stateAge": seconds(stateAge), "connections": .number(Double(connections)),
      "callsInFlight": .number(Double(calls.inFlight)),
      "callsMade": .number(Double(calls.begun)), "callsFailed": .number(Double(calls.failed)),
      "latency": seconds(calls.latency),
    ]
    if !endpoint.attributes.isEmpty {
      fields["attributes"] = .object(endpoint.attributes.mapValues { .string($0) })
    }
    if !errors.isEmpty { fields["errors"] = .array(errors.map { .string($0) }) }
    if !notes.isEmpty { fields["notes"] = .array(notes.map { .string($0) }) }
    fields["nextAttempt"] = nextAttempt.map(seconds)
    return .object(fields)
  }

  private func seconds(_ duration: Duration) -> JSONValue {
    let (seconds, attoseconds) = duration.components
    return .number(Double(seconds) + Double(attoseconds / 1_000_000_000) / 1e9)
  }
}
