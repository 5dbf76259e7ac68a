// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

import Glibc
import TrunkSockets

/// A bare non-blocking TCP socket, for clients that do not read.
package enum TCPClient {
  package static func connect(_ port: UInt16, receiveBuffer: Int32) throws -> Int32 {
    let fd = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    guard fd >= 0 else { throw SocketError("socket") }
    var size = receiveBuffer
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, socklen_t(MemoryLayout<Int32>.size))
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = port.bigEndian
    address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
    let length = socklen_t(MemoryLayout<sockaddr_in>.size)
    let failed = withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { Glibc.connect(fd, $0, length) != 0 }
    }
    guard !failed else { throw SocketError("connect") }
    _ = fcntl(fd, F_SETFL, O_NONBLOCK)
    return fd
  }

  /// Bytes taken; 0 for none now, -1 when the connection is gone.
  package static func send(_ fd: Int32, _ bytes: [UInt8]) -> Int {
    let count = Glibc.send(fd, bytes, bytes.count, Int32(MSG_NOSIGNAL))
    return count >= 0 ? count : (errno == EAGAIN ? 0 : -1)
  }

  package static func close(_ fd: Int32) { _ = Glibc.close(fd) }
}
