// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import CTrunkLinux
internal import Glibc

/// The options of a TCP connection.
package struct SocketOptions: Sendable, Hashable {
  /// Idle time before the kernel probes the peer; nil turns the probes off. Default 60 s.
  package var keepAliveIdle: Duration? = .seconds(60)
  /// How long sent bytes may stay unacknowledged before the connection is closed (gRFC A18,
  /// `TCP_USER_TIMEOUT`); nil leaves it to the kernel. Default 20 s.
  package var userTimeout: Duration? = .seconds(20)

  package init() {}
}

/// System calls on non-blocking sockets. Results are values; nothing retries or waits.
enum Socket {
  static func make(family: Int32) throws(SocketError) -> Int32 {
    let kind =
      Int32(SOCK_STREAM.rawValue) | Int32(SOCK_NONBLOCK.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
    let fd = socket(family, kind, 0)
    if fd < 0 { throw SocketError("socket") }
    return fd
  }

  static func close(_ fd: Int32) { _ = Glibc.close(fd) }

  static func apply(_ options: SocketOptions, to fd: Int32, family: Int32) {
    guard family != AF_UNIX else { return }
    set(fd, Int32(IPPROTO_TCP), TCP_NODELAY, 1)
    if let idle = options.keepAliveIdle {
      set(fd, SOL_SOCKET, SO_KEEPALIVE, 1)
      set(
        fd, Int32(IPPROTO_TCP), TCP_KEEPIDLE,
        Int32(clamping: max(1, idle.nanoseconds / 1_000_000_000)))
      set(fd, Int32(IPPROTO_TCP), TCP_KEEPINTVL, 10)
      set(fd, Int32(IPPROTO_TCP), TCP_KEEPCNT, 3)
    }
    if let limit = options.userTimeout {
      set(
        fd, Int32(IPPROTO_TCP), TCP_USER_TIMEOUT,
        Int32(clamping: max(1, limit.nanoseconds / 1_000_000)))
    }
  }

  static func set(_ fd: Int32, _ level: Int32, _ name: Int32, _ value: Int32) {
    var value = value
    setsockopt(fd, level, name, &value, socklen_t(MemoryLayout<Int32>.size))
  }

  /// nil if it is no TCP socket.
  static func acknowledgement(_ fd: Int32) -> TCPAcknowledgement? {
    var (unacknowledged, milliseconds, roundTrip): (UInt32, UInt32, UInt32) = (0, 0, 0)
    guard trunk_tcp_acknowledgement(fd, &unacknowledged, &milliseconds, &roundTrip) == 0 else {
      return nil
    }
    return TCPAcknowledgement(
      isAwaited: unacknowledged > 0, sinceLast: UInt64(milliseconds) * 1_000_000,
      roundTrip: UInt64(roundTrip) * 1_000)
  }

  /// The error that a connect in progress ended with; 0 for none.
  static func pendingError(_ fd: Int32) -> Int32 {
    var code: Int32 = 0
    var length = socklen_t(MemoryLayout<Int32>.size)
    return getsockopt(fd, SOL_SOCKET, SO_ERROR, &code, &length) == 0 ? code : errno
  }

  static func localAddress(_ fd: Int32) -> SocketAddress? { address(fd, getsockname) }
  static func peerAddress(_ fd: Int32) -> SocketAddress? { address(fd, getpeername) }

  private static func address(
    _ fd: Int32,
    _ call: (Int32, UnsafeMutablePointer<sockaddr>, UnsafeMutablePointer<socklen_t>) -> Int32
  ) -> SocketAddress? {
    var storage = sockaddr_storage()
    var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
    return withUnsafeMutablePointer(to: &storage) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { pointer in
        call(fd, pointer, &length) == 0 ? SocketAddress(pointer, length) : nil
      }
    }
  }
}
