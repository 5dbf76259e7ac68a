// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import TrunkSockets

/// The server's half of a call within the process: what the handler sees of it, and the metadata and
/// status that it leaves behind.
final class InProcessCall: ServerCallContext {
  let methodName: String
  let requestMetadata: Metadata
  let authority: String
  /// `CLOCK_MONOTONIC` nanoseconds; nil for none.
  let deadline: UInt64?

  struct Answer: Sendable {
    var initial = Metadata()
    var trailing = Metadata()
    var headersSent = false
  }
  private let answer = Locked(Answer())
  private let headersWaiters = Locked<[CheckedContinuation<Void, Never>]>([])

  init(_ request: CallRequest, authority: String, deadline: UInt64?) {
    methodName = request.method.text
    requestMetadata = request.options.metadata
    self.authority = authority
    self.deadline = deadline
  }

  var peer: String { InProcessChannel.peer }
  var userAgent: String { RequestHeaders.userAgent }
  var timeRemaining: Duration? {
    deadline.map { end in
      let now = Clock.now()
      return .nanoseconds(end > now ? Int64(clamping: end - now) : 0)
    }
  }
  // Nothing is compressed where nothing travels.
  var lastMessageWasCompressed: Bool { false }
  var clientAccepts: CompressionSet { [] }
  #if TLS
    var tlsPeer: TLSPeer? { nil }
  #endif

  func compressResponses(with compression: Compression) throws(RPCError) -> Bool {
    compression == .identity
  }

  func addInitialMetadata(_ metadata: Metadata) throws(RPCError) {
    try ServerStream.check(metadata)
    let isLate = answer.withLock { answer in
      if !answer.headersSent { answer.initial.append(contentsOf: metadata) }
      return answer.headersSent
    }
    if isLate {
      throw RPCError(.failedPrecondition, "the initial metadata of this call is sent already")
    }
  }

  func addTrailingMetadata(_ metadata: Metadata) throws(RPCError) {
    try ServerStream.check(metadata)
    answer.withLock { $0.trailing.append(contentsOf: metadata) }
  }

  // MARK: The client's side

  var initialMetadata: Metadata { answer.withLock { $0.initial } }
  var trailingMetadata: Metadata { answer.withLock { $0.trailing } }

  /// From now on the initial metadata is what it is; whoever waits for it goes on.
  func sendHeaders() {
    let isFirst = answer.withLock { answer in
      defer { answer.headersSent = true }
      return !answer.headersSent
    }
    guard isFirst else { return }
    let waiters = headersWaiters.withLock { waiters in
      defer { waiters = [] }
      return waiters
    }
    for waiter in waiters { waiter.resume() }
  }

  func waitForHeaders() async {
    await withCheckedContinuation { continuation in
      // The flag is looked at under the waiters' lock: it is set before they are taken.
      let isThere = headersWaiters.withLock { waiters in
        if answer.withLock({ $0.headersSent }) { return true }
        waiters.append(continuation)
        return false
      }
      if isThere { continuation.resume() }
    }
  }

  /// A status with what it brings along.
  func error(_ error: any Error) -> RPCError {
    var status = ServerStream.status(of: error)
    status.origin = .peer
    return status
  }
}
