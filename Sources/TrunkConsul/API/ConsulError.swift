// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// An error between this program and a Consul agent. Never holds a token.
public enum ConsulError: Error, Sendable, Hashable {
  /// The address of an agent is malformed or not allowed: `text` as given, and what is allowed.
  case badAddress(String, reason: String)
  /// A token file cannot be read.
  case tokenFile(path: String, reason: String)
  /// No answer: refused, reset, host not found, connection ended half-way.
  case unreachable(agent: String, reason: String)
  /// No complete answer in time.
  case timedOut(agent: String, after: Duration)
  /// The agent answered with an error; `text` is its first line.
  case refused(agent: String, status: Int, text: String)
  /// The agent's answer is not one of Consul's API.
  case malformed(agent: String, reason: String)
  /// The process watches 10,000 different services and service configs already.
  case tooManyWatches(agent: String, limit: Int)
  /// The server has no address that others could connect to (e.g. only a unix socket).
  case nothingToAdvertise(service: String)
  /// A registration that Consul would refuse: what is wrong, where, and what is allowed.
  case invalidService(String, reason: String)
  /// The agent is too old for something that cannot be left out, e.g. a kind of check.
  case needsNewerAgent(agent: String, feature: String, needed: String, present: String)
}

extension ConsulError: CustomStringConvertible {
  /// One line that begins with the agent: `consul 127.0.0.1:8500: connection refused`.
  public var description: String {
    switch self {
    case .badAddress(let text, _): "consul address \"\(text)\": \(reason)"
    case .tokenFile(let path, _): "consul token file \(path): \(reason)"
    case .unreachable(let agent, _), .timedOut(let agent, _), .refused(let agent, _, _),
      .malformed(let agent, _), .tooManyWatches(let agent, _),
      .needsNewerAgent(let agent, _, _, _):
      "consul \(agent): \(reason)"
    case .nothingToAdvertise(let service), .invalidService(let service, _):
      "consul service \"\(service)\": \(reason)"
    }
  }

  /// The description without its subject.
  package var reason: String {
    switch self {
    case .badAddress(_, let reason), .tokenFile(_, let reason), .unreachable(_, let reason),
      .malformed(_, let reason), .invalidService(_, let reason):
      reason
    case .timedOut(_, let after): "no answer within \(ConsulDuration.text(after))"
    case .refused(_, let status, let text): text.isEmpty ? "HTTP \(status)" : "\(status) \(text)"
    case .tooManyWatches(_, let limit): "more than \(limit) services are watched"
    case .nothingToAdvertise:
      "the server listens on no host and port; give an address to advertise"
    case .needsNewerAgent(_, let feature, let needed, let present):
      "\(feature) needs Consul \(needed); the agent is \(present)"
    }
  }

  /// A fault of the request itself: sent again, it fails again (Consul, HTTP API, 400).
  package var isPermanent: Bool {
    switch self {
    case .refused(_, let status, _): status == 400
    case .invalidService, .needsNewerAgent, .nothingToAdvertise: true
    default: false
    }
  }

  /// The status code of ``refused(agent:status:text:)``.
  package var status: Int? {
    if case .refused(_, let status, _) = self { status } else { nil }
  }
}
