// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
public import Logging
public import TrunkDiscovery
internal import TrunkSockets
public import TrunkWire

/// Makes calls to the servers that a target stands for.
///
/// A channel resolves its target, keeps the connections that its load-balancing policy asks for,
/// and sends each call to the server that the policy picks. It does no I/O before the first call,
/// ``connect()`` or ``ready(within:)``. Releasing the last reference closes it.
///
/// ```swift
/// let channel = try GRPCChannel(to: "dns:///orders.example:50051", balancer: "round_robin")
/// try await channel.ready(within: .seconds(5))
/// ```
public final class GRPCChannel: CallInvoker, Sendable {
  let context: ChannelContext
  let interceptors: [any ClientInterceptor]

  /// - Parameters:
  ///   - target: `scheme://authority/endpoint`; see the resolvers for what each scheme allows.
  ///   - resolvers: beside the built-in ones (`dns`, `passthrough`, `ipv4`, `ipv6`, `unix`,
  ///     `unix-abstract`); one with the same scheme replaces it.
  ///   - balancers: the policies that `balancer` and service configs may name. To add one:
  ///     `var balancers = BalancerRegistry(); balancers.register(MyPolicy.self)`.
  ///   - balancer: the policy while the service config names none.
  ///   - security: default `.plaintext`; `.tls()` encrypts.
  ///   - interceptors: around every call, the first one outermost.
  ///   - logger: gets ends of calls and connections, and states of subchannels, at debug level, if
  ///     that is enabled now.
  /// - Throws: ``TargetError``: malformed, unknown scheme, refused by the resolver, an unknown
  ///   policy or a bad setting of one in `options.defaultServiceConfig`, an empty name for the calls
  ///   or for TLS. A failing network is no error here.
  public init(
    to target: String, resolvers: [any Resolver] = [],
    balancers: BalancerRegistry = BalancerRegistry(), balancer: String = "pick_first",
    security: ChannelSecurity = .plaintext, interceptors: [any ClientInterceptor] = [],
    options: ChannelOptions = ChannelOptions(),
    logger: Logger = Logger(label: "trunkcall.channel")
  ) throws(TargetError) {
    var registry = ResolverRegistry.builtIn
    registry.defaultScheme = options.defaultScheme
    for resolver in resolvers { registry.register(resolver) }
    let (target, resolver) = try registry.find(target)
    do throws(ServiceConfigError) {
      try balancers.check(option: balancer, config: options.defaultServiceConfig)
    } catch {
      let what =
        error.path == "balancer" ? "balancer" : "\(error.path) of the default service config"
      throw target.error(.badBalancer, column: 0, "\(what): \(error.reason)")
    }
    let authority =
      if let own = options.authority {
        try Authority.checked(own, of: target)
      } else {
        try Authority.encoded(resolver.authority(of: target), of: target)
      }
    if let refusal = security.refusal {
      throw TargetError(.malformed, target: target.text, column: 1, refusal)
    }
    let parts = ChannelParts(
      target: target, resolver: resolver, authority: authority,
      registry: balancers, balancer: balancer, security: security, options: options, logger: logger)
    let ownGroup = GRPCChannel.ownGroup(options, logger)
    if let bytes = options.freeMemoryKept { FreeMemory.keep(bytes) }
    context = ChannelContext(parts, group: options.group ?? ownGroup ?? .shared, ownGroup: ownGroup)
    self.interceptors = interceptors
  }

  /// Without descriptors or threads for loops of its own the channel shares the process's, and logs
  /// it.
  private static func ownGroup(_ options: ChannelOptions, _ logger: Logger) -> EventLoopGroup? {
    guard let count = options.loops else { return nil }
    do { return try EventLoopGroup(loops: count, busyPoll: options.busyPoll) } catch {
      logger.warning(
        "no event loops of its own for this channel; it shares the process's",
        metadata: ["loops": "\(count)", "error": "\(error)"])
      return nil
    }
  }

  deinit {
    if state != .shutdown { context.onControlLoop { $0.shutDown() } }
  }

  /// The target, secrets redacted.
  public var target: String { context.target.description }

  // MARK: State

  /// The channel's state (connectivity-semantics-and-api.md).
  public var state: ConnectivityState { context.watch.current }

  /// The present state, then every change; ends after `.shutdown`. A slow reader gets the latest
  /// 16.
  public var stateChanges: AsyncStream<ConnectivityState> { context.watch.changes() }

  /// Begins to connect, if the channel is idle; returns at once.
  public func connect() { context.onControlLoop { $0.wake() } }

  /// Connects, and suspends until calls can be made.
  /// - Throws: UNAVAILABLE when the time is over, with the diagnostics; CANCELLED if the task is.
  public func ready(within timeout: Duration) async throws(RPCError) {
    let deadline = Clock.now().adding(timeout)
    let key = WaitKey()
    let context = context
    let error = await withTaskCancellationHandler {
      await withUnsafeContinuation { waiter in
        context.onControlLoop { $0.waitForReady(key, until: deadline, waiter) }
      }
    } onCancel: {
      key.cancel()
      context.onControlLoopLater {
        $0.endReadyWait(key.number, RPCError(.cancelled, "the task was cancelled"))
      }
    }
    if let error { throw error }
  }

