// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import TrunkSockets

#if TLS
  public import TrunkTLS

  extension ServerCall {
    /// Who the client is, by the certificate that the server verified; nil without one.
    public var tlsPeer: TLSPeer? { context.tlsPeer }
  }

  extension ServerStream {
    var tlsPeer: TLSPeer? { connection.tlsPeer }
  }
#endif

/// A call as its handler sees it. The handler's deadline and cancellation are its task's: it is
/// cancelled when the client goes away, resets the stream, or runs out of time.
public struct ServerCall: Sendable {
  fileprivate let context: any ServerCallContext

  init(_ context: any ServerCallContext) { self.context = context }

  /// `/package.Service/Method`, as registered.
  public var path: String { context.methodName }
  /// What the client sent beside the call. Names of gRPC and HTTP are not in it, except those that
  /// work by metadata, such as `grpc-trace-bin` and `grpc-previous-rpc-attempts` (docs/metadata.md
  /// has the table). It can be sent on as it is, with a reply or with another call.
  public var metadata: Metadata { context.requestMetadata }
  /// The client's address, e.g. `10.0.0.7:41234`.
  public var peer: String { context.peer }
  /// The request's `:authority`; the `host` field's value where a proxy sent that instead.
  public var authority: String { context.authority }
  /// The request's `user-agent`; empty without one.
  public var userAgent: String { context.userAgent }
  /// Time left until the client's deadline, not below zero; nil without one.
  public var timeRemaining: Duration? { context.timeRemaining }
  /// The client's deadline, also when it has passed; nil without one.
  public var deadline: ContinuousClock.Instant? {
    context.deadline.map { end in
      let now = Clock.now()
      let instant = ContinuousClock.now
      return end >= now
        ? instant.advanced(by: .nanoseconds(Int64(clamping: end - now)))
        : instant.advanced(by: .zero - .nanoseconds(Int64(clamping: now - end)))
    }
  }
  /// Whether the client's deadline has passed: it has its status, DEADLINE_EXCEEDED, and the
  /// handler's task is cancelled.
  public var hasExpired: Bool { context.deadline.map { $0 <= Clock.now() } ?? false }

  /// The same call with other metadata of the request, for an interceptor to hand on. What else it
  /// is, and what it answers, stays the client's call.
  public func with(metadata: Metadata) -> ServerCall {
    ServerCall(ChangedCall(context, metadata))
  }

  /// Whether the request message that the handler took last came compressed; it is given to the
  /// handler decompressed.
  public var requestWasCompressed: Bool { context.lastMessageWasCompressed }
  /// How the client compresses requests (`grpc-encoding`); `.identity` if it does not. Each message
  /// may come uncompressed all the same: ``requestWasCompressed``.
  public var requestCompression: Compression { context.requestCompression }
  /// What the client can decompress (`grpc-accept-encoding`).
  public var clientAccepts: CompressionSet { context.clientAccepts }

  /// Compresses the responses of this call, until one is written with `compressed: false`. A client
  /// that does not accept the algorithm gets them uncompressed (compression.md). `.identity`
  /// turns the server's default off.
  /// - Returns: whether the client accepts it.
  /// - Throws: FAILED_PRECONDITION when the headers, which name the algorithm, are gone already.
  @discardableResult
  public func compressResponses(with compression: Compression) throws(RPCError) -> Bool {
    try context.compressResponses(with: compression)
  }

  /// Whether the server's graceful stop has begun: the handler of a long stream should come to its
  /// end. At the end of the drain (``ServerOptions/drain``) the call ends with UNAVAILABLE and the
  /// handler is cancelled. With the trait `ServiceLifecycle`, `Task.isShuttingDownGracefully` says
  /// the same, and `withGracefulShutdownHandler` works.
  public var isShuttingDown: Bool { context.stop.hasBegun }

  /// Suspends until the server's graceful stop begins; returns at once if it has. In a call within
  /// the process it does not.
  /// - Throws: when the task that waits is cancelled: the call, or a child task that waits beside
  ///   its work.
  public func gracefulShutdown() async throws(CancellationError) { try await context.stop.wait() }

  /// Adds to the metadata that goes before the first response message; too late after it.
  /// - Throws: FAILED_PRECONDITION when the headers are gone already, INTERNAL for a name or value
  ///   that cannot travel, RESOURCE_EXHAUSTED for more than the client takes.
  public func addInitialMetadata(_ metadata: Metadata) throws(RPCError) {
    try context.addInitialMetadata(metadata)
  }

  /// Sends the initial metadata now, and not with the first reply message: a client that waits for
  /// it (a watch, whose first message may take its time) goes on. Nothing happens if it has gone,
  /// or the call has ended.
  public func sendInitialMetadata() { context.sendInitialMetadata() }

  /// Adds to the metadata that goes with the status.
  /// - Throws: INTERNAL for a name or value that cannot travel, RESOURCE_EXHAUSTED for more than
  ///   the client takes.
  public func addTrailingMetadata(_ metadata: Metadata) throws(RPCError) {
    try context.addTrailingMetadata(metadata)
  }
}

/// What a handler's call stands for: a stream of a connection, or a call within the process.
protocol ServerCallContext: AnyObject, Sendable {
  var methodName: String { get }
  var requestMetadata: Metadata { get }
  var peer: String { get }
  var authority: String { get }
  var userAgent: String { get }
  /// `CLOCK_MONOTONIC` nanoseconds; nil for none.
  var deadline: UInt64? { get }
  var timeRemaining: Duration? { get }
  var lastMessageWasCompressed: Bool { get }
  var requestCompression: Compression { get }
  var clientAccepts: CompressionSet { get }
  /// Of the server that the call is one of.
  var stop: StopSignal { get }
  #if TLS
    var tlsPeer: TLSPeer? { get }
  #endif
  func compressResponses(with compression: Compression) throws(RPCError) -> Bool
  func addInitialMetadata(_ metadata: Metadata) throws(RPCError)
  func sendInitialMetadata()
  func addTrailingMetadata(_ metadata: Metadata) throws(RPCError)
}

/// A call whose metadata an interceptor has changed.
private final class ChangedCall: ServerCallContext {
  private let call: any ServerCallContext
  let requestMetadata: Metadata

  init(_ call: any ServerCallContext, _ metadata: Metadata) {
    self.call = call
    requestMetadata = metadata
  }

  var methodName: String { call.methodName }
  var peer: String { call.peer }
  var authority: String { call.authority }
  var userAgent: String { call.userAgent }
  var deadline: UInt64? { call.deadline }
  var timeRemaining: Duration? { call.timeRemaining }
  var lastMessageWasCompressed: Bool { call.lastMessageWasCompressed }
  var requestCompression: Compression { call.requestCompression }
  var clientAccepts: CompressionSet { call.clientAccepts }
  var stop: StopSignal { call.stop }
  #if TLS
    var tlsPeer: TLSPeer? { call.tlsPeer }
  #endif
  func compressResponses(with compression: Compression) throws(RPCError) -> Bool {
    try call.compressResponses(with: compression)
  }
  func addInitialMetadata(_ metadata: Metadata) throws(RPCError) {
    try call.addInitialMetadata(metadata)
  }
  func sendInitialMetadata() { call.sendInitialMetadata() }
  func addTrailingMetadata(_ metadata: Metadata) throws(RPCError) {
    try call.addTrailingMetadata(metadata)
  }
}
