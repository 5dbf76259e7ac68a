// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import TrunkDiscovery
internal import TrunkHTTP2
internal import TrunkSockets
internal import TrunkWire

/// The stream of a call's current attempt. Each holds the other until the stream closes.
final class CallStream: HTTP2Stream {
  @exclusivity(unchecked) private(set) var call: ClientCall
  // Borrowed by the events: a call is replaced by a job of its loop, never within an event.
  @exclusivity(unchecked) private var borrowed: Unmanaged<ClientCall>

  init(_ call: ClientCall, _ session: HTTP2Session) {
    self.call = call
    borrowed = Unmanaged.passUnretained(call)
    super.init(session, id: 0)
  }

  /// A hedged call takes over the stream of the attempt that is chosen.
  func handOver(to call: ClientCall) {
    borrowed = Unmanaged.passUnretained(call)
    self.call = call
  }

  override func header(_ name: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) {
    borrowed._withUnsafeGuaranteedRef { $0.header(name, value) }
  }
  override func headersEnded(_ kind: HeaderBlockKind, endStream: Bool, tooLarge: Bool) {
    borrowed._withUnsafeGuaranteedRef { $0.headersEnded(endStream: endStream, tooLarge: tooLarge) }
  }
  override func data(_ bytes: UnsafeRawBufferPointer) {
    borrowed._withUnsafeGuaranteedRef { $0.data(bytes) }
  }
  override func ended() { borrowed._withUnsafeGuaranteedRef { $0.ended() } }
  override func writable() { borrowed._withUnsafeGuaranteedRef { $0.writable() } }
  override func closed(_ reason: StreamCloseReason) {
    borrowed._withUnsafeGuaranteedRef { $0.closed(reason) }
  }
}
