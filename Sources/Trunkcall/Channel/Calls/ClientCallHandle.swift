// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import DequeModule
internal import Synchronization
internal import TrunkSockets
internal import TrunkWire

/// The application's end of a streaming call. Releasing it cancels a call that has not ended.
///
/// On the call's loop every operation runs without suspending where it can; from elsewhere it hops
/// there, and a reader gets all the messages that wait.
final class ClientCallHandle: ClientStream {
  private let call: ClientCall
  /// Messages that a reader on another thread got in one hop.
  private let received = Locked<Deque<ReceivedMessage>>([])
  private let wasCompressed = Atomic<Bool>(false)

  init(_ call: ClientCall) { self.call = call }

  deinit { if !call.isOver { call.cancel() } }

  func next() async throws(RPCError) -> [UInt8]? {
    if let message = received.withLock({ $0.popFirst() }) { return try open(message) }
    if call.isOnOwningLoop, let received = call.takeOne() { return try deliver(received) }
    return try deliver(await wait { call, waiter in call.waitForMessage(waiter) })
  }

  func initialMetadata() async throws(RPCError) -> Metadata {
    let received: Received
    if call.isOnOwningLoop, let headers = call.headers {
      received = headers
    } else {
      received = await wait { call, waiter in call.waitForHeaders(waiter) }
    }
    switch received {
    case .metadata(let metadata): return metadata
    case .failed(let error): throw error
    case .one, .many, .end: return Metadata()
    }
  }

  func send(_ frame: [UInt8]) async throws(RPCError) {
    let call = call
    let frame = try call.sealed(frame)
    let isQueued = call.isOnOwningLoop
    if isQueued, try !call.enqueue(frame) { return }
    let failure = await withTaskCancellationHandler {
      await withUnsafeContinuation { (waiter: UnsafeContinuation<RPCError?, Never>) in
        call.onOwningLoop { call in
          do throws(RPCError) {
            if !isQueued, try !call.enqueue(frame) { return waiter.resume(returning: nil) }
            call.waitForRoom(waiter)
          } catch {
            waiter.resume(returning: error)
          }
        }
      }
    } onCancel: {
      call.cancel()
    }
    if let failure { throw failure }
  }

  var lastMessageWasCompressed: Bool { wasCompressed.load(ordering: .relaxed) }

  func finish() async throws(RPCError) { call.onOwningLoop { $0.endRequests() } }

  func trailingMetadata() async -> Metadata {
    await ask { $0.outcome == nil ? Metadata() : $0.response.trailingMetadata }
  }

  func peer() async -> String? { await ask { $0.peer } }

  func cancel() { call.cancel() }

  // MARK: Waiting

  private func wait(
    _ body: @escaping @Sendable (ClientCall, UnsafeContinuation<Received, Never>) -> Void
  ) async -> Received {
    let call = call
    return await withTaskCancellationHandler {
      await withUnsafeContinuation { waiter in
        call.onOwningLoop { body($0, waiter) }
      }
    } onCancel: {
      call.cancel()
    }
  }

  private func deliver(_ received: Received) throws(RPCError) -> [UInt8]? {
    switch received {
    case .one(let message): return try open(message)
    case .many(let batch):
      self.received.withLock { $0.append(contentsOf: batch.dropFirst()) }
      return try batch.first.map(open)
    case .end, .metadata: return nil
    case .failed(let error): throw error
    }
  }

  /// Decompression, if due, runs in the application's task, not on the loop.
  private func open(_ message: ReceivedMessage) throws(RPCError) -> [UInt8] {
    wasCompressed.store(message.isCompressed, ordering: .relaxed)
    guard message.isCompressed else { return message.payload }
    do throws(RPCError) {
      return try message.message(limit: call.receiveLimit)
    } catch {
      received.withLock { $0.removeAll() }
      call.onOwningLoop { $0.failReceiving(error) }
      throw error
    }
  }

  private func ask<R: Sendable>(_ body: @escaping @Sendable (ClientCall) -> R) async -> R {
    if call.isOnOwningLoop { return body(call) }
    let call = call
    return await withUnsafeContinuation { waiter in
      call.onOwningLoop { waiter.resume(returning: body($0)) }
    }
  }
}
