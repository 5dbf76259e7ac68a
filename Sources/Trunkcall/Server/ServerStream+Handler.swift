// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import TrunkSockets

/// Running the handler of a call, and what its end comes to.
extension ServerStream: UnaryExchange {
  /// Not over already.
  var canStart: Bool { phase == .running && !hasStarted }

  /// Bytes that wait with it.
  var payloadSize: Int { payload?.payload.count ?? 0 }

  /// It has answered, or will not.
  func releaseReservation() {
    connection.calls.reservedBytes -= reserved
    reserved = 0
  }

  var runsOnPool: Bool { method?.served.startsOnPool(at: loop.now) == true }

  /// Called on the loop, outside of nghttp2's callbacks, when the connection has counted the
  /// handler.
  func startOnPool() {
    guard canStart, let method else { return handlerEnded() }
    begin()
    let handler = method.handler
    makeColdState().task = stop.bind {
      Task(executorPreference: globalConcurrentExecutor) { await self.run(handler) }
    }
  }

  /// By a task of the method's pool, on the loop, when the scheduler has counted it.
  // Inlined, as is what it calls: the task has one frame less to make for each call.
  @inline(__always)
  func runOnLoop() async {
    guard canStart, let method else { return handlerEnded() }
    begin()
    await run(method.handler)
  }

  func cancelHandler() {
    poolTask?.cancel()
    coldState?.task?.cancel()
  }

  private var isIntercepted: Bool { method?.served.interceptors.isEmpty == false }

  private func begin() {
    hasStarted = true
    connection.context.counters.started()
  }

  // A function for each way: the frame of a suspended handler has room for what its way needs only.

  @inline(__always)
  private func run(_ handler: MethodTable.Handler) async {
    guard deadline == nil, !isIntercepted else { return await runWithin(deadline, handler) }
    switch handler {
    case .unary(let handler): await handler.serve(self, ServerCall(self))
    case .streaming(let body): await runStreaming(body)
    }
  }

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

  func handlerThrew(_ error: any Error) {
    connection.server.log.handlerThrew(error, method: methodName, peer: peer)
    handlerReturned(ServerStream.status(of: error))
  }

  /// An `RPCError` is the status; what else a handler throws stays on the server (UNKNOWN), except
  /// that a cancelled handler is cancelled.
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

  /// The response of a unary call.
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

  /// - Parameter silent: an interceptor that returned without calling the handler.
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

  private func handlerEnded() {
    guard handlerRuns else { return }
    handlerRuns = false
    if let coldState { coldState.task = nil }
    if reserved > 0, !connection.isClosed { releaseReservation() }
    connection.context.scheduler.handlerEnded(self)
  }
}
