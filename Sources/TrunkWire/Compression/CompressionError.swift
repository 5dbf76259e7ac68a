// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// Why a compressed message cannot be decompressed.
package enum CompressionError: Error, Sendable, Equatable {
  /// It inflates to more than `limit` bytes; no more than that were ever produced.
  case tooLarge(limit: Int)
  /// Not of the algorithm's format, or its checksum is wrong.
  case corrupt(Compression)
  /// Its bytes end before its compressed data does.
  case truncated(Compression)
  /// `count` bytes follow its end.
  case trailingBytes(Compression, count: Int)
  /// zlib had no memory for its state.
  case noMemory

  /// The status for the call (statuscodes.md): over a limit is RESOURCE_EXHAUSTED, what cannot be
  /// decompressed INTERNAL.
  package var rpcError: RPCError {
    switch self {
    case .tooLarge(let limit):
      RPCError(
        .resourceExhausted,
        "received message inflates to more than the limit of \(limit) bytes")
    case .corrupt(let algorithm):
      RPCError(.internal, "received message is not valid \(algorithm)")
    case .truncated(let algorithm):
      RPCError(.internal, "received message ends in the middle of its \(algorithm) data")
    case .trailingBytes(let algorithm, let count):
      RPCError(
        .internal, "received message has \(count) bytes after the end of its \(algorithm) data")
    case .noMemory:
      RPCError(.resourceExhausted, "no memory to compress or decompress a message")
    }
  }
}
