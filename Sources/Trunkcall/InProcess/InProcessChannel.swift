// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
public import Logging
internal import TrunkSockets
public import TrunkWire

/// Calls services within the process, without sockets, HTTP/2 or names: for tests, and for a
/// service that lives in the same program.
///
/// The rules of a call over a network hold: metadata, the limits of messages and header lists,
/// deadlines, cancellation, statuses, back-pressure, interceptors on both sides. There is no
/// compression. A handler runs in a task of its own on the global pool: a caller that is cancelled
/// returns at once, even if its handler does not.
///
/// ```swift
/// let greeter = Helloworld_Greeter.Client(InProcessChannel([Greeter()]))
/// ```
public struct InProcessChannel: CallInvoker {
  /// Largest messages and header lists in bytes, as on a channel and a server.
  public struct Limits: Sendable, Hashable {
    /// Default 4 MiB; beyond it RESOURCE_EXHAUSTED.
    public var maxRequestSize = 4 << 20
    /// Default 4 MiB; beyond it RESOURCE_EXHAUSTED.
    public var maxResponseSize = 4 << 20
    /// The header list of a request, and of a response's headers or trailers, HTTP/2 counting
    /// (names, values, 32 for each: RFC 9113 §10.5.1). Default 16 KiB; beyond it
    /// RESOURCE_EXHAUSTED; a status is cut to it.
    public var maxHeaderListSize = 16 << 10
    /// All defaults.
    public init() {}
  }

  static let peer = "in-process"

  private let methods: MethodIndex
  private let interceptors: [any ClientInterceptor]
  private let serverInterceptors: [any ServerInterceptor]
  private let limits: Limits
  private let authority: String
  private let log: CallLog
  let deadlines = DeadlineQueue()

  /// - Parameters:
  ///   - interceptors: the client's, around every call, the first one outermost.
  ///   - serverInterceptors: around every handler.
  ///   - authority: the handlers' ``ServerCall/authority``.
  ///   - logger: gets handlers' errors that are no status, at error level; ends of calls at debug
  ///     level, if that is enabled now.
  public init(
    _ services: [any RPCService], interceptors: [any ClientInterceptor] = [],
    serverInterceptors: [any ServerInterceptor] = [], limits: Limits = Limits(),
    authority: String = "in-process", logger: Logger = Logger(label: "trunkcall.in-process")
  ) {
    methods = MethodIndex(services, serverInterceptors, dispatch: { _ in .concurrent })
    self.interceptors = interceptors
    self.serverInterceptors = serverInterceptors
    self.limits = limits
    self.authority = authority
    log = CallLog(logger)
    methods.warnOfIdle(serverInterceptors, logger)
    methods.describe(to: services, logger)
    let names = methods.services
    for case let health as any HealthReporting in services { health.serves(names) }
  }

  /// See ``CallInvoker/unary(_:_:)``.
  public func unary(_ call: CallRequest, _ frame: [UInt8]) async throws(RPCError) -> CallResponse {
    guard !interceptors.apply(to: call.method), call.options.credentials.isEmpty,
      let method = find(call.method), method.interceptors.isEmpty,
      case .unary(let unary) = method.handler
    else { return try await asStream(call, frame) }
    let handler = unary.body
    let payload = try limits.request(frame)
    let context = try begin(call)
    let end = await TimedCall.run(until: context.deadline, deadlines) {
      try await handler(payload, ServerCall(context))
    }
    let response: [UInt8]
    switch end {
    case .response(let payload): response = payload
    case .cut(let error):
      context.logEnd(error)
      throw error.inProcess
    case .failed(let error):
      let status = context.error(error)
      context.logEnd(status)
      throw status
    }
    context.logEnd(nil)
    return CallResponse(
      payload: try limits.response(response), initialMetadata: context.initialMetadata,
      trailingMetadata: context.trailingMetadata, peer: InProcessChannel.peer)
  }

