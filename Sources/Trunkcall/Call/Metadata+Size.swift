// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import TrunkWire

/// How much metadata one header block can hold.
extension Metadata {
  /// nghttp2 sends header blocks of at most 64 KiB; this is what the application may fill of it.
  static let maxBlockSize = 60_000

  /// As nghttp2 counts before it sends: names, values, and 12 bytes for each pair.
  var blockSize: Int { storage.count + 6 * count }

  /// Why it cannot be sent together with `sent` (clients): RESOURCE_EXHAUSTED.
  func oversize(beside sent: Metadata = Metadata()) -> RPCError? {
    let size = blockSize + sent.blockSize
    guard size > Metadata.maxBlockSize else { return nil }
    return RPCError(
      .resourceExhausted,
      "metadata of \(size) bytes is larger than the limit of \(Metadata.maxBlockSize) bytes")
  }

  /// As the limit of a header list counts: names, values, and 32 bytes for each pair (RFC 9113
  /// §10.5.1).
  var listSize: Int { storage.count + 26 * count }

  /// Why it exceeds the list that a client takes (servers): RESOURCE_EXHAUSTED.
  func oversize(for limit: Int, beside sent: Metadata) -> RPCError? {
    let size = listSize + sent.listSize + TrailerPlan.fixedSize
    guard size > limit else { return nil }
    return RPCError(
      .resourceExhausted,
      "metadata of \(size) bytes is larger than the \(limit) bytes that the client takes")
  }
}
