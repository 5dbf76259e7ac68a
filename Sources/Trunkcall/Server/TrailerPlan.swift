// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import TrunkWire

/// The message and metadata of a status, cut to the header list that the client accepts
/// (SETTINGS_MAX_HEADER_LIST_SIZE, RFC 9113 §6.5.2). The status code is always sent. If the rest is
/// too large, it is dropped in this order: `grpc-status-details-bin`, the end of the message, the
/// error's other metadata, the call's trailing metadata.
struct TrailerPlan {
  /// `grpc-message` in its wire form; empty for none.
  private(set) var message: [UInt8]
  /// The error's metadata, then the call's.
  private(set) var metadata: Metadata
  /// What is not sent, for the log.
  private(set) var leftOut: [String] = []

  /// Encoded bytes of `grpc-message`.
  static let maxMessageSize = 4_096
  /// `:status`, `content-type`, `grpc-status` and `grpc-accept-encoding`, and the name of
  /// `grpc-message`.
  static let fixedSize = 288
  private static let details = "grpc-status-details-bin"

  /// - Parameters:
  ///   - trailing: what the handler has added to the call.
  ///   - limit: the client's, in bytes (names, values, 32 for each field).
  init(_ status: RPCError, trailing: Metadata, limit: Int) {
    let outgoing = status.metadata.outgoing(.trailers)
    leftOut = outgoing.refused
    var own = outgoing.metadata
    var trailing = trailing
    message = PercentEncoding.encode(status.message, limit: TrailerPlan.maxMessageSize)
    let room = max(0, limit - TrailerPlan.fixedSize)
    func fits(_ messageSize: Int) -> Bool {
      own.listSize + trailing.listSize + messageSize <= room
        && own.blockSize + trailing.blockSize <= Metadata.maxBlockSize
    }
    if !fits(message.count) {
      let before = own.count + trailing.count
      own.removeAll(named: TrailerPlan.details)
      trailing.removeAll(named: TrailerPlan.details)
      if own.count + trailing.count < before { leftOut.append(TrailerPlan.details) }
    }
    if !fits(message.count) {
      let left = max(0, room - own.listSize - trailing.listSize)
      if left < message.count {
        message = PercentEncoding.encode(status.message, limit: left)
        leftOut.append("the end of the message")
      }
    }
    if !fits(message.count), !own.isEmpty {
      own = Metadata()
      leftOut.append("the error's metadata")
    }
    if !fits(message.count), !trailing.isEmpty {
      trailing = Metadata()
      leftOut.append("the call's trailing metadata")
    }
    own.append(contentsOf: trailing)
    metadata = own
  }
}
