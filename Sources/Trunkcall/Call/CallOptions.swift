// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// What one call may be told besides its message.
public struct CallOptions: Sendable {
  /// From the start of the call until its status; nil waits without limit. The deadline on the wire
  /// is the earliest of this, the service config's `timeout`, and the deadline inherited from the
  /// handler that makes the call.
  public var timeout: Duration?
  /// Hold the call while no server can be reached, instead of failing it (gRPC wait-for-ready.md).
  /// nil: as the service config says, else false.
  public var waitForReady: Bool?
  public var metadata = Metadata()
  /// Whether a call made inside a handler takes over the handler's deadline. Default true.
  public var inheritsDeadline = true
  /// Largest response message in bytes; nil: the channel's (default 4 MiB).
  public var maxReceiveMessageSize: Int?
  /// Asked for metadata before this call, after the channel's.
  public var credentials: [any CallCredentials] = []
  /// How requests are compressed; nil: as the channel says (default: not). `.identity` turns it off
  /// for this call. A server that lacks the algorithm answers UNIMPLEMENTED (gRPC compression.md).
  public var compression: Compression?

  public init() {}
  public init(timeout: Duration? = nil, waitForReady: Bool? = nil, metadata: Metadata = Metadata())
  {
    self.timeout = timeout
    self.waitForReady = waitForReady
    self.metadata = metadata
  }
}

/// The start of a call, as interceptors and invokers see it.
public struct CallRequest: Sendable {
  public var method: MethodName
  public var options: CallOptions
  public var idempotency: Idempotency

  public init(
    _ method: MethodName, _ options: CallOptions = CallOptions(),
    idempotency: Idempotency = .unknown
  ) {
    self.method = method
    self.options = options
    self.idempotency = idempotency
  }
}

/// The deadline of the handler that is running, for the calls it makes.
package enum InheritedDeadline {
  /// `CLOCK_MONOTONIC` nanoseconds.
  @TaskLocal package static var current: UInt64?
}
