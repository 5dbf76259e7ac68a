// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
package import TrunkWire

/// The diagnostics of a call that no server could take, one line per source:
///
/// ```
/// no server for consul:///helloworld
/// resolver   consul 127.0.0.1:8500 answered 0.4 s ago: 3 instances, 0 passing (3 critical)
/// connecting 10.0.0.8:50051: TCP connected 1.9 s ago, waiting for the server's SETTINGS
/// last try   10.0.0.7:50051 connection refused, 12 s ago (attempt 4, next in 3.1 s)
/// ```
package struct Diagnostics: Sendable, Hashable {
  /// One address that failed.
  package struct FailedAddress: Sendable, Hashable {
    package var failure: AddressFailure
    /// When its subchannel tries again; nil if an attempt is under way, or it waits for a call.
    package var nextAttempt: UInt64?
    package init(_ failure: AddressFailure, nextAttempt: UInt64?) {
      self.failure = failure
      self.nextAttempt = nextAttempt
    }
  }

  /// A connection attempt under way.
  package struct Attempt: Sendable, Hashable {
    package enum Phase: Sendable, Hashable {
      /// Looking up the host, or connecting by TCP.
      case connecting
      /// TCP is connected, TLS is not.
      case handshaking
      /// TCP, and TLS if it is used, are connected.
      case waitingForSettings(isSecure: Bool)
    }
    package var address: Address
    package var phase: Phase
    /// Nanoseconds, on the clock of `now`.
    package var since: UInt64
    package init(_ address: Address, _ phase: Phase, since: UInt64) {
      self.address = address
      self.phase = phase
      self.since = since
    }
  }

  /// Addresses beyond this number are counted, not listed.
  package static let maximumAddresses = 4

  /// The target as the application wrote it, secrets redacted.
  package var target: String
  /// The resolver's scheme, used where its note does not name the resolver.
  package var scheme: String
  package var resolver: ResolverStatus
  package var configError: ServiceConfigError?
  /// The policy's error, if no other line contains it.
  package var balancer: String?
  package var attempts: [Attempt]
  package var failedAddresses: [FailedAddress]

  package init(
    _ target: Target, resolver: ResolverStatus, configError: ServiceConfigError? = nil,
    balancer: String? = nil, attempts: [Attempt] = [], failedAddresses: [FailedAddress] = []
  ) {
    self.target = target.description
    self.scheme = target.scheme ?? "resolver"
    self.resolver = resolver
    self.configError = configError
    self.balancer = balancer
    self.attempts = attempts
    self.failedAddresses = failedAddresses
  }

  /// The status message.
  package var message: String { "no server for \(target)" }

  /// The error, its diagnostics with times relative to `now`.
  package func error(_ code: RPCError.Code = .unavailable, now: UInt64) -> RPCError {
    RPCError(code, message, diagnostics: text(now: now))
  }

  /// One fact a line.
  package func text(now: UInt64) -> String {
    var lines = [line("resolver", resolverText(now))]
    if let configError { lines.append(line("config", "\(configError)")) }
    if let balancer, !isReportedElsewhere(balancer) { lines.append(line("balancer", balancer)) }
    let oldest = attempts.sorted { $0.since < $1.since }
    for one in oldest.prefix(Diagnostics.maximumAddresses) {
      lines.append(line("connecting", attemptText(one, now)))
    }
    if oldest.count > Diagnostics.maximumAddresses {
      lines.append(line("", "and to \(oldest.count - Diagnostics.maximumAddresses) more addresses"))
    }
    // The latest failure first: it is the one most likely to matter.
    let sorted = failedAddresses.sorted { $0.failure.at > $1.failure.at }
    for one in sorted.prefix(Diagnostics.maximumAddresses) {
      lines.append(line("last try", addressText(one, now)))
    }
    if sorted.count > Diagnostics.maximumAddresses {
      lines.append(line("", "and \(sorted.count - Diagnostics.maximumAddresses) more addresses"))
    }
    return lines.joined(separator: "\n")
  }

  private func line(_ label: String, _ text: String) -> String {
    // Text from peers and agents may contain line breaks: each fact is one line.
    let flat = String(text.map { $0.isNewline ? " " : $0 })
    return label + String(repeating: " ", count: 11 - label.count) + flat
  }

  /// The resolver's line, without its label.
  package func resolverText(_ now: UInt64) -> String {
    switch resolver.outcome {
    case .silent: return "\(scheme) has not answered yet"
    case .answered(let endpoints, let note):
      let count = endpoints == 1 ? "1 endpoint" : "\(endpoints) endpoints"
      let (name, rest) = named(note ?? count)
      return "\(name) answered \(ago(resolver.at, now)): \(rest)"
    case .unanswered(let note):
      let (name, rest) = named(note)
      return "\(name) failed \(ago(resolver.at, now)): \(rest)"
    case .failed(let note):
      let (name, rest) = named(note)
      let next = next(resolver.nextAttempt, now)
      return
        "\(name) failed \(ago(resolver.at, now)): \(rest) (attempt \(resolver.failures)\(next))"
    }
  }

  /// A note may name its source before its first ": ", scheme first: "consul 127.0.0.1:8500: 3 …".
  private func named(_ note: String) -> (name: String, rest: String) {
    let marker: [Character] = [":", " "]
    let characters = Array(note)
    guard note.hasPrefix(scheme + " "),
      let end = characters.indices.dropLast().first(where: {
        characters[$0] == marker[0] && characters[$0 + 1] == marker[1]
      })
    else { return (scheme, note) }
    return (String(characters[..<end]), String(characters[(end + 2)...]))
  }

  private func attemptText(_ one: Attempt, _ now: UInt64) -> String {
    let waits = "waiting for the server's SETTINGS"
    let text =
      switch one.phase {
      case .connecting: "TCP for \(span(now > one.since ? now - one.since : 0))"
      case .handshaking: "TCP connected \(ago(one.since, now)), TLS handshake under way"
      case .waitingForSettings(false): "TCP connected \(ago(one.since, now)), \(waits)"
      case .waitingForSettings(true): "TLS done \(ago(one.since, now)), \(waits)"
      }
    return "\(one.address): \(text)"
  }

  private func addressText(_ one: FailedAddress, _ now: UInt64) -> String {
    let failure = one.failure
    let head = "\(failure.address) \(failure.error), \(ago(failure.at, now))"
    guard failure.attempt > 0 else { return head }
    return "\(head) (attempt \(failure.attempt)\(next(one.nextAttempt, now)))"
  }

  private func isReportedElsewhere(_ text: String) -> Bool {
    switch resolver.outcome {
    case .answered(_, let note?) where note == text: return true
    case .failed(let note) where note == text: return true
    case .unanswered(let note) where note == text: return true
    default: break
    }
    return text == configError?.description
      || failedAddresses.contains { text == "\($0.failure.address) \($0.failure.error)" }
  }

  private func ago(_ then: UInt64, _ now: UInt64) -> String {
    "\(span(now > then ? now - then : 0)) ago"
  }

  private func next(_ time: UInt64?, _ now: UInt64) -> String {
    guard let time else { return "" }
    return time > now ? ", next in \(span(time - now))" : ", next at once"
  }
}

/// `0.4 s`, `12 s`, `3 min`, `2 h`: two digits.
private func span(_ nanoseconds: UInt64) -> String {
  let tenths = nanoseconds / 100_000_000
  if tenths < 100 { return "\(tenths / 10).\(tenths % 10) s" }
  let seconds = tenths / 10
  if seconds < 120 { return "\(seconds) s" }
  if seconds < 7200 { return "\(seconds / 60) min" }
  return "\(seconds / 3600) h"
}
