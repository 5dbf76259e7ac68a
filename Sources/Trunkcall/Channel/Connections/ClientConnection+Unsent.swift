// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import TrunkHTTP2
internal import TrunkSockets
internal import TrunkWire

/// What has not been sent. A server may read nothing: bytes wait for it for at most ``ChannelOptions/sendTimeout``.
extension ClientConnection {
  /// The deadline for calls under way after a close has passed.
  func cancelCalls(_ why: String) {
    for stream in session?.allStreams ?? [] {
      (stream as? CallStream)?.call.abort(RPCError(.cancelled, why))
    }
    socket?.close(afterFlush: true)
    // RST_STREAM frames do not reach a server that does not read: the connection is closed.
    let timer = LoopTimer(on: loop) { self.fail("the server did not read") }
    timer.schedule(after: ClientConnection.finalFlushTimeout)
    sendTimer?.cancel()
    sendTimer = timer
  }
  private static let finalFlushTimeout: Duration = .milliseconds(100)

  /// The socket buffer is full: bytes wait.
  func blocked() {
    guard sendTimer == nil, let socket else { return }
    let timer = LoopTimer(on: loop) {
      self.sendTimer = nil
      guard let socket = self.socket, socket.unsentCount > 0 else { return }
      guard socket.lastSent.adding(self.settings.sendTimeout) <= Clock.now() else {
        return self.blocked()
      }
      self.fail("the server took none of the bytes that wait for it")
    }
    timer.schedule(at: socket.lastSent.adding(settings.sendTimeout))
    sendTimer = timer
  }

  /// Why no call may wait here for a stream: too many do (a server's MAX_CONCURRENT_STREAMS is
  /// respected by waiting).
  var refusal: RPCError? {
    // Streams that are not yet on the wire count at first; the exact count is rarely needed.
    guard let session, session.unsentStreams >= settings.maxWaitingCalls,
      session.waitingStreams(with: 1) > settings.maxWaitingCalls
    else { return nil }
    return RPCError(
      .resourceExhausted,
      "\(settings.maxWaitingCalls) calls are waiting for a stream of \(peer) already")
  }
}
