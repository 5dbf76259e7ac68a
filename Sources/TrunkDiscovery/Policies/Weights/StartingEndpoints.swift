// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// Lets the weight of an endpoint that has just come grow to its full size over a window, so that a
/// server with cold caches is not met by its whole share at once (the formula is that of Envoy's slow
/// start). No I/O; time is an argument.
///
/// ```
///   ABSENT --ready--> GROWING --window is over--> GROWN
///     ^                  '------------------------' |
///     '-- closed, or failed to connect (restarted) -'
/// ```
/// A connection that ends and is made again at once (GOAWAY, maximum age) is the same server: it starts
/// nothing. Endpoints that come together, as when a channel starts, grow together: their shares are equal.
struct StartingEndpoints: Sendable {
  private var since: [SubchannelID: UInt64] = [:]

  mutating func handle(_ event: BalancerEvent, at now: UInt64) {
    guard case .subchannel(let id, let state, _) = event else { return }
    switch state {
    case .ready: if since[id] == nil { since[id] = now }
    case .transientFailure, .shutdown: since[id] = nil
    case .connecting, .idle: break
    }
  }

  /// Forgets those that are no longer there.
  mutating func keep(where isPresent: (SubchannelID) -> Bool) {
    since = since.filter { isPresent($0.key) }
  }

  /// What the weight is multiplied by, 0...1.
  func factor(
    of id: SubchannelID, at now: UInt64, _ config: WeightedRoundRobin.SlowStart
  ) -> Double {
    let window = config.window / .nanoseconds(1)
    guard window > 0, let start = since[id] else { return 1 }
    let age = Double(now - min(start, now))
    guard age < window else { return 1 }
    // Envoy: at least one second of it has passed.
    let part = min(1, max(age, 1e9) / window)
    // part to the power of 1 / aggression.
    let grown = Elementary.decay(-Elementary.logarithm(part) / config.aggression)
    let least = config.minWeightPercent / 100
    // Of a config made in Swift, which may hold any number: never more than 1, nor not a number.
    return least > grown ? min(least, 1) : grown
  }
}
