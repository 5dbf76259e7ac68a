// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// Transforms the bytes between a socket and its driver: TLS. No I/O and no clock, bytes in and
/// bytes out, on the connection's loop.
package protocol ByteFilter: AnyObject {
  /// Whether the driver's bytes may be sent and received.
  var isOpen: Bool { get }
  /// Bytes that wait to be sent, those that are not from the driver (replies to KeyUpdate)
  /// included.
  var outputCount: Int { get }
  /// The socket is connected.
  func begin() throws(SocketError)
  /// Takes what the socket received. `plain` gets the driver's bytes in it, piece by piece in
  /// `scratch`, until it returns false.
  /// - Returns: whether the peer has ended its side in order.
  func receive(
    _ bytes: UnsafeRawBufferPointer, _ scratch: UnsafeMutableRawBufferPointer,
    _ plain: (UnsafeRawBufferPointer) -> Bool
  ) throws(SocketError) -> Bool
  /// Adds the driver's bytes in their form on the wire.
  func send(_ plain: UnsafeRawBufferPointer, _ output: inout OutputBuffer) throws(SocketError)
  /// Adds bytes of the filter's own.
  func drain(_ output: inout OutputBuffer)
  /// Adds the closing message (TLS: close_notify, RFC 8446 §6.1).
  func close(_ output: inout OutputBuffer)
  /// The error of a socket that has ended now; nil if the end was in order.
  func ended() -> SocketError?
}
