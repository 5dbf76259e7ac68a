// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import TrunkDiscovery
internal import TrunkHTTP2
internal import TrunkSockets
internal import TrunkWire

/// The stream of a call's current attempt. Each holds the other until the stream closes.
final class CallStream: HTTP2Stream {
  /// A hedged call takes over the stream of the attempt that is chosen.
  @exclusivity(unchecked) var call: ClientCall

  init(_ call: ClientCall, _ session: HTTP2Session) {
    self.call = call
    super.init(session, id: 0)
  }

  override func header(_ name: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) {
    call.header(name, value)
  }
  override func headersEnded(_ kind: HeaderBlockKind, endStream: Bool, tooLarge: Bool) {
    call.headersEnded(endStream: endStream, tooLarge: tooLarge)
  }
  override func data(_ bytes: UnsafeRawBufferPointer) { call.data(bytes) }
  override func ended() { call.ended() }
  override func writable() { call.writable() }
  override func closed(_ reason: StreamCloseReason) { call.closed(reason) }
}
