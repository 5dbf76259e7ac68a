// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Testing
import TrunkDiscovery
import TrunkWire

@Suite("Retry policy (gRFC A6)") struct RetryStateTests {
  private var random = Seeded(7)
  private var tokens: RetryTokens?

  private func state(attempts: Int = 4, cap: Int = 5) throws -> RetryState {
    RetryState(
      try RetryPolicy(
        maxAttempts: attempts, initialBackoff: .milliseconds(100), maxBackoff: .milliseconds(300),
        backoffMultiplier: 2, retryableStatusCodes: [.unavailable]), cap: cap)
  }

  @Test(
    "the n-th retry waits min(initial × multiplier^(n-1), max), ±20 %; attempts end at the limit")
  mutating func backoff() throws {
    var ranges: [ClosedRange<UInt64>] = []
    for _ in 0..<200 {
      var state = try state()
      for (i, bound) in [100.0, 200, 300].enumerated() {
        guard
          case .retry(let after) = state.failed(
            .unavailable, canReplay: true, tokens: &tokens, random: &random)
        else { return #expect(Bool(false), "a retry is due") }
        #expect(Double(after) >= bound * 0.8e6 && Double(after) <= bound * 1.2e6)
        if ranges.count == i { ranges.append(after...after) }
        ranges[i] = min(ranges[i].lowerBound, after)...max(ranges[i].upperBound, after)
      }
      #expect(
        state.failed(.unavailable, canReplay: true, tokens: &tokens, random: &random) == .stop)
      #expect(state.attempts == 4)
    }
    // Both ends of the jitter are reached.
    #expect(ranges[0].upperBound - ranges[0].lowerBound > 30_000_000)
  }

  @Test(
    "the channel's cap bounds the policy's attempts", arguments: [(9, 5, 5), (3, 5, 3), (4, 1, 1)])
  mutating func cap(attempts: Int, cap: Int, made: Int) throws {
    var state = try state(attempts: attempts, cap: cap)
    while state.failed(.unavailable, canReplay: true, tokens: &tokens, random: &random) != .stop {}
    #expect(state.attempts == made)
  }

  @Test(
    "a multiplier below 1 shortens the wait from attempt to attempt, below maxBackoff as well",
    arguments: [
      (0.1, 0.5, 1.0, [0.1, 0.05, 0.025]), (10.0, 0.1, 5.0, [5.0, 1.0, 0.1]),
      (10.0, 2.0, 5.0, [5.0, 5.0, 5.0]), (1.0, 1.0, 5.0, [1.0, 1.0, 1.0]),
    ])
  mutating func shrinking(initial: Double, factor: Double, limit: Double, waits: [Double]) throws {
    var state = RetryState(
      try RetryPolicy(
        maxAttempts: 4, initialBackoff: .seconds(initial), maxBackoff: .seconds(limit),
        backoffMultiplier: factor, retryableStatusCodes: [.unavailable]), cap: 5)
    for wait in waits {
      guard
        case .retry(let after) = state.failed(
          .unavailable, canReplay: true, tokens: &tokens, random: &random)
      else { return #expect(Bool(false), "a retry is due") }
      let seconds = Double(after) / 1e9
      #expect(seconds >= wait * 0.799 && seconds <= wait * 1.201, "\(seconds) for \(wait)")
    }
  }

  @Test("another status, or a call that cannot be sent again, is not retried")
  mutating func final() throws {
    var state = try state()
    #expect(state.failed(.internal, canReplay: true, tokens: &tokens, random: &random) == .stop)
    #expect(state.failed(.unavailable, canReplay: false, tokens: &tokens, random: &random) == .stop)
    #expect(state.attempts == 1)
  }

  @Test("pushback replaces the wait and begins the back-off anew; it never adds an attempt")
  mutating func pushback() throws {
    var state = try state()
    func failed(_ pushback: RetryState.Pushback) -> RetryState.Decision {
      state.failed(.unavailable, pushback, canReplay: true, tokens: &tokens, random: &random)
    }
    _ = failed(.none)
    #expect(failed(.after(milliseconds: 1_234)) == .retry(after: 1_234_000_000))
    guard case .retry(let after) = failed(.none) else { return #expect(Bool(false)) }
    #expect(after <= 120_000_000, "as for the first retry")
    #expect(failed(.after(milliseconds: 0)) == .stop)
  }

  @Test(
    "pushback is a 32-bit decimal without leading zeros; what is negative or no such number stops",
    arguments: [
      (nil, .none), ("0", .after(milliseconds: 0)), ("2147483647", .after(milliseconds: .max)),
      ("-1", .stop), ("01", .stop), ("+1", .stop), ("", .stop), ("2147483648", .stop), ("x", .stop),
    ] as [(String?, RetryState.Pushback)])
  mutating func parsing(text: String?, pushback: RetryState.Pushback) throws {
    #expect(RetryState.Pushback(text) == pushback)
    guard pushback == .stop else { return }
    var state = try state()
    #expect(
      state.failed(.unavailable, pushback, canReplay: true, tokens: &tokens, random: &random)
        == .stop)
  }

  @Test(
    "at half of the tokens and below nothing is retried; success gives the ratio back, to the limit"
  )
  mutating func throttling() throws {
    tokens = RetryTokens(try RetryThrottling(maxTokens: 4, tokenRatio: 0.5))
    func retries(_ code: RPCError.Code, _ pushback: RetryState.Pushback = .none) throws -> Bool {
      var state = try state()
      return state.failed(code, pushback, canReplay: true, tokens: &tokens, random: &random)
        != .stop
    }
    #expect(try retries(.unavailable))  // 3 left
    #expect(try !retries(.internal))  // takes none
    #expect(tokens?.milliTokens == 3_000)
    #expect(try !retries(.unavailable))  // 2 left: half
    tokens?.succeeded()
    #expect(try !retries(.unavailable), "1.5 left")
    for _ in 0..<20 { tokens?.succeeded() }
    #expect(tokens?.milliTokens == 4_000)
    #expect(try !retries(.internal, .stop), "pushback takes one, whatever the status")
    #expect(tokens?.milliTokens == 3_000)
    for _ in 0..<9 { _ = try retries(.unavailable) }
    #expect(tokens?.milliTokens == 0)
  }

  @Test("a service config with the same throttling keeps the tokens, another one begins full")
  func reconfigured() throws {
    let config = try RetryThrottling(maxTokens: 4, tokenRatio: 0.5)
    var tokens = RetryTokens(config)
    tokens.failed()
    #expect(RetryTokens(config, keeping: tokens) == tokens)
    let other = try RetryThrottling(maxTokens: 5, tokenRatio: 0.5)
    #expect(RetryTokens(other, keeping: tokens) == RetryTokens(other))
    #expect(RetryTokens(nil, keeping: tokens) == nil)
  }
}
