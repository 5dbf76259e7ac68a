// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import Synchronization
internal import TrunkDiscovery
internal import TrunkHTTP2
internal import TrunkSockets
internal import TrunkWire

/// What a method's retry or hedging policy adds to a call.
enum CallPolicy {
  case none
  case retries(PolicyRetries)
  /// The call has attempts, and no stream of its own until one is chosen.
  case hedged(HedgedCall)
  /// The call is such an attempt.
  case hedge(HedgeAttempt)
}

/// The part of a call that only a retry policy needs. Made when the service config is adopted, so
/// that a call without a policy has one nil reference. Owned by the call, touched where it is.
final class PolicyRetries {
  var state: RetryState
  /// A further attempt is due, after so many nanoseconds, once the failed one's stream is closed.
  var pending: UInt64?
  /// The status of the last attempt.
  var lastCode: RPCError.Code?
  /// Servers of the failed attempts; nil before the first.
  fileprivate(set) var tried: TriedServers?
  var timer: LoopTimer?
  fileprivate var buffer = ReplayBudget()
  /// One line for each failed attempt.
  fileprivate var history: [String] = []

  init(_ policy: RetryPolicy, cap: Int) { state = RetryState(policy, cap: cap) }
}

extension ClientCall {
  var policyRetries: PolicyRetries? {
    if case .retries(let retries) = policy { retries } else { nil }
  }

  /// For `grpc-previous-rpc-attempts`.
  var previousAttempts: Int {
    switch policy {
    case .none: 0
    case .hedged(let hedged): hedged.chosen
    case .retries(let retries): retries.state.attempts - 1
    case .hedge(let attempt): attempt.number
    }
  }

  /// An attempt, or its pick, failed: a further attempt is made, or its status is the call's.
  func attemptFailed(_ error: RPCError) {
    guard outcome == nil else { return }
    guard let policyRetries, deadline == .max || Clock.now() < deadline else {
      return settle(.failed(error))
    }
    policyRetries.lastCode = error.code
    policyRetries.note(error, peer: peer, began: attemptBegan)
    if peer != nil { policyRetries.noteServer(subchannel) }
    let pushback = RetryState.Pushback(response.trailingMetadata["grpc-retry-pushback-ms"])
    let canReplay =
      canReplay && policyRetries.buffer.allowsReplay(context)
    let decision = context.retryTokens.withLock { tokens in
      var random = SystemRandom()
      return policyRetries.state.failed(
        error.code, pushback, canReplay: canReplay, tokens: &tokens, random: &random)
    }
    guard case .retry(let delay) = decision, !context.furtherAttempts.isClosed else {
      return settle(.failed(error))
    }
    guard let stream else { return retry(after: delay) }
    // Its `closed` event comes when nghttp2 has closed it: see `closed(_:)`.
    policyRetries.pending = delay
    if stream.isOpen, !stream.isLocallyDone { stream.reset(HTTP2ErrorCode.noError) }
    self.stream = nil
  }

  /// Waits on the loop that owns the call.
  func retry(after delay: UInt64) {
    guard let policyRetries, let loop = owningLoop else { return }
    policyRetries.pending = nil
    guard context.furtherAttempts.add(self) else {
      return settle(.failed(RPCError(.unavailable, "the channel is closed")))
    }
    watchDeadline(on: loop)
    let timer = LoopTimer(on: loop) {
      policyRetries.timer = nil
      self.context.furtherAttempts.remove(self)
      if self.outcome == nil { self.pickAgain() }
    }
    timer.schedule(after: .nanoseconds(Int64(clamping: delay)))
    policyRetries.timer = timer
  }

  /// A request frame is kept for a further attempt.
  func reserve(_ bytes: Int) {
    switch policy {
    case .retries(let retries): retries.buffer.add(bytes, context)
    // After the commit frames are kept as for a call without a policy.
    case .hedged(let hedged): if !hedged.isCommitted { hedged.buffer.add(bytes, context) }
    case .none, .hedge: break
    }
  }

  /// The call is committed, or over.
  func releaseReserved() {
    switch policy {
    case .retries(let retries): retries.buffer.release(context)
    case .hedged(let hedged): hedged.buffer.release(context)
    case .none, .hedge: break
    }
  }

  /// The call has its outcome.
  func endPolicy() {
    switch policy {
    case .none:
      if context.throttlesRetries.load(ordering: .relaxed) { countForThrottling() }
      return
    case .hedge(let attempt): return attempt.ended(self)
    case .retries(let retries):
      if let timer = retries.timer {
        timer.cancel()
        retries.timer = nil
        context.furtherAttempts.remove(self)
      }
    case .hedged(let hedged): hedged.end(self)
    }
    releaseReserved()
    if case .ok = outcome { context.retryTokens.withLock { $0?.succeeded() } }
  }

  /// gRFC A6: calls of every method count; without a policy no status is a failure, but a pushback
  /// that forbids retries is.
  @inline(never)
  private func countForThrottling() {
    switch outcome {
    case .ok: context.retryTokens.withLock { $0?.succeeded() }
    case .failed:
      let pushback = response.trailingMetadata["grpc-retry-pushback-ms"]
      guard RetryState.Pushback(pushback) == .stop else { return }
      context.retryTokens.withLock { $0?.failed() }
    case nil: break
    }
  }

  /// The error with a line for each attempt, if there were several.
  func withAttempts(_ error: RPCError) -> RPCError {
    let history: [String]
    switch policy {
    case .none, .hedge: return error
    case .retries(let retries): history = retries.history
    case .hedged(let hedged): history = hedged.history
    }
    guard history.count > 1 else { return error }
    var error = error
    let lines = history.joined(separator: "\n")
    error.diagnostics = error.diagnostics.isEmpty ? lines : "\(error.diagnostics)\n\(lines)"
    return error
  }
}

extension PolicyRetries {
  fileprivate func noteServer(_ id: SubchannelID) {
    let servers = tried ?? TriedServers()
    servers.insert(id)
    tried = servers
  }

  fileprivate func note(_ error: RPCError, peer: String?, began: UInt64) {
    history.append(attemptLine(state.attempts, error, peer: peer, began: began))
  }
}

/// A failed attempt, for the call's diagnostics.
func attemptLine(_ number: Int, _ error: RPCError, peer: String?, began: UInt64) -> String {
  let now = Clock.now()
  let milliseconds = peer == nil || now < began ? 0 : (now - began) / 1_000_000
  let message = String(error.message.map { $0.isNewline ? " " : $0 })
  return "attempt \(number)  \(peer ?? "no server") \(error.code) after "
    + "\(milliseconds) ms: \(message)"
}

/// The bytes that a call keeps for further attempts: its part of the channel's `retryBuffer`.
struct ReplayBudget {
  private var reserved = 0
  /// The channel's buffer was full: what is sent cannot be sent again.
  private var isOver = false

  func allowsReplay(_ context: ChannelContext) -> Bool {
    !isOver && reserved <= context.settings.maxRetryBufferSize
  }

  mutating func add(_ bytes: Int, _ context: ChannelContext) {
    guard !isOver else { return }
    let (_, total) = context.retryBuffer.add(bytes, ordering: .relaxed)
    reserved += bytes
    if total > context.settings.maxRetryBufferTotal {
      isOver = true
      release(context)
    }
  }

  mutating func release(_ context: ChannelContext) {
    guard reserved > 0 else { return }
    context.retryBuffer.subtract(reserved, ordering: .relaxed)
    reserved = 0
  }
}
