// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Glibc
import TrunkSockets
package import TrunkTesting

/// A client that sends and never reads: not even what its socket holds.
package final class StubbornPeer: Sendable {
  private let fd: Int32

  private init(_ fd: Int32) { self.fd = fd }
  deinit { TCPClient.close(fd) }

  package static func connect(
    port: UInt16, settings: [ScriptedSetting] = [], receiveBuffer: Int32 = 4_096
  ) async throws -> StubbornPeer {
    let peer = StubbornPeer(try TCPClient.connect(port, receiveBuffer: receiveBuffer))
    let preface = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)
    await peer.send(preface + ScriptedFrame.settings(settings).bytes)
    return peer
  }

  /// Sends what `next` makes until the server is gone, or the time is over.
  package func flood(until: Duration, _ next: @Sendable () -> [UInt8]) async {
    let end = ContinuousClock.now + until
    while ContinuousClock.now < end {
      var chunk: [UInt8] = []
      while chunk.count < 16_384 { chunk += next() }
      guard await send(chunk, until: end) else { return }
    }
  }

  /// - Returns: whether the server took everything in time.
  @discardableResult
  package func send(
    _ bytes: [UInt8], until end: ContinuousClock.Instant = .now + .seconds(10)
  ) async -> Bool {
    var rest = bytes[...]
    while !rest.isEmpty {
      let sent = TCPClient.send(fd, Array(rest))
      if sent < 0 || ContinuousClock.now > end { return false }
      if sent == 0 { try? await Task.sleep(for: .milliseconds(5)) }
      rest = rest.dropFirst(sent)
    }
    return true
  }

  /// Nothing more is sent; the socket goes with the object.
  package func close() { shutdown(fd, Int32(SHUT_RDWR)) }
}
