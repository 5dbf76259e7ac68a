// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// What stands between a socket's bytes and its driver's: TLS. No I/O and no clock, bytes in and
/// bytes out, on the connection's loop.
package protocol ByteFilter: AnyObject {
  /// Whether the driver's bytes may flow.
  var isOpen: Bool { get }
  /// Bytes that wait to be sent, those that did not come from the driver (answers to KeyUpdate)
  /// included.
  var outputCount: Int { get }
  /// The socket is connected.
  func begin() throws(SocketError)
  /// Takes what the socket received. `plain` gets what that holds for the driver, piece by piece in
  /// `scratch`, until it says false.
  /// - Returns: whether the peer has ended its side in order.
  func receive(
    _ bytes: UnsafeRawBufferPointer, _ scratch: UnsafeMutableRawBufferPointer,
    _ plain: (UnsafeRawBufferPointer) -> Bool
  ) throws(SocketError) -> Bool
  /// Adds what the driver's bytes are on the wire.
  func send(_ plain: UnsafeRawBufferPointer, _ output: inout OutputBuffer) throws(SocketError)
  /// Adds what is to be sent besides.
  func drain(_ output: inout OutputBuffer)
  /// Adds the goodbye.
  func close(_ output: inout OutputBuffer)
  /// What it means that the socket has ended now; nil if that is in order.
  func ended() -> SocketError?
}
