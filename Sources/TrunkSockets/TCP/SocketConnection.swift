// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import CTrunkLinux
internal import Glibc

/// The protocol on a connection's bytes: an HTTP/2 session, an HTTP/1.1 exchange.
///
/// Called on the connection's loop only. A ``ByteFilter`` (TLS) can be put between driver and
/// socket without a change of the driver.
package protocol ConnectionDriver: AnyObject {
  /// Bytes were received; they are valid during the call.
  func received(_ bytes: UnsafeRawBufferPointer)
  /// Add bytes to send, up to ``OutputBuffer/mark`` or a little more; called again until it adds
  /// nothing, but only while the socket accepts them.
  func fill(_ output: inout OutputBuffer)
  /// The connection is closed: nil when the peer closed it in order. Called exactly once.
  func closed(_ error: SocketError?)
  /// The socket buffer is full; the rest is sent when it has room.
  func blocked()
}

extension ConnectionDriver {
  package func blocked() {}
}

/// A connected, non-blocking socket on a loop: received bytes go to the driver, and the driver's
/// bytes are sent in one `send` per tick. Bound to its loop.
package final class SocketConnection: ReadinessHandler, Flushable {
  package let loop: EventLoop
  private let fd: Int32
  @exclusivity(unchecked) private var token: Poller.Token?
  @exclusivity(unchecked) private var driver: (any ConnectionDriver)?
  /// TLS; nil for plaintext.
  @exclusivity(unchecked) package private(set) var filter: (any ByteFilter)?
  @exclusivity(unchecked) private var interest: Readiness = .read
  @exclusivity(unchecked) private var needsFlush = false
  /// Set while the driver has ended and only the rest of its bytes is to be sent.
  @exclusivity(unchecked) private var closeAfterFlush = false
  /// Bytes that the socket buffer had no room for; the driver is asked for more after they are
  /// sent.
  @exclusivity(unchecked) private var unsent: [UInt8] = []
  @exclusivity(unchecked) private var unsentOffset = 0
  package let peer: SocketAddress?
  /// When bytes last arrived, `CLOCK_MONOTONIC` nanoseconds.
  @exclusivity(unchecked) package private(set) var lastReceived: UInt64
  /// When the kernel last accepted bytes.
  @exclusivity(unchecked) package private(set) var lastSent: UInt64

  /// What the kernel knows of the peer's acknowledgements; nil if the connection is closed, or no TCP
  /// connection.
  package var acknowledgement: TCPAcknowledgement? {
    token == nil ? nil : Socket.acknowledgement(fd)
  }

  /// Reads per readiness event, so that one fast peer does not hold the loop.
  private static let readsPerEvent = 4

  init(adopting fd: Int32, on loop: EventLoop, options: SocketOptions) {
    self.fd = fd
    self.loop = loop
    peer = Socket.peerAddress(fd)
    lastReceived = loop.now
    lastSent = loop.now
    Socket.apply(options, to: fd, family: peer?.family ?? AF_UNIX)
  }

  deinit { if !isClosed { Socket.close(fd) } }

  @exclusivity(unchecked) package private(set) var isClosed = false

  /// Begins to read. The connection holds the driver until it is closed.
  /// - Parameter filter: between the two from the first byte on.
  package func start(_ driver: any ConnectionDriver, filter: (any ByteFilter)? = nil) {
    self.driver = driver
    self.filter = filter
    do {
      token = try loop.poller.add(fd, interest, self)
      try filter?.begin()
    } catch { finish(error) }
    setNeedsFlush()
  }

  /// Asks for a flush at the end of this tick.
  package func setNeedsFlush() {
    guard !needsFlush, !isClosed else { return }
    needsFlush = true
    loop.setNeedsFlush(self)
  }

  @exclusivity(unchecked) private var isPaused = false
  /// Stops or resumes reading: the kernel's window is the limit for the peer then.
  // Through accessors: stored, other modules would check every access to it.
  package var readsPaused: Bool {
    get { isPaused }
    set {
      guard isPaused != newValue else { return }
      isPaused = newValue
      updateInterest()
    }
  }

  /// Bytes that wait for the peer: those of the driver that the socket has no room for, and the
  /// filter's.
  package var unsentCount: Int { restCount + (filter?.outputCount ?? 0) }
  private var restCount: Int { unsent.count - unsentOffset }

  /// Whether the peer makes the filter reply (TLS: KeyUpdate) and does not read the replies.
  /// Reading from it pauses then, which bounds the bytes that wait for it.
  private var isChoked: Bool {
    guard let filter, restCount > 0 else { return false }
    return filter.outputCount >= SocketConnection.filterOutputLimit
  }
  /// Bytes of a filter's own that may wait for the peer before reading pauses. Those of one read
  /// may be added to it.
  static let filterOutputLimit = 16 * 1024

  /// Closes at once, or after the kernel has accepted all bytes.
  package func close(afterFlush: Bool = false) {
    guard !isClosed else { return }
    if afterFlush {
      closeAfterFlush = true
      setNeedsFlush()
    } else {
      finish(nil)
    }
  }

  /// Closes with an error for the driver.
  package func fail(_ error: SocketError) { finish(error) }

  // MARK: Readiness

  func ready(_ readiness: Readiness) {
    if readiness.contains(.write) { setNeedsFlush() }
    if readiness.contains(.failed) {
      receiveRest()
      let code = isClosed ? 0 : Socket.pendingError(fd)
      finish(code == 0 ? nil : SocketError("epoll", errno: code))
    } else if readiness.contains(.read) {
      receive()
    }
  }

  /// The peer has closed, and its last bytes are in the kernel: a last response, a GOAWAY. Read
  /// even while reading is paused: it is no more than the socket's buffer holds.
  private func receiveRest() {
    while !isClosed, let base = loop.receiveBuffer.baseAddress {
      let count = recv(fd, base, loop.receiveBuffer.count, 0)
      if count > 0 {
        take(UnsafeRawBufferPointer(start: base, count: count))
      } else if count == 0 {
        return finish(filter?.ended())
      } else if errno != EINTR {
        if errno != EAGAIN { finish(SocketError("recv")) }
        return
      }
    }
  }

  private func receive() {
    for _ in 0..<SocketConnection.readsPerEvent {
      guard !isClosed, !isPaused, let base = loop.receiveBuffer.baseAddress else { return }
      if isChoked { return updateInterest() }
      let count = recv(fd, base, loop.receiveBuffer.count, 0)
      if count > 0 {
        lastReceived = loop.now
        take(UnsafeRawBufferPointer(start: base, count: count))
        if count < loop.receiveBuffer.count { return }
      } else if count == 0 {
        return finish(filter?.ended())
      } else if errno != EINTR {
        if errno != EAGAIN { finish(SocketError("recv")) }
        return
      }
    }
  }

  /// Received bytes before they go to the driver.
  private func take(_ bytes: UnsafeRawBufferPointer) {
    guard let filter else {
      driver?.received(bytes)
      return
    }
    do {
      let wasOpen = filter.isOpen
      let isEnd = try filter.receive(bytes, loop.plainReceiveBuffer) { plain in
        driver?.received(plain)
        return !isClosed
      }
      if isClosed { return }
      // The driver's bytes have waited for the handshake.
      if filter.outputCount > 0 || filter.isOpen != wasOpen { setNeedsFlush() }
      if isEnd { finish(nil) }
    } catch {
      // The alert for the peer is sent, if possible.
      loop.sendBuffer.removeAll()
      filter.drain(&loop.sendBuffer)
      if loop.sendBuffer.count > 0, restCount == 0 {
        _ = Glibc.send(
          fd, loop.sendBuffer.bytes.baseAddress, loop.sendBuffer.count, Int32(MSG_NOSIGNAL))
      }
      finish(error)
    }
  }

  // MARK: Sending

  func flush() {
    needsFlush = false
    guard !isClosed, token != nil else { return }
    guard sendUnsent() else { return }
    while !isClosed {
      loop.sendBuffer.removeAll()
      if let filter { fill(through: filter) } else { driver?.fill(&loop.sendBuffer) }
      if isClosed { return }
      let count = loop.sendBuffer.count
      if count == 0 { break }
      let sent = send(loop.sendBuffer.bytes)
      if sent < 0 { return }
      if sent < count {
        unsent.append(contentsOf: loop.sendBuffer.bytes[sent...])
        updateInterest()
        driver?.blocked()
        return
      }
      if count < OutputBuffer.mark { break }
    }
    updateInterest()
    if closeAfterFlush { closeInOrder() }
  }

  private func fill(through filter: any ByteFilter) {
    filter.drain(&loop.sendBuffer)
    guard filter.isOpen else { return }
    loop.plainSendBuffer.removeAll()
    driver?.fill(&loop.plainSendBuffer)
    guard !isClosed, loop.plainSendBuffer.count > 0 else { return }
    do { try filter.send(loop.plainSendBuffer.bytes, &loop.sendBuffer) } catch { finish(error) }
  }

  /// Everything is sent; a filter adds its closing message (TLS: close_notify).
  private func closeInOrder() {
    if let filter {
      loop.sendBuffer.removeAll()
      filter.close(&loop.sendBuffer)
      if loop.sendBuffer.count > 0, send(loop.sendBuffer.bytes) < 0 { return }
    }
    finish(nil)
  }

  /// Whether all was sent.
  private func sendUnsent() -> Bool {
    guard restCount > 0 else { return true }
    let sent = unsent.withUnsafeBytes {
      send(UnsafeRawBufferPointer(rebasing: $0[unsentOffset...]))
    }
    if sent < 0 { return false }
    unsentOffset += sent
    if restCount > 0 {
      updateInterest()
      driver?.blocked()
      return false
    }
    unsent = []
    unsentOffset = 0
    return true
  }

  /// The number of bytes accepted; -1 if the connection failed (and is closed now).
  private func send(_ bytes: UnsafeRawBufferPointer) -> Int {
    while true {
      let count = Glibc.send(fd, bytes.baseAddress, bytes.count, Int32(MSG_NOSIGNAL))
      if count >= 0 {
        lastSent = loop.now
        return count
      }
      if errno == EINTR { continue }
      if errno == EAGAIN { return 0 }
      let error = SocketError("send")
      receiveRest()
      finish(error)
      return -1
    }
  }

  private func updateInterest() {
    guard let token, !isClosed else { return }
    var wanted: Readiness = isPaused || isChoked ? [] : .read
    if restCount > 0 { wanted.insert(.write) }
    guard wanted != interest else { return }
    interest = wanted
    loop.poller.change(fd, wanted, token)
  }

  private func finish(_ error: SocketError?) {
    guard !isClosed else { return }
    isClosed = true
    if let token { loop.poller.remove(fd, token) }
    token = nil
    Socket.close(fd)
    unsent = []
    unsentOffset = 0
    // Whatever still holds this connection needs neither: TLS keys and buffers are released now.
    filter = nil
    let driver = driver
    self.driver = nil
    driver?.closed(error)
  }
}
