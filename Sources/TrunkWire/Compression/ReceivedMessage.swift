// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// A message as received: its compressed flag, with `grpc-encoding`, is the algorithm to decompress
/// with. It waits compressed, so that the memory of waiting messages is bounded by the peer's
/// window, and is decompressed when the application takes it.
package struct ReceivedMessage: Sendable {
  package let payload: [UInt8]
  /// `.identity`: the flag was 0.
  package let compression: Compression

  package init(_ payload: [UInt8], _ compression: Compression) {
    self.payload = payload
    self.compression = compression
  }

  /// Bytes of the peer's window that it took, its prefix included.
  package var windowSize: Int { payload.count + MessageFrame.prefixLength }
  package var isCompressed: Bool { compression != .identity }

  /// The message itself.
  /// - Parameter limit: Largest message in bytes, decompressed.
  package func message(limit: Int) throws(RPCError) -> [UInt8] {
    guard isCompressed else { return payload }
    do throws(CompressionError) {
      return try Inflater.inflate(payload, compression, limit: limit)
    } catch {
      throw error.rpcError
    }
  }
}
