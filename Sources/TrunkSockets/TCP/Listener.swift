// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import CTrunkLinux
internal import Glibc

/// A listening socket on a loop. Loop-bound.
package final class Listener: ReadinessHandler {
  package let loop: EventLoop
  package let address: SocketAddress
  private let fd: Int32
  private let options: SocketOptions
  private var token: Poller.Token?
  private var backOff: LoopTimer?
  private let accepted: (AcceptedSocket) -> Void
  private let paused: () -> Void
  /// `accept4`; tests run it out of descriptors.
  private let accept: (Int32) -> Int32
  /// Times that accepting had to pause because descriptors or memory ran out.
  package private(set) var pauses = 0

  /// Accepts per readiness event, so that a connect storm does not hold the loop.
  private static let acceptsPerEvent = 64
  /// How long accepting pauses after EMFILE and its like: the kernel keeps the queue meanwhile.
  private static let pause: Duration = .milliseconds(50)
  private static let backlog: Int32 = 1_024

  /// Binds and listens; `accepted` runs on `loop` for every connection, `paused`
  /// when descriptors or memory ran out.
  package convenience init(
    on address: SocketAddress, loop: EventLoop, options: SocketOptions = SocketOptions(),
    paused: @escaping () -> Void = {}, accepted: @escaping (AcceptedSocket) -> Void
  ) throws(SocketError) {
    try self.init(
      on: address, loop: loop, options: options, accept: { trunk_accept($0) }, paused: paused,
      accepted: accepted)
  }

  init(
    on address: SocketAddress, loop: EventLoop, options: SocketOptions,
    accept: @escaping (Int32) -> Int32, paused: @escaping () -> Void = {},
    accepted: @escaping (AcceptedSocket) -> Void
  ) throws(SocketError) {
    self.loop = loop
    self.options = options
    self.accept = accept
    self.accepted = accepted
    self.paused = paused
    let fd = try Socket.make(family: address.family)
    Socket.set(fd, SOL_SOCKET, SO_REUSEADDR, 1)
    if case .unix(let path) = address.destination { Listener.removeStale(path, address) }
    guard address.withPointer({ bind(fd, $0, $1) }) == 0, listen(fd, Listener.backlog) == 0 else {
      let error = SocketError("listen")
      Socket.close(fd)
      throw error
    }
    self.fd = fd
    self.address = Socket.localAddress(fd) ?? address
  }

  deinit { if !isClosed { Socket.close(fd) } }

  package private(set) var isClosed = false

  package func start() throws(SocketError) {
    guard token == nil, !isClosed else { return }
    token = try loop.poller.add(fd, .read, self)
  }

  package func close() {
    guard !isClosed else { return }
    isClosed = true
    backOff?.cancel()
    if let token { loop.poller.remove(fd, token) }
    token = nil
    Socket.close(fd)
    if case .unix(let path) = address.destination { unlink(path) }
  }

  func ready(_ readiness: Readiness) {
    for _ in 0..<Listener.acceptsPerEvent {
      let client = accept(fd)
      if client >= 0 {
        accepted(AcceptedSocket(fd: client, options: options))
        if isClosed { return }
        continue
      }
      switch errno {
      case EAGAIN: return
      // That one connection failed (accept(2) names these): on to the next.
      case EINTR, ECONNABORTED, EPROTO, EPERM, ENETDOWN, ENOPROTOOPT, EHOSTDOWN, ENONET,
        EHOSTUNREACH, EOPNOTSUPP, ENETUNREACH:
        continue
      // No descriptors or no memory (EMFILE, ENFILE, ENOBUFS, ENOMEM), or an error that stays.
      default: return pauseAccepting()
      }
    }
  }

  /// A level-triggered listener without a free descriptor would spin. [CVE-2023-4785]
  private func pauseAccepting() {
    guard let token else { return }
    pauses += 1
    paused()
    loop.poller.change(fd, [], token)
    let timer = LoopTimer(on: loop) { [weak self] in
      guard let self, let token = self.token else { return }
      self.loop.poller.change(self.fd, .read, token)
    }
    timer.schedule(after: Listener.pause)
    backOff = timer
  }

  /// A socket file that nobody listens on any more would make bind fail with EADDRINUSE.
  private static func removeStale(_ path: String, _ address: SocketAddress) {
    // connect() refuses a regular file as well, and that one is not ours to remove.
    var status = stat()
    guard lstat(path, &status) == 0, status.st_mode & S_IFMT == S_IFSOCK else { return }
    guard let probe = try? Socket.make(family: AF_UNIX) else { return }
    defer { Socket.close(probe) }
    if address.withPointer({ connect(probe, $0, $1) }) != 0, errno == ECONNREFUSED { unlink(path) }
  }
}

/// An accepted descriptor on its way to the loop that will own it.
package struct AcceptedSocket: Sendable {
  let fd: Int32
  let options: SocketOptions

  /// Makes the connection; call on `loop`, once.
  package func adopt(on loop: EventLoop) -> SocketConnection {
    SocketConnection(adopting: fd, on: loop, options: options)
  }
  /// Turns the peer away.
  package func close() { Socket.close(fd) }
}
