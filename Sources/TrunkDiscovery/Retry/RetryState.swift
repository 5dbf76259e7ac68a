// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
package import TrunkWire

/// Whether and when a call with a retry policy makes a further attempt (gRFC A6). A value: no
/// clock, no timer.
///
/// ```
///   attempt ── failed: retryable, not committed, attempts and tokens left ──► wait ──► attempt
///      └────── OK, committed, another status, no attempt or token left ─────► the call's status
/// ```
/// - The n-th retry waits min(initialBackoff × backoffMultiplier^(n-1), maxBackoff), ±20 %.
/// - A server's pushback replaces that wait, and the back-off begins anew; a negative or unreadable
///   one ends the retries. It never adds an attempt.
/// - Transparent retries are not attempts of the policy.
package struct RetryState: Sendable {
  /// `grpc-retry-pushback-ms` of a failed attempt.
  package enum Pushback: Sendable, Hashable {
    case none
    /// The next attempt starts after so many milliseconds.
    case after(milliseconds: Int32)
    /// No further attempt: a negative number, or no number.
    case stop

    /// - Parameter text: the metadata value; nil if there is none. Signed 32-bit decimal without
    ///   leading zeros.
    package init(_ text: String?) {
      guard let text else {
        self = .none
        return
      }
      if let number = Int32(text), "\(number)" == text, number >= 0 {
        self = .after(milliseconds: number)
      } else {
        self = .stop
      }
    }
  }

  package enum Decision: Sendable, Hashable {
    /// A further attempt after so many nanoseconds.
    case retry(after: UInt64)
    /// The attempt's status is the call's.
    case stop
  }

  private let policy: RetryPolicy
  private let maxAttempts: Int
  /// Attempts that were made, the present one included; transparent retries do not count.
  package private(set) var attempts = 1
  /// Retries since the call began, or since the last pushback.
  private var backoffs = 0

  /// - Parameter cap: the channel's limit of attempts.
  package init(_ policy: RetryPolicy, cap: Int) {
    self.policy = policy
    maxAttempts = max(1, min(policy.maxAttempts, cap))
  }

  /// An attempt failed before its response headers.
  /// - Parameters:
  ///   - canReplay: whether all that was sent can be sent again.
  ///   - tokens: the channel's, which this failure takes from; nil where nothing is throttled.
  package mutating func failed(
    _ code: RPCError.Code, _ pushback: Pushback = .none, canReplay: Bool,
    tokens: inout RetryTokens?, random: inout some RandomNumberGenerator
  ) -> Decision {
    let isRetryable = policy.retryableStatusCodes.contains(code)
    if isRetryable || pushback == .stop { tokens?.failed() }
    guard isRetryable, canReplay, pushback != .stop, attempts < maxAttempts,
      tokens?.allowsRetries ?? true
    else { return .stop }
    attempts += 1
    if case .after(let milliseconds) = pushback {
      backoffs = 0
      return .retry(after: UInt64(milliseconds) * 1_000_000)
    }
    backoffs += 1
    return .retry(after: delay(using: &random))
  }

  private func delay(using random: inout some RandomNumberGenerator) -> UInt64 {
    var bound = RetryState.seconds(policy.initialBackoff)
    let limit = RetryState.seconds(policy.maxBackoff)
    let factor = policy.backoffMultiplier
    // Past the limit only a factor below 1 changes anything.
    for _ in 1..<max(backoffs, 1) where bound < limit || factor < 1 { bound *= factor }
    let seconds = min(bound, limit) * Double.random(in: 0.8...1.2, using: &random)
    return seconds < 9e9 ? UInt64(seconds * 1e9) : 9_000_000_000_000_000_000
  }

  private static func seconds(_ duration: Duration) -> Double {
    let (seconds, attoseconds) = duration.components
    return Double(seconds) + Double(attoseconds) / 1e18
  }
}

/// `retryThrottling`: no retries while too many calls of a channel fail (gRFC A6). In thousandths
/// of a token.
package struct RetryTokens: Sendable, Hashable {
  private let config: RetryThrottling
  package private(set) var milliTokens: Int

  /// Full.
  package init(_ config: RetryThrottling) {
    self.config = config
    milliTokens = config.maxMilliTokens
  }

  /// For a new service config: one with the same values keeps the count, another begins full.
  package init?(_ config: RetryThrottling?, keeping old: RetryTokens?) {
    guard let config else { return nil }
    if let old, old.config == config { self = old } else { self.init(config) }
  }

  package mutating func failed() { milliTokens = max(0, milliTokens - 1_000) }
  package mutating func succeeded() {
    milliTokens = min(config.maxMilliTokens, milliTokens + config.milliTokenRatio)
  }

  package var allowsRetries: Bool { milliTokens > config.maxMilliTokens / 2 }
}
