// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
public import Logging
internal import TrunkSockets
public import TrunkWire

/// Calls services within the process, without sockets, HTTP/2 or names: for tests, and for a
/// service that lives in the same program.
///
/// It holds to what a call over a network holds to: metadata rules, message limits, deadlines,
/// cancellation, statuses, back-pressure, interceptors on both sides. Compression is left out, and
/// the limit of a header list is 60,000 bytes. A unary call without a deadline or interceptors runs
/// its handler in the caller's own task: it returns when the handler does, also when the caller was
/// cancelled.
///
/// ```swift
/// let greeter = Helloworld_Greeter.Client(InProcessChannel([Greeter()]))
/// ```
public struct InProcessChannel: CallInvoker {
  /// Largest messages in bytes, as on a channel and a server.
  public struct Limits: Sendable, Hashable {
    /// Default 4 MiB; beyond it RESOURCE_EXHAUSTED.
    public var maxRequestSize = 4 << 20
    /// Default 4 MiB; beyond it RESOURCE_EXHAUSTED.
    public var maxResponseSize = 4 << 20
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
  ///   - authority: what handlers see in ``ServerCall/authority``.
  ///   - logger: gets what handlers throw that is no status, at error level; ends of calls at debug
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
    let names = methods.services
    for case let health as any HealthReporting in services { health.serves(names) }
  }

  public func unary(_ call: CallRequest, _ frame: [UInt8]) async throws(RPCError) -> CallResponse {
    guard !interceptors.apply(to: call.method), call.options.credentials.isEmpty,
      let method = find(call.method), method.interceptors.isEmpty,
      case .unary(let handler) = method.handler
    else { return try await asStream(call, frame) }
    let metadata = try RequestHeaders.outgoing(call.options.metadata, nil)
    let payload = try limits.request(frame)
    let deadline = deadline(of: call)
    let context = InProcessCall(call, metadata, authority: authority, deadline: deadline, log)
    let end: TimedCall.End
    if let deadline {
      end = await TimedCall.run(until: deadline, deadlines) {
        try await handler(payload, ServerCall(context))
      }
    } else {
      // In the caller's task: its cancellation is the handler's.
      do {
        if InheritedDeadline.current == nil {
          end = .response(try await handler(payload, ServerCall(context)))
        } else {
          // The call does not inherit it: neither do the handler's calls.
          end = .response(
            try await InheritedDeadline.$current.withValue(nil) {
              try await handler(payload, ServerCall(context))
            })
        }
      } catch {
        end = .failed(error)
      }
    }
    let response: [UInt8]
    switch end {
    case .response(let payload): response = payload
    case .cut(let error):
      context.logEnd(error)
      throw error
    case .failed(let error):
      let status = context.error(error)
      context.logEnd(status)
      throw status
    }
    context.logEnd(nil)
    if Task.isCancelled { throw RPCError(.cancelled, "the call was cancelled") }
    return CallResponse(
      payload: try limits.response(response), initialMetadata: context.initialMetadata,
      trailingMetadata: context.trailingMetadata, peer: InProcessChannel.peer)
  }

  public func stream(_ call: CallRequest) async throws(RPCError) -> any ClientStream {
    guard interceptors.apply(to: call.method) else { return try await authorizedOpen(call) }
    return try await interceptors.open(call) { request throws(RPCError) in
      try await authorizedOpen(request)
    }
  }

  // MARK: Inside

  /// Nobody is on the way: credentials are asked as by a channel with TLS.
  private func authorizedOpen(_ call: CallRequest) async throws(RPCError) -> any ClientStream {
    guard !call.options.credentials.isEmpty else { return try open(call) }
    return try open(try await call.authorized([], isSecure: true, authority: authority))
  }

  private func open(_ call: CallRequest) throws(RPCError) -> any ClientStream {
    let metadata = try RequestHeaders.outgoing(call.options.metadata, nil)
    let method = find(call.method)
    let handler = method?.handler ?? MethodTable.unknown(methods.unknownMethod(call.method.text))
    let deadline = deadline(of: call)
    let context = InProcessCall(call, metadata, authority: authority, deadline: deadline, log)
    let parts = InProcessStream.Parts(context, limits, deadlines)
    let interceptors = method?.interceptors ?? serverInterceptors.applying(to: call.method)
    return InProcessStream(parts) { parts in
      try await interceptors.run(ServerCall(parts.call), parts, parts) { call, source, sink in
        switch handler {
        case .streaming(let body): try await body(source, sink, call)
        case .unary(let body):
          try await sink.send(try await body(try await source.onlyRequest(), call))
        }
      }
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

  private func deadline(of call: CallRequest) -> UInt64? {
    let end = call.options.end(from: Clock.now())
    return end == .max ? nil : end
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
        .resourceExhausted, "\(what) of \(size) bytes is larger than the limit of \(limit) bytes")
    }
    return Array(frame[MessageFrame.prefixLength...])
  }
}
