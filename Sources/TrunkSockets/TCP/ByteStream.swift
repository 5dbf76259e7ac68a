// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import DequeModule
internal import Glibc

/// A connection for async code: connect, read, write, close. For protocols of few, small exchanges
/// (the Consul agent's HTTP/1.1); HTTP/2 drives its connection on the loop directly.
///
/// One reader and one writer at a time. Cancelling the waiting task closes the stream.
package struct ByteStream: Sendable {
  private let core: LoopBound<ByteStreamCore>

  /// Looks the host up, tries its addresses in order, and returns the first that connects.
  /// - Parameter filter: makes the stream's TLS filter, on the loop.
  /// - Throws: `SocketError`, or `CancellationError`.
  package static func connect(
    to destination: Destination, on loop: EventLoop, timeout: Duration,
    filter: (@Sendable () throws(SocketError) -> any ByteFilter)? = nil
  ) async throws -> ByteStream {
    let deadline = Clock.now().adding(timeout)
    var failure = SocketError(
      "connect", errno: EHOSTUNREACH, detail: "no address for \(destination)")
    for address in try await HostLookup.firstAddresses(of: destination, timeout: timeout) {
      do {
        return try await connect(to: address, on: loop, deadline: deadline, filter)
      } catch {
        guard let error = error as? SocketError else { throw error }
        failure = error
      }
    }
    throw failure
  }

  private static func connect(
    to address: SocketAddress, on loop: EventLoop, deadline: UInt64,
    _ filter: (@Sendable () throws(SocketError) -> any ByteFilter)?
  ) async throws -> ByteStream {
    let attempt = ConnectAttempt(loop, filter)
    return try await withTaskCancellationHandler {
      try await withCheckedThrowingContinuation { continuation in
        loop.run { attempt.begin(address, deadline, continuation) }
      }
    } onCancel: {
      loop.later { attempt.cancel() }
    }
  }

  init(_ connection: SocketConnection, filter: (any ByteFilter)? = nil) {
    core = LoopBound(ByteStreamCore(connection, filter), on: connection.loop)
  }

  /// Up to 64 KiB at once; empty at the end of the stream.
  /// - Throws: `SocketError` (`isTimeout` if nothing came in time), `CancellationError`.
  package func read(timeout: Duration? = nil) async throws -> [UInt8] {
    try await perform(timeout) { $0.read($1, $2) }
  }

  /// Returns when the kernel has taken all bytes.
  package func write(_ bytes: [UInt8], timeout: Duration? = nil) async throws {
    _ = try await perform(timeout) { $0.write(bytes, $1, $2) }
  }

  package func close() {
    let core = core
    core.loop.run { core.value.close() }
  }

  private func perform(
    _ timeout: Duration?,
    _ body: @escaping @Sendable (ByteStreamCore, UInt64?, ByteStreamCore.Waiter) -> Void
  ) async throws -> [UInt8] {
    let core = core
    let deadline = timeout.map { Clock.now().adding($0) }
    return try await withTaskCancellationHandler {
      try Task.checkCancellation()
      return try await withCheckedThrowingContinuation { waiter in
        core.loop.run { body(core.value, deadline, waiter) }
      }
    } onCancel: {
      core.loop.later { core.value.cancel() }
    }
  }
}

/// `@unchecked Sendable`: accessed on its loop only.
private final class ConnectAttempt: @unchecked Sendable {
  private let loop: EventLoop
  private var connector: Connector?
  private var continuation: CheckedContinuation<ByteStream, any Error>?
  private var isCancelled = false

  private let filter: (@Sendable () throws(SocketError) -> any ByteFilter)?

  init(
    _ loop: EventLoop, _ filter: (@Sendable () throws(SocketError) -> any ByteFilter)?
  ) {
    self.loop = loop
    self.filter = filter
  }

