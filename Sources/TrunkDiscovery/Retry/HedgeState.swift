// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
package import TrunkWire

/// Which attempts a call with a hedging policy makes, and which one becomes the call (gRFC A6). A
/// value: no clock, no timer.
///
/// ```
///   hedging ── hedgingDelay, or a non-fatal status ──► one attempt more ──► hedging
///      ├── response headers, OK, a fatal status, or the last attempt failed ──► committed
///      └── the requests outgrew their buffer ──► committed to the oldest attempt
/// ```
/// - The first attempt is always made. Another follows each hedgingDelay after the last, and at once
///   after a non-fatal status, up to the policy's number and the channel's cap.
/// - A server's pushback moves the next attempt, and with it the later ones; a negative or unreadable
///   one ends hedging: no attempt is added, those under way go on.
/// - With too few tokens (``RetryTokens``) no attempt is added any more.
/// - After the commit none is ever added.
package struct HedgeState: Sendable {
  package enum Action: Sendable, Hashable {
    /// Make the attempt of that number, counted from 0.
    case start(Int)
    /// Send ``timer(now:tokens:)`` at that time; it replaces an earlier one.
    case wake(at: UInt64)
    /// That attempt is the call from now on, with its status if it has ended; cancel the others.
    case commit(Int)
  }

  /// How an attempt ended.
  package struct End: Sendable, Hashable {
    /// nil for OK.
    package var code: RPCError.Code?
    package var pushback: RetryState.Pushback
    /// The status is the call's whatever the policy says: a balancer dropped the attempt.
    package var isFinal: Bool

    package init(
      _ code: RPCError.Code?, _ pushback: RetryState.Pushback = .none, isFinal: Bool = false
    ) {
      self.code = code
      self.pushback = pushback
      self.isFinal = isFinal
    }
  }

  private let delay: UInt64
  private let nonFatal: Set<RPCError.Code>
  private let maxAttempts: Int
  /// Attempts that were started.
  package private(set) var attempts = 0
  private var active: Set<Int> = []
  /// When the next attempt is due; nil: none will be made but after a non-fatal status.
  private var next: UInt64?
  private var isStopped = false
  private var lastEnded: Int?
  package private(set) var committed: Int?

  /// - Parameter cap: the channel's limit of attempts.
  package init(_ policy: HedgingPolicy, cap: Int) {
    let (seconds, attoseconds) = policy.hedgingDelay.components
    delay =
      seconds < 9_000_000_000
      ? UInt64(max(seconds, 0)) * 1_000_000_000 + UInt64(max(attoseconds, 0) / 1_000_000_000)
      : 9_000_000_000_000_000_000
    nonFatal = policy.nonFatalStatusCodes
    maxAttempts = max(1, min(policy.maxAttempts, cap))
  }

  /// Starts the first attempt; the others too, if there is no delay between them.
  /// - Parameter canReplay: false if the requests are too many to be sent twice.
  package mutating func begin(now: UInt64, canReplay: Bool, tokens: RetryTokens?) -> [Action] {
    isStopped = !canReplay
    return startNext(now: now, tokens: tokens)
  }

  /// The time of ``Action/wake(at:)`` has come.
  package mutating func timer(now: UInt64, tokens: RetryTokens?) -> [Action] {
    guard let next else { return [] }
    guard next <= now else { return [.wake(at: next)] }
    let actions = startNext(now: now, tokens: tokens)
    // Other calls took the tokens while this one waited for a server's pushback.
    guard actions.isEmpty, active.isEmpty, let lastEnded else { return actions }
    return commit(lastEnded)
  }

  /// An attempt got response headers.
  package mutating func answered(_ attempt: Int) -> [Action] { commit(attempt) }

  /// The requests outgrew the buffer: the call goes on with the attempt that has sent the most.
  package mutating func outgrown(_ attempt: Int) -> [Action] { commit(attempt) }

  /// No attempt is added any more; without one under way the last status is the call's.
  package mutating func stop() -> [Action] {
    isStopped = true
    next = nil
    guard active.isEmpty, let lastEnded else { return [] }
    return commit(lastEnded)
  }

  /// An attempt ended before response headers, or with status OK.
  package mutating func ended(
    _ attempt: Int, _ end: End, now: UInt64, tokens: inout RetryTokens?
  ) -> [Action] {
    guard committed == nil, active.remove(attempt) != nil else { return [] }
    lastEnded = attempt
    guard let code = end.code else { return commit(attempt) }
    let isNonFatal = nonFatal.contains(code) && !end.isFinal
    if isNonFatal || end.pushback == .stop { tokens?.failed() }
    guard isNonFatal else { return commit(attempt) }
    var actions: [Action] = []
    switch end.pushback {
    case .stop: isStopped = true
    case .after(let milliseconds) where mayStart(tokens):
      next = now.saturatingAdd(UInt64(milliseconds) * 1_000_000)
      if let next { actions.append(.wake(at: next)) }
    case .after: break
    case .none: actions = startNext(now: now, tokens: tokens)
    }
    if isStopped || !mayStart(tokens) { next = nil }
    return active.isEmpty && next == nil ? commit(attempt) : actions
  }

  private func mayStart(_ tokens: RetryTokens?) -> Bool {
    committed == nil && !isStopped && attempts < maxAttempts && (tokens?.allowsRetries ?? true)
  }

  private mutating func startNext(now: UInt64, tokens: RetryTokens?) -> [Action] {
    var actions: [Action] = []
    next = nil
    repeat {
      guard attempts == 0 || mayStart(tokens) else { return actions }
      actions.append(.start(attempts))
      active.insert(attempts)
      attempts += 1
    } while delay == 0
    if mayStart(tokens) {
      let due = now.saturatingAdd(delay)
      next = due
      actions.append(.wake(at: due))
    }
    return actions
  }

  private mutating func commit(_ attempt: Int) -> [Action] {
    guard committed == nil else { return [] }
    committed = attempt
    next = nil
    return [.commit(attempt)]
  }
}
