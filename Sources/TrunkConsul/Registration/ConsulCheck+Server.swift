// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import TrunkDiscovery

/// A check and the server that it checks.
extension ConsulCheck {
  /// A server that hangs turns critical within the interval plus this. A health service answers at
  /// once or not at all, so the agent's own 10 s would only delay that; nil leaves it to the agent.
  var effectiveTimeout: Duration? {
    guard timeout == nil else { return timeout }
    switch kind {
    case .grpc, .h2ping: return min(max(interval, .seconds(1)), .seconds(3))
    default: return nil
    }
  }

  /// TLS of a check to a server; nil: plaintext.
  func effectiveTLS(of security: CheckedSecurity) -> TLS? {
    guard let tls else { return security.usesTLS ? TLS(verifiesServer: false) : nil }
    return tls.isOff ? nil : tls
  }

  /// Why it cannot work with this server; nil if no reason is known.
  func obstacle(_ security: CheckedSecurity, hasHealthService: Bool) -> String? {
    let what: String
    switch kind {
    case .grpc: what = "gRPC"
    case .h2ping: what = "H2PING"
    default: return nil
    }
    let speaksTLS = effectiveTLS(of: security) != nil
    if case .grpc = kind, !hasHealthService {
      return "the server has no health service, which the agent's gRPC check asks; "
        + "add HealthService() to its services, or take another check"
    }
    if speaksTLS != security.usesTLS {
      return "the agent's \(what) check speaks \(speaksTLS ? "TLS" : "plaintext"), "
        + "the server \(security.usesTLS ? "TLS" : "plaintext")"
    }
    if security.requiresClientCertificates {
      return "the server requires client certificates, and the agent shows one to checks only with "
        + "enable_agent_tls_for_checks in its configuration"
    }
    return nil
  }

  /// What the agent does not do as it is asked to: it raises short times, and says so in its own
  /// log only (measured with 1.8.7).
  var raised: String? {
    switch kind {
    case .ttl, .alias, .none: return nil
    default:
      return interval < .seconds(1)
        ? "the agent raises an interval of \(ConsulDuration.text(interval)) to 1s" : nil
    }
  }

  /// Whether the agent itself finds out the status.
  var isMadeByAgent: Bool { kind != .ttl && kind != .none }

  /// Part of a check's id.
  var kindName: String {
    switch kind {
    case .grpc: "grpc"
    case .tcp: "tcp"
    case .udp: "udp"
    case .h2ping: "h2ping"
    case .http: "http"
    case .ttl: "ttl"
    case .alias: "alias"
    case .none: "none"
    }
  }
}
