// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
package import TrunkDiscovery

/// Keeps instances that all turned critical within one check interval: more likely a fault of their
/// agents, or of what the checks depend on, than of every server at once. No I/O, no clock.
///
/// - Only registered instances are kept: one that was deregistered, or put into maintenance, was
///   taken out on purpose.
/// - Instances that were critical for longer than the window are not kept.
/// - It ends with the first instance that passes, or after `hold`.
package struct FailOpen: Sendable {
  package typealias Instant = ContinuousClock.Instant

  private let window: Duration
  private let hold: Duration
  /// Instances that stopped passing while others still did.
  private var left: [String: (endpoint: Endpoint, at: Instant)] = [:]
  /// While it keeps instances: when that ends.
  package private(set) var until: Instant?

  /// - Parameter hold: zero keeps nothing.
  package init(within window: Duration, hold: Duration) {
    self.window = window
    self.hold = hold
  }

  /// An answer with passing instances.
  package mutating func passing(_ now: [Endpoint], after before: [Endpoint], at time: Instant) {
    left = left.filter { time - $0.value.at <= window }
    // Kept instances were not passing: one that flaps does not keep the others without end.
    if until == nil { for endpoint in before { left[endpoint.instanceKey] = (endpoint, time) } }
    until = nil
    for endpoint in now { left[endpoint.instanceKey] = nil }
  }

  /// An answer without passing instances.
  /// - Parameters:
  ///   - before: the set in force until now.
  ///   - critical: ids of instances that are registered and critical, not in maintenance; nil if
  ///     that is not known.
  /// - Returns: the instances to keep.
  package mutating func empty(
    after before: [Endpoint], critical: Set<String>?, at now: Instant
  ) -> [Endpoint] {
    defer { left = [:] }
    if let until {
      guard now < until else { return end() }
      // If it is not known, all are kept.
      guard let critical else { return before }
      let kept = before.filter { critical.contains($0.instanceKey) }
      return kept.isEmpty ? end() : kept
    }
    guard hold > .zero, let critical else { return [] }
    let newlyCritical = before.filter { critical.contains($0.instanceKey) }
    // Where the last ones were taken out on purpose, those that turned critical before them stay
    // out.
    guard !newlyCritical.isEmpty else { return [] }
    let known = Set(newlyCritical.map(\.instanceKey))
    let earlier = left.values.filter {
      now - $0.at <= window && critical.contains($0.endpoint.instanceKey)
        && !known.contains($0.endpoint.instanceKey)
    }
    until = now + hold
    return (newlyCritical + earlier.map(\.endpoint)).sorted { $0.instanceKey < $1.instanceKey }
  }

  package func note(keeping count: Int) -> String {
    let subject = count == 1 ? "the last instance is" : "the last \(count) instances are"
    return "all turned critical within \(ConsulDuration.text(window)), \(subject) kept for "
      + ConsulDuration.text(hold)
  }

  private mutating func end() -> [Endpoint] {
    until = nil
    return []
  }
}
