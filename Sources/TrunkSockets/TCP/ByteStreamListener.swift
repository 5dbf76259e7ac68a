// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import DequeModule
internal import Glibc

/// Accepts ``ByteStream``s: the base of scripted servers in tests.
package final class ByteStreamListener: Sendable {
  private let core: LoopBound<Core>
  /// The bound port; 0 for a unix socket.
  package let port: UInt16

  private init(_ core: Core, _ loop: EventLoop, port: UInt16) {
    self.core = LoopBound(core, on: loop)
    self.port = port
  }

  deinit { close() }

  package static func listen(on destination: Destination, loop: EventLoop) async throws
    -> ByteStreamListener
  {
    guard let address = try await HostLookup.addresses(of: destination, timeout: .seconds(5)).first
    else {
      throw SocketError("listen", errno: EADDRNOTAVAIL)
    }
    return try await loop.perform { () -> Result<ByteStreamListener, SocketError> in
      do throws(SocketError) {
        let core = Core(loop)
        let listener = try Listener(on: address, loop: loop) { [weak core] in core?.accepted($0) }
        core.listener = listener
        try listener.start()
        return .success(ByteStreamListener(core, loop, port: listener.address.port))
      } catch { return .failure(error) }
    }.get()
  }

  /// The next connection.
  /// - Throws: `CancellationError`, or `SocketError` after ``close()``.
  package func accept() async throws -> ByteStream {
    let core = core
    return try await withTaskCancellationHandler {
      try Task.checkCancellation()
      return try await withCheckedThrowingContinuation { waiter in
        core.loop.run { core.value.accept(waiter) }
      }
    } onCancel: {
      core.loop.later { core.value.fail(CancellationError()) }
    }
  }

  package func close() {
    let core = core
    core.loop.run { core.value.close() }
  }

  private final class Core {
    let loop: EventLoop
    var listener: Listener?
    private var ready = Deque<ByteStream>()
    private var waiters = Deque<CheckedContinuation<ByteStream, any Error>>()
    private var isClosed = false

    init(_ loop: EventLoop) { self.loop = loop }

    func accepted(_ socket: AcceptedSocket) {
      let stream = ByteStream(socket.adopt(on: loop))
      if let waiter = waiters.popFirst() {
        waiter.resume(returning: stream)
      } else {
        ready.append(stream)
      }
    }

    func accept(_ waiter: CheckedContinuation<ByteStream, any Error>) {
      if let stream = ready.popFirst() { return waiter.resume(returning: stream) }
      if isClosed { return waiter.resume(throwing: SocketError.closed("accept")) }
      waiters.append(waiter)
    }

    func fail(_ error: any Error) {
      while let waiter = waiters.popFirst() { waiter.resume(throwing: error) }
    }

    func close() {
      isClosed = true
      listener?.close()
      for stream in ready { stream.close() }
      ready = []
      fail(SocketError.closed("accept"))
    }
  }
}
