// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Testing
import TrunkDiscovery
import TrunkWire

@Suite("Hedging (gRFC A6)") struct HedgeStateTests {
  private let ms: UInt64 = 1_000_000

  private func state(
    _ attempts: Int = 3, delay: Duration = .milliseconds(100), cap: Int = 5
  ) throws -> HedgeState {
    HedgeState(
      try HedgingPolicy(
        maxAttempts: attempts, hedgingDelay: delay, nonFatalStatusCodes: [.unavailable]), cap: cap)
  }

  @Test("attempts begin a hedgingDelay apart, until there are maxAttempts") func delays() throws {
    var state = try state()
    #expect(
      state.begin(now: 0, canReplay: true, tokens: nil) == [.start(0), .wake(at: 100 * ms)])
    #expect(state.timer(now: 99 * ms, tokens: nil) == [.wake(at: 100 * ms)])
    #expect(state.timer(now: 100 * ms, tokens: nil) == [.start(1), .wake(at: 200 * ms)])
    #expect(state.timer(now: 200 * ms, tokens: nil) == [.start(2)])
    #expect(state.timer(now: 300 * ms, tokens: nil) == [])
  }

  @Test("without a delay all begin at once, up to the channel's cap") func atOnce() throws {
    var state = try state(9, delay: .zero, cap: 4)
    #expect(
      state.begin(now: 0, canReplay: true, tokens: nil)
        == [.start(0), .start(1), .start(2), .start(3)])
  }

  @Test("a non-fatal status begins the next at once; later ones are counted from there")
  func nonFatal() throws {
    var state = try state()
    var tokens: RetryTokens?
    _ = state.begin(now: 0, canReplay: true, tokens: nil)
    #expect(
      state.ended(0, .init(.unavailable), now: 30 * ms, tokens: &tokens)
        == [.start(1), .wake(at: 130 * ms)])
  }

  @Test("OK, a fatal status and response headers commit; nothing begins after that")
  func commits() throws {
    for end in [HedgeState.End(nil), .init(.internal), .init(.unavailable, isFinal: true)] {
      var state = try state()
      var tokens: RetryTokens?
      _ = state.begin(now: 0, canReplay: true, tokens: nil)
      _ = state.timer(now: 100 * ms, tokens: nil)
      #expect(state.ended(1, end, now: 110 * ms, tokens: &tokens) == [.commit(1)])
      #expect(state.timer(now: 900 * ms, tokens: nil) == [])
      #expect(state.ended(0, .init(.unavailable), now: 910 * ms, tokens: &tokens) == [])
      #expect(state.answered(0) == [])
    }
    var state = try state()
    _ = state.begin(now: 0, canReplay: true, tokens: nil)
    #expect(state.answered(0) == [.commit(0)])
    #expect(state.timer(now: 900 * ms, tokens: nil) == [])
  }

  @Test("when the last attempt has failed, its status is the call's") func allFailed() throws {
    var state = try state(2)
    var tokens: RetryTokens?
    _ = state.begin(now: 0, canReplay: true, tokens: nil)
    #expect(state.ended(0, .init(.unavailable), now: 1, tokens: &tokens) == [.start(1)])
    #expect(state.ended(1, .init(.unavailable), now: 2, tokens: &tokens) == [.commit(1)])
  }

  @Test("a pushback moves the next attempt, and the later ones follow it by hedgingDelay")
  func pushback() throws {
    var state = try state()
    var tokens: RetryTokens?
    _ = state.begin(now: 0, canReplay: true, tokens: nil)
    #expect(
      state.ended(0, .init(.unavailable, .after(milliseconds: 500)), now: 10 * ms, tokens: &tokens)
        == [.wake(at: 510 * ms)])
    #expect(state.timer(now: 510 * ms, tokens: nil) == [.start(1), .wake(at: 610 * ms)])
  }

  @Test("a negative pushback adds no attempt; those under way go on") func stop() throws {
    var state = try state()
    var tokens: RetryTokens?
    _ = state.begin(now: 0, canReplay: true, tokens: nil)
    _ = state.timer(now: 100 * ms, tokens: nil)
    #expect(state.ended(0, .init(.unavailable, .stop), now: 110 * ms, tokens: &tokens) == [])
    #expect(state.timer(now: 200 * ms, tokens: nil) == [])
    #expect(state.ended(1, .init(.unavailable), now: 300 * ms, tokens: &tokens) == [.commit(1)])
  }

  @Test("when its channel closes no attempt is added, and those under way go on")
  func channelCloses() throws {
    var state = try state()
    var tokens: RetryTokens?
    _ = state.begin(now: 0, canReplay: true, tokens: nil)
    #expect(state.stop() == [])
    #expect(state.timer(now: 100 * ms, tokens: nil) == [])
    #expect(state.ended(0, .init(.unavailable), now: 110 * ms, tokens: &tokens) == [.commit(0)])
    // One that waits for a server's pushback has its end.
    var waiting = try self.state()
    _ = waiting.begin(now: 0, canReplay: true, tokens: nil)
    _ = waiting.ended(
      0, .init(.unavailable, .after(milliseconds: 500)), now: 10 * ms, tokens: &tokens)
    #expect(waiting.stop() == [.commit(0)])
  }

  @Test("tokens are taken by non-fatal failures, and too few of them end hedging, not the call")
  func throttled() throws {
    var state = try state(4)
    var tokens: RetryTokens? = RetryTokens(try RetryThrottling(maxTokens: 4, tokenRatio: 0.1))
    _ = state.begin(now: 0, canReplay: true, tokens: tokens)
    #expect(
      state.ended(0, .init(.unavailable), now: 1, tokens: &tokens)
        == [.start(1), .wake(at: 1 + 100 * ms)])
    #expect(tokens?.milliTokens == 3_000)
    tokens?.failed()
    #expect(state.timer(now: 1 + 100 * ms, tokens: tokens) == [])
    #expect(state.ended(1, .init(.internal), now: 2, tokens: &tokens) == [.commit(1)])
    #expect(tokens?.milliTokens == 2_000)
  }

  @Test("requests that cannot be sent twice make one attempt") func noReplay() throws {
    var state = try state(3, delay: .zero)
    var tokens: RetryTokens?
    #expect(state.begin(now: 0, canReplay: false, tokens: nil) == [.start(0)])
    #expect(state.ended(0, .init(.unavailable), now: 1, tokens: &tokens) == [.commit(0)])
  }

  /// Any order of events, against what gRFC A6 promises.
  @Test("in any order of events: at most maxAttempts, one commit, none after it, tokens conserved")
  func anyOrder() throws {
    for seed in 0..<20_000 as Range<UInt64> {
      var random = Seeded(seed)
      let attempts = Int.random(in: 2...6, using: &random)
      var state = try state(
        attempts, delay: .milliseconds(Int64.random(in: 0...3, using: &random) * 50), cap: 5)
      var tokens: RetryTokens? = RetryTokens(try RetryThrottling(maxTokens: 10, tokenRatio: 0.5))
      var (started, live, commits, now, due): (Int, [Int], Int, UInt64, UInt64?) = (
        0, [], 0, 0, nil
      )
      var taken = 0
      func take(_ actions: [HedgeState.Action]) {
        for action in actions {
          switch action {
          case .start(let attempt):
            #expect(commits == 0 && attempt == started)
            started += 1
            live.append(attempt)
          case .wake(let time):
            #expect(time >= now)
            due = time
          case .commit: commits += 1
          }
        }
      }
      take(state.begin(now: now, canReplay: true, tokens: tokens))
      #expect(started >= 1)
      for _ in 0..<30 {
        now += UInt64.random(in: 0...60, using: &random) * ms
        if let time = due, time <= now {
          due = nil
          take(state.timer(now: now, tokens: tokens))
        }
        guard let ending = live.randomElement(using: &random), Bool.random(using: &random) else {
          continue
        }
        switch Int.random(in: 0..<6, using: &random) {
        case 0: take(state.answered(ending))
        case 1:
          live.removeAll { $0 == ending }
          take(state.ended(ending, .init(nil), now: now, tokens: &tokens))
        case 2:
          live.removeAll { $0 == ending }
          take(state.ended(ending, .init(.internal), now: now, tokens: &tokens))
        default:
          live.removeAll { $0 == ending }
          let pushbacks: [RetryState.Pushback] = [
            .none, .stop, .after(milliseconds: 0), .after(milliseconds: 40),
          ]
          let pushback = pushbacks.randomElement(using: &random) ?? .none
          if commits == 0 { taken += 1 }
          take(state.ended(ending, .init(.unavailable, pushback), now: now, tokens: &tokens))
        }
        #expect(started <= min(attempts, 5))
        #expect(commits <= 1)
        // A call without an attempt under way waits for a time, or has its end.
        #expect(commits == 1 || !live.isEmpty || due != nil, "seed \(seed)")
      }
      #expect(tokens?.milliTokens == max(0, 10_000 - taken * 1_000))
    }
  }
}
