// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import CTrunkLinux
internal import Glibc

/// A listening socket on a loop. Loop-bound.
///
/// ```
///   accepting ── no room ──► held: the kernel's backlog holds clients ── resume() ──► accepting
///       │                     └── timeout over, still no room: waiting clients are closed ─► held
///       └── no descriptors ──► paused for 50 ms ──► accepting
/// ```
package final class Listener: ReadinessHandler {
  package let loop: EventLoop
  package let address: SocketAddress
  private let fd: Int32
  private let options: SocketOptions
  private var token: Poller.Token?
  private var backOff: LoopTimer?
  /// Nil once it is closed: its closures may hold the listener.
  private var admission: Admission?
  private var isHeld = false
  private var holdTimer: LoopTimer?
  private let paused: () -> Void
  /// `accept4`; tests replace it by one that fails for lack of descriptors.
  private let accept: (Int32) -> Int32
  /// Times that accepting had to pause because descriptors or memory ran out.
  package private(set) var pauses = 0

  /// Accepts per readiness event, so that a connect storm does not hold the loop.
  private static let acceptsPerEvent = 64
  /// How long accepting pauses after EMFILE and the like: the kernel keeps the queue in that time.
  private static let pause: Duration = .milliseconds(50)
  /// The kernel cuts it to `net.core.somaxconn`, which is 4,096 since Linux 5.4.
  private static let backlog: Int32 = 4_096

  /// Decides about the next connection, on the listener's loop.
  package struct Admission {
    /// Takes the next connection; nil if there is no room: ``Listener/resume()`` is called when
    /// there is.
    package var next: () -> ((AcceptedSocket) -> Void)?
    /// A connection was closed because it had waited for room too long.
    package var refused: () -> Void
    /// How long connections may wait for room.
    package var timeout: Duration

    package init(
      timeout: Duration, next: @escaping () -> ((AcceptedSocket) -> Void)?,
      refused: @escaping () -> Void
    ) {
      self.next = next
      self.refused = refused
      self.timeout = timeout
    }
  }

  /// Binds and listens; `accepted` runs on `loop` for every connection, `paused` when descriptors
  /// or memory run out.
  package convenience init(
    on address: SocketAddress, loop: EventLoop, options: SocketOptions = SocketOptions(),
    paused: @escaping () -> Void = {}, accepted: @escaping (AcceptedSocket) -> Void
  ) throws(SocketError) {
    try self.init(
      on: address, loop: loop, options: options, accept: { trunk_accept($0) }, paused: paused,
      accepted: accepted)
  }

  /// The same with a limit on connections.
  package convenience init(
    on address: SocketAddress, loop: EventLoop, options: SocketOptions,
    paused: @escaping () -> Void,
    admission: Admission
  ) throws(SocketError) {
    try self.init(
      on: address, loop: loop, options: options, accept: { trunk_accept($0) }, paused: paused,
      admission: admission)
  }

  convenience init(
    on address: SocketAddress, loop: EventLoop, options: SocketOptions,
    accept: @escaping (Int32) -> Int32, paused: @escaping () -> Void = {},
    accepted: @escaping (AcceptedSocket) -> Void
  ) throws(SocketError) {
    try self.init(
      on: address, loop: loop, options: options, accept: accept, paused: paused,
      admission: Admission(timeout: .zero, next: { accepted }, refused: {}))
  }

  private init(
    on address: SocketAddress, loop: EventLoop, options: SocketOptions,
    accept: @escaping (Int32) -> Int32, paused: @escaping () -> Void, admission: Admission
  ) throws(SocketError) {
    self.loop = loop
    self.options = options
    self.accept = accept
    self.admission = admission
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
    holdTimer?.cancel()
    holdTimer = nil
    admission = nil
    if let token { loop.poller.remove(fd, token) }
    token = nil
    Socket.close(fd)
    if case .unix(let path) = address.destination { unlink(path) }
  }

  func ready(_ readiness: Readiness) {
    guard !isHeld else { return }
    for _ in 0..<Listener.acceptsPerEvent {
      // Set before the call: there may be room again while it answers that there is none.
      isHeld = true
      guard let take = admission?.next() else { return hold() }
      isHeld = false
      let client = accept(fd)
      if client >= 0 {
        take(AcceptedSocket(fd: client, options: options))
        if isClosed { return }
        continue
      }
      switch errno {
      case EAGAIN: return
      // That one connection failed (accept(2) lists these errors): accept the next.
      case EINTR, ECONNABORTED, EPROTO, EPERM, ENETDOWN, ENOPROTOOPT, EHOSTDOWN, ENONET,
        EHOSTUNREACH, EOPNOTSUPP, ENETUNREACH:
        continue
      // No descriptors or no memory (EMFILE, ENFILE, ENOBUFS, ENOMEM), or an error that stays.
      default: return pauseAccepting()
      }
    }
  }

  // MARK: No room

  /// There may be room again. On the loop.
  package func resume() {
    guard isHeld, let token else { return }
    isHeld = false
    holdTimer?.cancel()
    holdTimer = nil
    loop.poller.change(fd, .read, token)
  }

  private func hold() {
    // Resumed already; the clients are still in the backlog.
    guard isHeld, let token else { return }
    loop.poller.change(fd, [], token)
    waitForRoom()
  }

  private func waitForRoom() {
    let timer = LoopTimer(on: loop) { [weak self] in self?.refuseWaiting() }
    timer.schedule(after: admission?.timeout ?? .zero)
    holdTimer = timer
  }

  /// Clients in the backlog have waited too long: they are closed, and may try elsewhere.
  private func refuseWaiting() {
    guard isHeld, !isClosed else { return }
    for _ in 0..<Listener.refusalsPerTurn {
      let client = accept(fd)
      guard client >= 0 else { break }
      Socket.close(client)
      admission?.refused()
    }
    waitForRoom()
  }
  private static let refusalsPerTurn = 4_096

  /// A level-triggered listener without a free descriptor would loop without end. [CVE-2023-4785]
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

  /// A socket file without a listener would make bind fail with EADDRINUSE.
  private static func removeStale(_ path: String, _ address: SocketAddress) {
    // connect() refuses a regular file as well, and that one must not be removed.
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
  /// Closes the connection without using it.
  package func close() { Socket.close(fd) }
}