  func begin(
    _ address: SocketAddress, _ deadline: UInt64,
    _ continuation: CheckedContinuation<ByteStream, any Error>
  ) {
    if isCancelled { return continuation.resume(throwing: CancellationError()) }
    self.continuation = continuation
    connector = Connector.connect(to: address, on: loop, deadline: deadline) { [self] result in
      connector = nil
      let waiting = self.continuation
      self.continuation = nil
      switch result {
      case .success(let connection):
        do throws(SocketError) {
          let stream = ByteStream(connection, filter: try filter?())
          waiting?.resume(returning: stream)
        } catch {
          connection.close()
          waiting?.resume(throwing: error)
        }
      case .failure(let error): waiting?.resume(throwing: error)
      }
    }
  }

  func cancel() {
    isCancelled = true
    connector?.cancel()
    connector = nil
    continuation?.resume(throwing: CancellationError())
    continuation = nil
  }
}

/// The loop's half of a ``ByteStream``.
final class ByteStreamCore: ConnectionDriver {
  typealias Waiter = CheckedContinuation<[UInt8], any Error>

  private let connection: SocketConnection
  private var inbound = Deque<[UInt8]>()
  private var outbound: [UInt8] = []
  private var outboundOffset = 0
  private var end: SocketError??
  private var reader: Waiter?
  private var writer: Waiter?
  private var readTimer: LoopTimer?
  private var writeTimer: LoopTimer?

  /// Chunks kept for a slow reader before reading from the socket pauses.
  private static let chunks = 16

  init(_ connection: SocketConnection, _ filter: (any ByteFilter)? = nil) {
    self.connection = connection
    connection.start(self, filter: filter)
  }

  func read(_ deadline: UInt64?, _ waiter: Waiter) {
    if let chunk = inbound.popFirst() {
      connection.readsPaused = false
      return waiter.resume(returning: chunk)
    }
    switch end {
    case .some(.some(let error)): waiter.resume(throwing: error)
    case .some(nil): waiter.resume(returning: [])
    case nil:
      reader = waiter
      readTimer = timer(deadline) { [weak self] in
        self?.settleRead(.failure(SocketError.timedOut("read")))
      }
    }
  }

  func write(_ bytes: [UInt8], _ deadline: UInt64?, _ waiter: Waiter) {
    if let end { return waiter.resume(throwing: end ?? SocketError.closed("write")) }
    outbound.append(contentsOf: bytes)
    writer = waiter
    writeTimer = timer(deadline) { [weak self] in
      self?.connection.fail(SocketError.timedOut("write"))
    }
    connection.setNeedsFlush()
  }

  func close() { connection.close() }

  func cancel() {
    settleRead(.failure(CancellationError()))
    settleWrite(.failure(CancellationError()))
    connection.close()
  }

  // MARK: ConnectionDriver

  func received(_ bytes: UnsafeRawBufferPointer) {
    inbound.append(Array(bytes))
    if inbound.count >= ByteStreamCore.chunks { connection.readsPaused = true }
    if reader != nil, let chunk = inbound.popFirst() { settleRead(.success(chunk)) }
  }

  func fill(_ output: inout OutputBuffer) {
    if outbound.isEmpty { return settleWrite(.success([])) }
    let count = min(OutputBuffer.mark - output.count, outbound.count - outboundOffset)
    outbound.withUnsafeBytes {
      output.append(UnsafeRawBufferPointer(rebasing: $0[outboundOffset...].prefix(count)))
    }
    outboundOffset += count
    if outboundOffset == outbound.count {
      outbound = []
      outboundOffset = 0
    }
    connection.setNeedsFlush()
  }

  func closed(_ error: SocketError?) {
    end = .some(error)
    if let error { settleRead(.failure(error)) } else { settleRead(.success([])) }
    settleWrite(.failure(error ?? SocketError.closed("write")))
  }

  private func settleRead(_ result: Result<[UInt8], any Error>) {
    readTimer?.cancel()
    readTimer = nil
    let waiter = reader
    reader = nil
    waiter?.resume(with: result)
  }

  private func settleWrite(_ result: Result<[UInt8], any Error>) {
    writeTimer?.cancel()
    writeTimer = nil
    let waiter = writer
    writer = nil
    waiter?.resume(with: result)
  }

  private func timer(_ deadline: UInt64?, _ action: @escaping () -> Void) -> LoopTimer? {
    guard let deadline else { return nil }
    let timer = LoopTimer(on: connection.loop, action: action)
    timer.schedule(at: deadline)
    return timer
  }
}
