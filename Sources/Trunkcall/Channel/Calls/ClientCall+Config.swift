// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import TrunkDiscovery
internal import TrunkSockets
internal import TrunkWire

// What the service config and the channel's limits mean for a call.
extension ClientCall {
  /// service_config.md: the earlier deadline, the smaller limits; wait-for-ready if the
  /// application did not set it.
  /// - Returns: whether the call is hedged: it is not picked, its attempts are.
  func adopt(_ config: ServiceConfig) -> Bool {
    if !hasConfig { take(config) }
    if case .hedged(let hedged) = policy { return !hedged.isCommitted }
    return false
  }

  private func take(_ config: ServiceConfig) {
    hasConfig = true
    guard let method = config.method(method.text) else { return }
    if let timeout = method.timeout { deadline = min(deadline, start.adding(timeout)) }
    if waitForReady == nil { waitForReady = method.waitForReady }
    if let limit = method.maxRequestMessageBytes { sendLimit = min(sendLimit, limit) }
    if let limit = method.maxResponseMessageBytes {
      receiveLimit = min(receiveLimit, limit)
      reader = MessageReader(limit: receiveLimit)
    }
    guard context.settings.maxRetryAttempts > 1 else { return }
    if let retry = method.retryPolicy {
      policy = .retries(PolicyRetries(retry, cap: context.settings.maxRetryAttempts))
    } else if let hedging = method.hedgingPolicy {
      policy = .hedged(HedgedCall(hedging, cap: context.settings.maxRetryAttempts))
    } else {
      return
    }
    reserve((firstFrame?.count ?? 0) + moreFrames.reduce(0) { $0 + $1.count })
  }

  /// A frame as it is sent: its prefix written, and compressed if this call compresses. Runs in the
  /// application's task, not on the loop.
  func sealed(_ frame: [UInt8]) throws(RPCError) -> [UInt8] {
    guard compression != .identity, !MessageFrame.isMarkedUncompressed(frame) else {
      return MessageFrame.sealed(frame)
    }
    do throws(CompressionError) {
      return try Deflater.frame(frame, compression) ?? MessageFrame.sealed(frame)
    } catch {
      throw error.rpcError
    }
  }

  /// The reason why a frame cannot be sent; nil if it can.
  func refusal(of frame: [UInt8]) -> RPCError? {
    guard frame.count >= MessageFrame.prefixLength else {
      return RPCError(.internal, "the encoder left no room for the message's prefix")
    }
    let size = frame.count - MessageFrame.prefixLength
    guard size > sendLimit else { return nil }
    return RPCError(
      .resourceExhausted, "message of \(size) bytes is larger than the limit of \(sendLimit) bytes")
  }
}
