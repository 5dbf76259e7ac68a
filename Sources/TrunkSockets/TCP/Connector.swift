// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import CTrunkLinux
internal import Glibc

/// One non-blocking connect. Loop-bound; its completion runs on the loop, exactly once, unless the
/// attempt is cancelled before.
package final class Connector: ReadinessHandler {
  private let loop: EventLoop
  private let options: SocketOptions
  private var fd: Int32 = -1
  private var token: Poller.Token?
  private var timer: LoopTimer?
  private var completion: ((Result<SocketConnection, SocketError>) -> Void)?

  private init(
    _ loop: EventLoop, _ options: SocketOptions,
    _ completion: @escaping (Result<SocketConnection, SocketError>) -> Void
  ) {
    self.loop = loop
    self.options = options
    self.completion = completion
  }

  /// Starts to connect. On success the connection is not started yet: give it a driver.
  package static func connect(
    to address: SocketAddress, on loop: EventLoop, deadline: UInt64,
    options: SocketOptions = SocketOptions(),
    _ completion: @escaping (Result<SocketConnection, SocketError>) -> Void
  ) -> Connector {
    let connector = Connector(loop, options, completion)
    connector.begin(address, deadline)
    return connector
  }

  /// Ends the attempt; its completion is not called.
  package func cancel() {
    completion = nil
    let fd = release()
    if fd >= 0 { Socket.close(fd) }
  }

  private func begin(_ address: SocketAddress, _ deadline: UInt64) {
    do throws(SocketError) {
      fd = try Socket.make(family: address.family)
      let status = address.withPointer { Glibc.connect(fd, $0, $1) }
      if status == 0 { return settleLater(.success(())) }
      // EAGAIN: a unix socket whose backlog is full; there is no event to wait for.
      guard errno == EINPROGRESS else { throw SocketError("connect") }
      token = try loop.poller.add(fd, .write, self)
      let timer = LoopTimer(on: loop) { [weak self] in self?.settle(.failure(.timedOut("connect")))
      }
      timer.schedule(at: deadline)
      self.timer = timer
    } catch {
      settleLater(.failure(error))
    }
  }

  /// The completion never runs inside `connect(to:…)` itself.
  private func settleLater(_ result: Result<Void, SocketError>) {
    let bound = LoopBound(self, on: loop)
    loop.later { bound.value.settle(result) }
  }

  func ready(_ readiness: Readiness) {
    let code = Socket.pendingError(fd)
    settle(code == 0 ? .success(()) : .failure(SocketError("connect", errno: code)))
  }

  private func settle(_ result: Result<Void, SocketError>) {
    guard let completion else { return }
    self.completion = nil
    let fd = release()
    switch result {
    case .success:
      completion(.success(SocketConnection(adopting: fd, on: loop, options: options)))
    case .failure(let error):
      if fd >= 0 { Socket.close(fd) }
      completion(.failure(error))
    }
  }

  private func release() -> Int32 {
    timer?.cancel()
    timer = nil
    if let token { loop.poller.remove(fd, token) }
    token = nil
    defer { fd = -1 }
    return fd
  }
}