  /// See ``CallInvoker/stream(_:)``.
  public func stream(_ call: CallRequest) async throws(RPCError) -> any ClientStream {
    guard interceptors.apply(to: call.method) else { return try await authorizedOpen(call) }
    return try await interceptors.open(call) { request throws(RPCError) in
      try await authorizedOpen(request)
    }
  }

  // MARK: Calls

  /// There is no network: credentials are called as by a channel with TLS.
  private func authorizedOpen(_ call: CallRequest) async throws(RPCError) -> any ClientStream {
    guard !call.options.credentials.isEmpty else { return try open(call) }
    return try open(try await call.authorized([], isSecure: true, authority: authority))
  }

  private func open(_ call: CallRequest) throws(RPCError) -> any ClientStream {
    let context = try begin(call)
    let method = find(call.method)
    let handler = method?.handler ?? MethodTable.unknown(methods.unknownMethod(call.method.text))
    let parts = InProcessStream.Parts(context, limits, deadlines)
    let interceptors = method?.interceptors ?? serverInterceptors.applying(to: call.method)
    let logger = log.logger
    return InProcessStream(parts) { parts in
      let silent = try await interceptors.run(ServerCall(parts.call), parts, parts) {
        call, source, sink in
        switch handler {
        case .streaming(let body): try await body(source, sink, call)
        case .unary(let handler):
          try await sink.send(try await handler.body(try await source.onlyRequest(), call))
        }
      }
      if let silent, !parts.call.hasSentHeaders { method?.wasLeft(by: silent, logger) }
    }
  }

  private func asStream(_ call: CallRequest, _ frame: [UInt8]) async throws(RPCError)
    -> CallResponse
  {
    let stream = try await stream(call)
    try await stream.send(frame)
    try await stream.finish()
    let payload = try await stream.onlyMessage()
    return CallResponse(
      payload: payload, initialMetadata: try await stream.initialMetadata(),
      trailingMetadata: await stream.trailingMetadata(), peer: InProcessChannel.peer)
  }

  private func find(_ name: MethodName) -> ServedMethod? {
    let index = name.bytes.withUnsafeBytes { methods.find($0) }
    return index < 0 ? nil : methods.methods[index]
  }

  /// - Throws: if its metadata cannot be sent.
  private func begin(_ call: CallRequest) throws(RPCError) -> InProcessCall {
    let metadata = try RequestHeaders.outgoing(call.options.metadata, nil)
    let end = call.options.end(from: Clock.now())
    let deadline = end == .max ? nil : end
    if !metadata.isEmpty {
      let size = RequestHeaders.listSize(
        call.method, metadata, authority: authority, hasDeadline: deadline != nil)
      guard size <= limits.maxHeaderListSize else {
        throw RequestHeaders.oversize(
          size, of: limits.maxHeaderListSize, for: InProcessChannel.peer)
      }
    }
    return InProcessCall(
      call, metadata, authority: authority, deadline: deadline,
      headerListLimit: limits.maxHeaderListSize, log)
  }
}

extension RPCError {
  /// The status of a call that this side ended.
  var inProcess: RPCError {
    var error = self
    if error.peer == nil { error.peer = InProcessChannel.peer }
    return error
  }
}

extension InProcessChannel.Limits {
  /// The payload of a frame on its way to the handler.
  func request(_ frame: [UInt8]) throws(RPCError) -> [UInt8] {
    try payload(frame, "request", maxRequestSize)
  }
  /// The payload of a frame on its way to the client.
  func response(_ frame: [UInt8]) throws(RPCError) -> [UInt8] {
    try payload(frame, "response", maxResponseSize)
  }

  private func payload(
    _ frame: [UInt8], _ what: String, _ limit: Int
  ) throws(RPCError) -> [UInt8] {
    let size = frame.count - MessageFrame.prefixLength
    guard size >= 0 else {
      throw RPCError(.internal, "the encoder left no room for the message's prefix")
    }
    guard size <= limit else {
      throw RPCError(
        .resourceExhausted, "\(what) of \(size) bytes is larger than the limit of \(limit) bytes"
      ).inProcess
    }
    return Array(frame[MessageFrame.prefixLength...])
  }
}
