// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import TrunkSockets

/// Starts and runs the handler of a call, and ends the call with its result.
///
/// A handler runs on its connection's loop, in a task of the method's ``HandlerTaskPool``, or on the
/// global pool (Swift's global concurrent executor): ``HandlerDispatch``.
extension ServerStream: UnaryExchange {
  /// The handler has not started, and the call has not ended.
  var canStart: Bool { phase == .running && !hasStarted }

  /// Bytes of the request: counted in `maxWaitingBytes` while the call waits.
  var payloadSize: Int { payload?.payload.count ?? 0 }

  /// Its response is queued, or there will be none.
  func releaseReservation() {
    connection.calls.reservedBytes -= reserved
    reserved = 0
  }

  /// Whether its handler runs on the global pool.
  var runsOnPool: Bool { method?.served.startsOnPool(at: loop.now) == true }

  /// Starts the handler on the global pool. Called on the loop, outside of nghttp2's callbacks, when
  /// the scheduler has counted the handler.
  func startOnPool() {
    guard canStart, let method else { return handlerEnded() }
    begin()
    let handler = method.handler
    makeColdState().task = stop.bind {
      Task(executorPreference: globalConcurrentExecutor) { await self.run(handler) }
    }
  }

  /// Runs the handler. Called on the loop, by a task of the method's task pool, when the scheduler
  /// has counted the handler.
  // Inlined, as are the functions that it calls: one async frame less for each call.
  @inline(__always)
  func runOnLoop() async {
    guard canStart, let method else { return handlerEnded() }
    begin()
    await run(method.handler)
  }

  /// Cancels the handler's task, wherever it runs.
  func cancelHandler() {
    poolTask?.cancel()
    coldState?.task?.cancel()
  }

  private var isIntercepted: Bool { method?.served.interceptors.isEmpty == false }

  private func begin() {
    hasStarted = true
    connection.context.counters.started()
  }

  // One function for each case: the frame of a suspended handler holds the variables of the function
  // that called it.

  @inline(__always)
  private func run(_ handler: MethodTable.Handler) async {
    guard deadline == nil, !isIntercepted else { return await runWithin(deadline, handler) }
    switch handler {
    case .unary(let handler): await handler.serve(self, ServerCall(self))
    case .streaming(let body): await runStreaming(body)
    }
  }

  /// Runs a handler that has a deadline, which calls that it makes inherit, or interceptors.
  @inline(never)
  private func runWithin(_ deadline: UInt64?, _ handler: MethodTable.Handler) async {
    let intercepted = isIntercepted
    guard let deadline else { return await runThroughInterceptors(handler) }
    await InheritedDeadline.$current.withValue(deadline) {
      if intercepted { return await runThroughInterceptors(handler) }
      switch handler {
      case .unary(let handler): await handler.serve(self, ServerCall(self))
      case .streaming(let body): await runStreaming(body)
      }
    }
  }

  @inline(never)
  private func runStreaming(
    _ body: @Sendable (any MessageSource, any MessageSink, ServerCall) async throws -> Void
  ) async {
    do {
      try await body(self, self, ServerCall(self))
      handlerReturned(nil)
    } catch {
      handlerThrew(error)
    }
  }

  @inline(never)
  private func runThroughInterceptors(_ handler: MethodTable.Handler) async {
    let call = ServerCall(self)
    let interceptors = method?.served.interceptors ?? []
    do {
      let silent: (any ServerInterceptor)?
      switch handler {
      case .unary(let handler):
        silent = try await interceptors.run(call, OneMessage(try takeRequest()), self) {
          call, source, sink in
          guard let payload = try await source.next() else {
            throw RPCError(.unimplemented, "no message where one is due")
          }
          try await sink.send(try await handler.body(payload, call))
        }
      case .streaming(let body):
        silent = try await interceptors.run(call, self, self) { call, source, sink in
          try await body(source, sink, call)
        }
      }
      handlerReturned(nil, silent)
    } catch {
      handlerThrew(error)
    }
  }

  /// See ``UnaryExchange/handlerThrew(_:)``.
  func handlerThrew(_ error: any Error) {
    connection.server.log.handlerThrew(error, method: methodName, peer: peer)
    handlerReturned(ServerStream.status(of: error))
  }

  /// An `RPCError` is the status, and `CancellationError` is CANCELLED. Any other error is UNKNOWN,
  /// and its text is not sent to the client.
  static func status(of error: any Error) -> RPCError {
    switch error {
    case let error as RPCError: error
    case is CancellationError: RPCError(.cancelled, "the handler was cancelled")
    default: RPCError(.unknown, "the handler failed")
    }
  }

  func takeRequest() throws(RPCError) -> [UInt8] {
    let message = payload
    payload = nil
    return try opened(message)
  }

  func respond(_ frame: [UInt8]) throws(RPCError) {
    let frame = try compressed(frame)
    if loop.isCurrent { complete(frame) } else { loop.later { self.complete(frame) } }
  }

  /// Ends a unary call with its response. On the loop.
  private func complete(_ frame: OutgoingFrame) {
    handlerEnded()
    guard phase == .running else { return }
    do throws(RPCError) {
      try writeMessage(frame)
      answer()
    } catch {
      answer(error)
    }
  }

  /// The handler, or the interceptors around it, returned or threw; on any thread.
  /// - Parameter silent: an interceptor that returned without calling `next`.
  private func handlerReturned(_ error: RPCError?, _ silent: (any ServerInterceptor)? = nil) {
    if loop.isCurrent {
      handlerFinished(error, silent)
    } else {
      loop.later { self.handlerFinished(error, silent) }
    }
  }

  private func handlerFinished(_ error: RPCError?, _ silent: (any ServerInterceptor)?) {
    handlerEnded()
    guard phase == .running else { return }
    if let silent, !hasResponded { method?.served.wasLeft(by: silent, connection.server.logger) }
    if let error { answer(error) } else { answer() }
  }

  /// Releases the handler's slot.
  private func handlerEnded() {
    guard handlerRuns else { return }
    handlerRuns = false
    if let coldState { coldState.task = nil }
    if reserved > 0, !connection.isClosed { releaseReservation() }
    connection.context.scheduler.handlerEnded(self)
  }
}
