// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import Synchronization
internal import TrunkDiscovery
internal import TrunkHTTP2
internal import TrunkSockets
internal import TrunkWire

/// The part of a call that only a retry policy needs. Made when the service config is adopted, so
/// that a call without a policy has one nil reference. Owned by the call, touched where it is.
final class PolicyRetries {
  var state: RetryState
  /// A further attempt is due, after so many nanoseconds, once the failed one's stream is closed.
  var pending: UInt64?
  /// The status of the last attempt.
  var lastCode: RPCError.Code?
  var timer: LoopTimer?
  /// Its part of the channel's `retryBuffer`, in bytes.
  fileprivate var reserved = 0
  /// The channel's buffer was full: what is sent cannot be sent again.
  fileprivate var isOverBudget = false
  /// One line for each failed attempt.
  fileprivate var history: [String] = []

  init(_ policy: RetryPolicy, cap: Int) { state = RetryState(policy, cap: cap) }
}

extension ClientCall {
  /// An attempt, or its pick, failed: a further attempt is made, or its status is the call's.
  func attemptFailed(_ error: RPCError) {
    guard outcome == nil else { return }
    guard let policyRetries, deadline == .max || Clock.now() < deadline else {
      return settle(.failed(error))
    }
    policyRetries.lastCode = error.code
    policyRetries.note(error, peer: peer, began: attemptBegan)
    let pushback = RetryState.Pushback(response.trailingMetadata["grpc-retry-pushback-ms"])
    let canReplay =
      canReplay && !policyRetries.isOverBudget
      && policyRetries.reserved <= context.settings.maxRetryBufferSize
    let decision = context.retryTokens.withLock { tokens in
      var random = SystemRandomNumberGenerator()
      return policyRetries.state.failed(
        error.code, pushback, canReplay: canReplay, tokens: &tokens, random: &random)
    }
    guard case .retry(let delay) = decision else { return settle(.failed(error)) }
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
    watchDeadline(on: loop)
    let timer = LoopTimer(on: loop) {
      policyRetries.timer = nil
      if self.outcome == nil { self.pickAgain() }
    }
    timer.schedule(after: .nanoseconds(Int64(clamping: delay)))
    policyRetries.timer = timer
  }

  /// A request frame is kept for a further attempt.
  func reserve(_ bytes: Int) {
    guard let policyRetries, !policyRetries.isOverBudget else { return }
    let (_, total) = context.retryBuffer.add(bytes, ordering: .relaxed)
    policyRetries.reserved += bytes
    if total > context.settings.maxRetryBufferTotal {
      policyRetries.isOverBudget = true
      releaseReserved()
    }
  }

  /// The call is committed, or over.
  func releaseReserved() {
    guard let policyRetries, policyRetries.reserved > 0 else { return }
    context.retryBuffer.subtract(policyRetries.reserved, ordering: .relaxed)
    policyRetries.reserved = 0
  }

  /// The call has its outcome.
  func endRetries() {
    guard let policyRetries else { return }
    policyRetries.timer?.cancel()
    policyRetries.timer = nil
    releaseReserved()
    if case .ok = outcome { context.retryTokens.withLock { $0?.succeeded() } }
  }

  /// The error with a line for each attempt, if there were several.
  func withAttempts(_ error: RPCError) -> RPCError {
    guard let policyRetries, policyRetries.history.count > 1 else { return error }
    var error = error
    let lines = policyRetries.history.joined(separator: "\n")
    error.diagnostics = error.diagnostics.isEmpty ? lines : "\(error.diagnostics)\n\(lines)"
    return error
  }
}

extension PolicyRetries {
  fileprivate func note(_ error: RPCError, peer: String?, began: UInt64) {
    let now = Clock.now()
    let milliseconds = peer == nil || now < began ? 0 : (now - began) / 1_000_000
    let message = String(error.message.map { $0.isNewline ? " " : $0 })
    history.append(
      "attempt \(state.attempts)  \(peer ?? "no server") \(error.code) after "
        + "\(milliseconds) ms: \(message)")
  }
}
