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
  private let taken = Locked<Deque<ReceivedMessage>>([])
  private let wasCompressed = Atomic<Bool>(false)

  init(_ call: ClientCall) { self.call = call }

  deinit { if !call.isOver { call.cancel() } }

  func next() async throws(RPCError) -> [UInt8]? {
    if let message = taken.withLock({ $0.popFirst() }) { return try open(message) }
    if call.isHere, let taken = call.takeOne() { return try deliver(taken) }
    return try deliver(await wait { call, waiter in call.waitForMessage(waiter) })
  }

  func initialMetadata() async throws(RPCError) -> Metadata {
    let taken: Taken
    if call.isHere, let headers = call.headers {
      taken = headers
    } else {
      taken = await wait { call, waiter in call.waitForHeaders(waiter) }
    }
    switch taken {
    case .metadata(let metadata): return metadata
    case .failed(let error): throw error
    case .one, .many, .end: return Metadata()
    }
  }

  func send(_ frame: [UInt8]) async throws(RPCError) {
    let call = call
    let frame = try call.sealed(frame)
    let isQueued = call.isHere
    if isQueued, try !call.enqueue(frame) { return }
    let failure = await withTaskCancellationHandler {
      await withUnsafeContinuation { (waiter: UnsafeContinuation<RPCError?, Never>) in
        call.onPlace { call in
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

  func finish() async throws(RPCError) { call.onPlace { $0.endRequests() } }

  func trailingMetadata() async -> Metadata {
    await ask { $0.outcome == nil ? Metadata() : $0.response.trailingMetadata }
  }

  func peer() async -> String? { await ask { $0.peer } }

  func cancel() { call.cancel() }

  // MARK: Waiting

  private func wait(
    _ body: @escaping @Sendable (ClientCall, UnsafeContinuation<Taken, Never>) -> Void
  ) async -> Taken {
    let call = call
    return await withTaskCancellationHandler {
      await withUnsafeContinuation { waiter in
        call.onPlace { body($0, waiter) }
      }
    } onCancel: {
      call.cancel()
    }
  }

  private func deliver(_ taken: Taken) throws(RPCError) -> [UInt8]? {
    switch taken {
    case .one(let message): return try open(message)
    case .many(let batch):
      self.taken.withLock { $0.append(contentsOf: batch.dropFirst()) }
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
      taken.withLock { $0.removeAll() }
      call.onPlace { $0.spoil(error) }
      throw error
    }
  }

  private func ask<R: Sendable>(_ body: @escaping @Sendable (ClientCall) -> R) async -> R {
    if call.isHere { return body(call) }
    let call = call
    return await withUnsafeContinuation { waiter in
      call.onPlace { waiter.resume(returning: body($0)) }
    }
  }
}

extension MessageFrame {
  /// The frame with its prefix written; not copied if the encoder has written it already.
  static func sealed(_ frame: [UInt8]) -> [UInt8] {
    let length = frame.count - prefixLength
    // Too short or too long: refused with a status before it is sent.
    guard length >= 0, length <= 0xffff_ffff else { return frame }
    let isSealed = frame.withUnsafeBytes { bytes in
      bytes[0] == 0
        && bytes.loadUnaligned(fromByteOffset: 1, as: UInt32.self)
          == UInt32(truncatingIfNeeded: length).bigEndian
    }
    if isSealed { return frame }
    var copy = frame
    seal(&copy)
    return copy
  }
}