  /// Why the channel sends its calls where it does, now: resolver, config, policies, and each endpoint
  /// with its state and calls. `"\(…)"` is text for people, ``ChannelExplanation/json`` for programs.
  /// Costs the control loop and each connection's loop some microseconds; for operators, not for each
  /// call.
  public func explain() async -> ChannelExplanation { await context.explain() }

  /// Makes every subchannel and the resolver try again now instead of after their back-off: call it
  /// when the network has changed. A resolver that is not in the channel's back-off is asked for a
  /// fresher result, no sooner than its minimum interval allows.
  public func resetBackoff() { context.onControlLoop { $0.resetBackoff() } }

  /// Closes the channel: new calls fail with UNAVAILABLE, those under way go on for at most
  /// ``ChannelOptions/closeDeadline``. Returns when every connection is closed: at most 0.1 s after
  /// that, whether the servers answer or not.
  public func close() async {
    let context = context
    await withUnsafeContinuation { waiter in
      context.onControlLoop {
        $0.shutDown()
        $0.waitForClose(waiter)
      }
    }
  }

  // MARK: Calls

  /// See ``CallInvoker/unary(_:_:)``.
  public func unary(_ request: CallRequest, _ frame: [UInt8]) async throws(RPCError) -> CallResponse
  {
    guard !interceptors.apply(to: request.method) else {
      return try await intercepted(request, frame)
    }
    if needsCredentials(request) { return try await send(try await authorized(request), frame) }
    return try await send(request, frame)
  }

  private func send(
    _ request: CallRequest, _ frame: [UInt8]
  ) async throws(RPCError) -> CallResponse {
    let metadata = try RequestHeaders.outgoing(request.options.metadata, context.settings.logger)
    let call = ClientCall(context, request, metadata, isUnary: true)
    call.firstFrame = try call.sealed(frame)
    call.requestsEnded = true
    await withTaskCancellationHandler {
      await withUnsafeContinuation { waiter in
        call.unaryWaiter = waiter
        call.context.dispatch(call)
      }
    } onCancel: {
      call.cancel()
    }
    return try call.unaryResponse()
  }

  /// See ``CallInvoker/stream(_:)``.
  public func stream(_ request: CallRequest) async throws(RPCError) -> any ClientStream {
    guard !interceptors.apply(to: request.method) else {
      return try await openThroughInterceptors(request)
    }
    if needsCredentials(request) { return try open(try await authorized(request)) }
    return try open(request)
  }

  private func needsCredentials(_ request: CallRequest) -> Bool {
    !request.options.credentials.isEmpty || !context.settings.credentials.isEmpty
  }

  private func authorized(_ request: CallRequest) async throws(RPCError) -> CallRequest {
    let settings = context.settings
    return try await request.authorized(
      settings.credentials, isSecure: settings.isSecure, authority: settings.authority)
  }

  private func open(_ request: CallRequest) throws(RPCError) -> any ClientStream {
    let metadata = try RequestHeaders.outgoing(request.options.metadata, context.settings.logger)
    let call = ClientCall(context, request, metadata, isUnary: false)
    let handle = ClientCallHandle(call)
    context.dispatch(call)
    return handle
  }

  private func openThroughInterceptors(
    _ request: CallRequest
  ) async throws(RPCError) -> any ClientStream {
    try await interceptors.open(request) { [self] request throws(RPCError) in
      try open(needsCredentials(request) ? try await authorized(request) : request)
    }
  }

  /// Interceptors get every call as a stream.
  private func intercepted(
    _ request: CallRequest, _ frame: [UInt8]
  ) async throws(RPCError) -> CallResponse {
    let stream = try await openThroughInterceptors(request)
    try await stream.send(frame)
    try await stream.finish()
    let payload = try await stream.onlyMessage()
    return CallResponse(
      payload: payload, initialMetadata: try await stream.initialMetadata(),
      trailingMetadata: await stream.trailingMetadata(), peer: await stream.peer() ?? "",
      wasCompressed: stream.lastMessageWasCompressed)
  }
}

/// Makes a channel, runs `body` with it, and closes it, also when `body` throws.
/// - Throws: ``TargetError``, or the error of `body`.
public func withChannel<Result>(
  to target: String, resolvers: [any Resolver] = [],
  balancers: BalancerRegistry = BalancerRegistry(), balancer: String = "pick_first",
  security: ChannelSecurity = .plaintext, interceptors: [any ClientInterceptor] = [],
  options: ChannelOptions = ChannelOptions(),
  logger: Logger = Logger(label: "trunkcall.channel"),
  _ body: (GRPCChannel) async throws -> Result
) async throws -> Result {
  let channel = try GRPCChannel(
    to: target, resolvers: resolvers, balancers: balancers, balancer: balancer, security: security,
    interceptors: interceptors, options: options, logger: logger)
  do {
    let result = try await body(channel)
    await channel.close()
    return result
  } catch {
    await channel.close()
    throw error
  }
}

extension ResolverRegistry {
  /// The resolvers of every channel.
  static var builtIn: ResolverRegistry {
    var registry = literal
    registry.register(DNSResolver())
    return registry
  }
}
