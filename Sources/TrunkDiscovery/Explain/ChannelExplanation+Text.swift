// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

extension ChannelExplanation: CustomStringConvertible {
  /// One fact a line, for people.
  public var description: String {
    var lines = ["\(target) is \(state.name)", line("resolver", resolver)]
    switch configOrigin {
    case .none: break
    case .resolver: lines.append(line("config", "from the resolver: \(serviceConfig ?? "{}")"))
    case .application:
      lines.append(line("config", "from the application: \(serviceConfig ?? "{}")"))
    }
    if let configError { lines.append(line("config", "refused: \(configError)")) }
    if let policy { add(policy, "", 0, &lines) }
    for endpoint in endpoints { lines.append(line("endpoint", endpoint.text)) }
    lines.append(line("waiting", waitingCalls == 1 ? "1 call" : "\(waitingCalls) calls"))
    return lines.joined(separator: "\n")
  }

  private func add(
    _ policy: PolicyExplanation, _ label: String, _ depth: Int, _ lines: inout [String]
  ) {
    let indent = String(repeating: "  ", count: depth)
    let name = label.isEmpty ? policy.name : "\(label): \(policy.name)"
    let state = policy.state.map { " \($0.name)" } ?? ""
    lines.append(line("policy", indent + name + state))
    for note in policy.notes { lines.append(line("", indent + "  " + note)) }
    for child in policy.children { add(child.policy, child.label, depth + 1, &lines) }
  }

  private func line(_ label: String, _ text: String) -> String {
    // Text from peers and agents may contain line breaks: each fact is one line.
    let flat = String(text.map { $0.isNewline ? " " : $0 })
    return label + String(repeating: " ", count: 11 - label.count) + flat
  }
}

extension EndpointExplanation {
  fileprivate var text: String {
    let addresses = endpoint.addresses.map(\.description).joined(separator: ", ")
    var facts: [String] = []
    if calls.begun > 0 || state == .ready {
      facts.append("\(calls.inFlight) calls in flight, \(calls.begun) made, \(calls.failed) failed")
      if calls.latency > .zero { facts.append(milliseconds(calls.latency)) }
    }
    if connections > 1 { facts.append("\(connections) connections") }
    if endpoint.weight != 1 { facts.append("weight \(endpoint.weight)") }
    facts += notes
    facts += errors
    if let nextAttempt { facts.append("next attempt in \(seconds(nextAttempt))") }
    for (key, value) in endpoint.attributes.sorted(by: { $0.key < $1.key }) {
      facts.append("\(key)=\(value)")
    }
    let head = "\(addresses) \(state.name) for \(seconds(stateAge))"
    return facts.isEmpty ? head : "\(head): \(facts.joined(separator: ", "))"
  }
}

/// `0.4 s`, `12 s`.
private func seconds(_ duration: Duration) -> String {
  let tenths = max(0, duration.nanoseconds) / 100_000_000
  return tenths < 100 ? "\(tenths / 10).\(tenths % 10) s" : "\(tenths / 10) s"
}

/// `1.2 ms`.
private func milliseconds(_ duration: Duration) -> String {
  let tenths = max(0, duration.nanoseconds) / 100_000
  return "\(tenths / 10).\(tenths % 10) ms"
}

extension Duration {
  fileprivate var nanoseconds: Int64 {
    let (seconds, attoseconds) = components
    return seconds.multipliedReportingOverflow(by: 1_000_000_000).partialValue
      &+ attoseconds / 1_000_000_000
  }
}

extension ConnectivityState {
  /// `READY`, as gRPC writes it.
  package var name: String {
    switch self {
    case .idle: "IDLE"
    case .connecting: "CONNECTING"
    case .ready: "READY"
    case .transientFailure: "TRANSIENT_FAILURE"
    case .shutdown: "SHUTDOWN"
    }
  }
}
