// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
public import TrunkWire

/// Retries by the client's policy, as a handler sees and directs them (gRFC A6).
extension ServerCall {
  /// Attempts of this call that the client made before this one (`grpc-previous-rpc-attempts`). 0
  /// for the first, and for clients that do not retry.
  public var previousAttempts: Int {
    metadata["grpc-previous-rpc-attempts"].flatMap { Int($0) }.map { max(0, $0) } ?? 0
  }

  /// Tells the client when to retry this call, if it fails before its response headers
  /// (`grpc-retry-pushback-ms`, with the status). Call it once at most.
  /// - Parameter delay: until the next attempt, rounded down to milliseconds, at most 24.8 days; nil:
  ///   no further attempt.
  /// - Throws: RESOURCE_EXHAUSTED for more metadata than the client takes.
  public func setRetryPushback(_ delay: Duration?) throws(RPCError) {
    var text = "-1"
    if let delay {
      let (seconds, attoseconds) = delay.components
      let limit = Int64(Int32.max)
      let milliseconds =
        seconds >= limit / 1_000 ? limit : seconds * 1_000 + attoseconds / 1_000_000_000_000_000
      text = "\(max(0, min(milliseconds, limit)))"
    }
    try addTrailingMetadata(["grpc-retry-pushback-ms": text])
  }
}
