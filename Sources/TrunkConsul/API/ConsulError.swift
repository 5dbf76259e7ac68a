// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// What went wrong between this program and a Consul agent. Never holds a token.
public enum ConsulError: Error, Sendable, Hashable {
  /// The address of an agent cannot be used: `text` as given, and what is allowed.
  case badAddress(String, reason: String)
  /// A token file cannot be read.
  case tokenFile(path: String, reason: String)
  /// No answer came: refused, reset, looked up in vain, ended half-way.
  case unreachable(agent: String, reason: String)
  /// No whole answer came in time.
  case timedOut(agent: String, after: Duration)
  /// The agent answered with an error; `text` is its first line.
  case refused(agent: String, status: Int, text: String)
  /// The agent answered with something that is not Consul's.
  case malformed(agent: String, reason: String)
  /// More different services are watched than ``ConsulOptions/maximumWatches`` allows.
  case tooManyWatches(agent: String, limit: Int)
  /// The server has no address that Consul could tell to others (e.g. only a unix socket).
  case nothingToAdvertise(service: String)
}

extension ConsulError: CustomStringConvertible {
  /// One line that begins with the agent: `consul 127.0.0.1:8500: connection refused`.
  public var description: String {
    switch self {
    case .badAddress(let text, _): "consul address \"\(text)\": \(reason)"
    case .tokenFile(let path, _): "consul token file \(path): \(reason)"
    case .unreachable(let agent, _), .timedOut(let agent, _), .refused(let agent, _, _),
      .malformed(let agent, _), .tooManyWatches(let agent, _):
      "consul \(agent): \(reason)"
    case .nothingToAdvertise(let service): "consul service \"\(service)\": \(reason)"
    }
  }

  /// The description without its subject.
  package var reason: String {
    switch self {
    case .badAddress(_, let reason), .tokenFile(_, let reason), .unreachable(_, let reason),
      .malformed(_, let reason):
      reason
    case .timedOut(_, let after): "no answer within \(ConsulDuration.text(after))"
    case .refused(_, let status, let text): text.isEmpty ? "HTTP \(status)" : "\(status) \(text)"
    case .tooManyWatches(_, let limit): "more than \(limit) services are watched"
    case .nothingToAdvertise:
      "the server listens on no host and port; give an address to advertise"
    }
  }

  /// The status of an answer that refused.
  package var status: Int? {
    if case .refused(_, let status, _) = self { status } else { nil }
  }
}
