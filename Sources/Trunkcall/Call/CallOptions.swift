// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import TrunkSockets

/// The settings of one call besides its message.
///
/// A generated client has options for all its calls, and a call may have its own: each field that
/// the call sets wins, the others are the client's (``adding(_:)``).
public struct CallOptions: Sendable {
  /// From the start of the call until its status; nil waits without limit. The deadline on the wire
  /// is the earliest of this, ``deadline``, the service config's `timeout`, and the deadline
  /// inherited from the handler that makes the call.
  public var timeout: Duration?
  /// The time by which the call must have its status, for several calls that share one deadline;
  /// nil: none. One that has passed fails the call with DEADLINE_EXCEEDED.
  public var deadline: ContinuousClock.Instant? {
    get { untilDeadline.map { CallOptions.reference.advanced(by: $0) } }
    set { untilDeadline = newValue.map { CallOptions.reference.duration(to: $0) } }
  }
  // An Instant has a resilient layout: copies of these options would go through value witnesses (6
  // % of a call); a Duration has a fixed one.
  private var untilDeadline: Duration?
  private static let reference = ContinuousClock.now
  /// Hold the call while no server can be reached, instead of failing it (wait-for-ready.md).
  /// nil: the service config's setting, else false.
  public var waitForReady: Bool?
  /// The request's metadata; see ``Metadata`` for what is refused.
  public var metadata: Metadata
  /// Whether a call made inside a handler inherits the handler's deadline. Default true.
  public var inheritsDeadline: Bool
  /// Largest response message in bytes; nil: the channel's (default 4 MiB).
  public var maxReceiveMessageSize: Int?
  /// Called for metadata before this call, after the channel's. Default none.
  public var credentials: [any CallCredentials]
  /// How requests are compressed; nil: the channel's (default: none). `.identity`
  /// turns it off for this call. A server without the algorithm answers UNIMPLEMENTED
  /// (compression.md).
  public var compression: Compression?

  /// All defaults: no deadline, no metadata, limits of the channel.
  public init() {
    metadata = Metadata()
    inheritsDeadline = true
    credentials = []
  }

  /// - Parameters: see the properties of the same names; defaults as of ``init()``.
  public init(
    timeout: Duration? = nil, deadline: ContinuousClock.Instant? = nil, waitForReady: Bool? = nil,
    metadata: Metadata = Metadata(), inheritsDeadline: Bool = true,
    maxReceiveMessageSize: Int? = nil, credentials: [any CallCredentials] = [],
    compression: Compression? = nil
  ) {
    self.timeout = timeout
    self.waitForReady = waitForReady
    self.metadata = metadata
    self.inheritsDeadline = inheritsDeadline
    self.maxReceiveMessageSize = maxReceiveMessageSize
    self.credentials = credentials
    self.compression = compression
    if let deadline { self.deadline = deadline }
  }

  /// These options, the client's, combined with a call's own: a field that the call has set wins;
  /// its metadata and credentials are appended; ``inheritsDeadline`` holds only if both have it.
  /// `timeout` and `deadline` are two fields: the earlier one holds.
  @inlinable public func adding(_ own: CallOptions?) -> CallOptions {
    guard let own else { return self }
    return own.over(self)
  }

  @usableFromInline func over(_ base: CallOptions) -> CallOptions {
    var merged = base
    if let timeout { merged.timeout = timeout }
    if let untilDeadline { merged.untilDeadline = untilDeadline }
    if let waitForReady { merged.waitForReady = waitForReady }
    if !metadata.isEmpty { merged.metadata.append(contentsOf: metadata) }
    if !inheritsDeadline { merged.inheritsDeadline = false }
    if let maxReceiveMessageSize { merged.maxReceiveMessageSize = maxReceiveMessageSize }
    if !credentials.isEmpty { merged.credentials += credentials }
    if let compression { merged.compression = compression }
    return merged
  }

  /// The earliest end by these options and the deadline of the handler that makes the call, in
  /// nanoseconds of `CLOCK_MONOTONIC`; `.max` for none.
  func end(from start: UInt64) -> UInt64 {
    var end = timeout.map { start.adding($0) } ?? .max
    if untilDeadline != nil, let deadline {
      end = min(end, start.adding(ContinuousClock.now.duration(to: deadline)))
    }
    if inheritsDeadline, let inherited = InheritedDeadline.current { end = min(end, inherited) }
    return end
  }
}

/// The definition of a call, as interceptors and invokers get it.
public struct CallRequest: Sendable {
  /// `/package.Service/Method`.
  public var method: MethodName
  /// The client's and the call's options, combined.
  public var options: CallOptions
  /// The method's `idempotency_level`; ``Idempotency/unknown`` without one.
  public var idempotency: Idempotency

  /// For interceptors, invokers and their tests.
  public init(
    _ method: MethodName, _ options: CallOptions = CallOptions(),
    idempotency: Idempotency = .unknown
  ) {
    self.method = method
    self.options = options
    self.idempotency = idempotency
  }
}

/// The deadline of the running handler, inherited by the calls it makes.
package enum InheritedDeadline {
  /// `CLOCK_MONOTONIC` nanoseconds.
  @TaskLocal package static var current: UInt64?
}
