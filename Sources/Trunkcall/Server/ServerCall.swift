// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import TrunkSockets

#if TLS
  public import TrunkTLS

  extension ServerCall {
    /// The client's identity by the certificate that the server verified; nil without one.
    public var tlsPeer: TLSPeer? { context.tlsPeer }
  }

  extension ServerStream {
    var tlsPeer: TLSPeer? { connection.tlsPeer }
  }
#endif

/// A call as its handler gets it. The handler's deadline and cancellation are its task's: it is
/// cancelled when the connection ends, the client resets the stream, or the deadline passes.
public struct ServerCall: Sendable {
  fileprivate let context: any ServerCallContext

  init(_ context: any ServerCallContext) { self.context = context }

  /// `/package.Service/Method`, as registered.
  public var path: String { context.methodName }
  /// The request's metadata. Names of gRPC and HTTP are not in it, except those that are defined as
  /// metadata, such as `grpc-trace-bin` and `grpc-previous-rpc-attempts` (docs/metadata.md has the
  /// table). It can be sent on as it is, with a response or with another call.
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
  /// Whether the client's deadline has passed: the call's status is DEADLINE_EXCEEDED, and the
  /// handler's task is cancelled.
  public var hasExpired: Bool { context.deadline.map { $0 <= Clock.now() } ?? false }

  /// The same call with other request metadata, for an interceptor to pass on. Everything else, the
  /// response included, is that of the client's call.
  public func with(metadata: Metadata) -> ServerCall {
    ServerCall(ChangedCall(context, metadata))
  }

  /// Whether the request message that the handler read last was compressed on the wire; the handler
  /// gets it decompressed.
  public var requestWasCompressed: Bool { context.lastMessageWasCompressed }
  /// The client's `grpc-encoding`; `.identity` without one. A message may be uncompressed all the
  /// same (compression.md): ``requestWasCompressed``.
  public var requestCompression: Compression { context.requestCompression }
  /// What the client can decompress (`grpc-accept-encoding`).
  public var clientAccepts: CompressionSet { context.clientAccepts }

  /// Compresses the responses of this call, until one is written with `compressed: false`. A client
  /// that does not accept the algorithm gets them uncompressed (compression.md). `.identity`
  /// turns the server's default off.
  /// - Returns: whether the client accepts it.
  /// - Throws: FAILED_PRECONDITION after the headers, which name the algorithm, have been sent.
  @discardableResult
  public func compressResponses(with compression: Compression) throws(RPCError) -> Bool {
    try context.compressResponses(with: compression)
  }

  /// Whether the server's graceful stop has begun: the handler of a long stream should end it. At
  /// the end of the drain (``ServerOptions/drain``) the call ends with UNAVAILABLE and the handler
  /// is cancelled. With the trait `ServiceLifecycle`, `Task.isShuttingDownGracefully` has the same
  /// value, and `withGracefulShutdownHandler` works.
  public var isShuttingDown: Bool { context.stop.hasBegun }

  /// Suspends until the server's graceful stop begins; returns at once if it has. A call within the
  /// process has no such stop.
  /// - Throws: if the task that waits is cancelled: the call's, or a child task's.
  public func gracefulShutdown() async throws(CancellationError) { try await context.stop.wait() }

  /// Adds to the response headers' metadata, which are sent with the first response message.
  /// - Throws: FAILED_PRECONDITION if the headers have been sent, INTERNAL for a name or value that
  ///   cannot be sent, RESOURCE_EXHAUSTED for more than the client's SETTINGS_MAX_HEADER_LIST_SIZE.
  public func addInitialMetadata(_ metadata: Metadata) throws(RPCError) {
    try context.addInitialMetadata(metadata)
  }

  /// Sends the response headers now instead of with the first response message, for clients that
  /// wait for them (a watch whose first message may take long). No effect if they have been sent,
  /// or the call has ended.
  public func sendInitialMetadata() { context.sendInitialMetadata() }

  /// Adds to the metadata in the trailers.
  /// - Throws: INTERNAL for a name or value that cannot be sent, RESOURCE_EXHAUSTED for more than
  ///   the client's SETTINGS_MAX_HEADER_LIST_SIZE.
  public func addTrailingMetadata(_ metadata: Metadata) throws(RPCError) {
    try context.addTrailingMetadata(metadata)
  }

  /// What ``setLoadReport(_:)`` was given last; empty before.
  public var loadReport: LoadReport { context.loadReport }

  /// Reports the server's load, and what this call cost, to the client's load-balancing policy with
  /// the trailers (gRFC A51). Replaces an earlier report of the call. Values that it does not have
  /// are those of ``ServerOptions/loadRecorder`` at the call's end. A report for which the client's
  /// SETTINGS_MAX_HEADER_LIST_SIZE has no room is left out, and that is logged.
  /// - Throws: INVALID_ARGUMENT for a value that is negative or not finite, a `memoryUtilization` or
  ///   `utilization` over 1, and more than ``LoadReport/maxEntries``.
  public func setLoadReport(_ report: LoadReport) throws(RPCError) {
    if let problem = report.problem { throw RPCError(.invalidArgument, problem) }
    context.setLoadReport(report)
  }
}

/// The call of a ``ServerCall``: a stream of a connection, or a call within the process.
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
  /// Of the call's server.
  var stop: StopSignal { get }
  #if TLS
    var tlsPeer: TLSPeer? { get }
  #endif
  func compressResponses(with compression: Compression) throws(RPCError) -> Bool
  func addInitialMetadata(_ metadata: Metadata) throws(RPCError)
  func sendInitialMetadata()
  func addTrailingMetadata(_ metadata: Metadata) throws(RPCError)
  var loadReport: LoadReport { get }
  /// - Parameter report: checked.
  func setLoadReport(_ report: LoadReport)
}

/// A call whose request metadata an interceptor has changed.
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
  var loadReport: LoadReport { call.loadReport }
  func setLoadReport(_ report: LoadReport) { call.setLoadReport(report) }
}
