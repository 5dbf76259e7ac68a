// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import Logging
internal import TrunkHTTP2
internal import TrunkSockets
internal import TrunkWire

/// The request's header block (PROTOCOL-HTTP2.md, Requests): pseudo-headers, `te`, the timeout, the
/// rest of the call's definition, then the application's metadata.
enum RequestHeaders {
  static let userAgent = "grpc-swift-trunkcall/0.1.0"

  /// The metadata of a request as it is sent.
  /// - Throws: INTERNAL for a pair that cannot be sent, RESOURCE_EXHAUSTED for too many of them.
  static func outgoing(_ metadata: Metadata, _ logger: Logger?) throws(RPCError) -> Metadata {
    guard !metadata.isEmpty else { return metadata }
    let outgoing = try metadata.checked(.request, logger)
    if let oversize = outgoing.oversize() { throw oversize }
    return outgoing
  }

  /// The error for a request's header list that the server does not take.
  static func oversize(_ size: Int, of limit: Int, for peer: String) -> RPCError {
    RPCError(
      .resourceExhausted,
      "request headers of \(size) bytes are larger than the \(limit) bytes that \(peer) takes")
  }

  /// What ``ClientCall/writeHeaders(_:authority:)`` would count for without compression (RFC 9113
  /// §10.5.1), for a call that is not sent over HTTP/2.
  static func listSize(
    _ method: MethodName, _ metadata: Metadata, authority: String, hasDeadline: Bool
  ) -> Int {
    let fixed: [(StaticString, Int)] = [
      (":method", 4), (":scheme", 4), (":path", method.bytes.count),
      (":authority", authority.utf8.count), ("te", 8), ("content-type", 16),
      ("user-agent", userAgent.utf8.count),
    ]
    let timeout = hasDeadline ? "grpc-timeout".utf8.count + 9 + 32 : 0
    return fixed.reduce(metadata.listSize + timeout) { $0 + $1.0.utf8CodeUnitCount + $1.1 + 32 }
  }
}

extension Metadata {
  /// The part of it that can be sent.
  /// - Throws: INTERNAL for the first pair that cannot be.
  func checked(_ place: MetadataPlace, _ logger: Logger?) throws(RPCError) -> Metadata {
    let outgoing = outgoing(place)
    if let refused = outgoing.refused.first { throw RPCError(.internal, refused) }
    if !outgoing.leftOut.isEmpty {
      logger?.debug(
        "metadata that belongs into trailers is not sent",
        metadata: ["names": "\(outgoing.leftOut.joined(separator: ", "))"])
    }
    return outgoing.metadata
  }
}

extension ClientCall {
  func writeHeaders(_ list: inout HeaderList, authority: [UInt8]) {
    list.add(":method", "POST")
    if context.settings.isSecure {
      list.add(":scheme", "https")
    } else {
      list.add(":scheme", "http")
    }
    list.add(":path", method.bytes)
    list.add(":authority", authority)
    list.add("te", "trailers")
    if deadline != .max {
      let now = Clock.now()
      // The remaining time: the call may have waited for a server.
      list.add(
        "grpc-timeout", GRPCTimeout.encode(nanoseconds: deadline > now ? deadline - now : 1))
    }
    list.add("content-type", "application/grpc")
    if compression != .identity { list.add("grpc-encoding", compression.wireName) }
    let accepted = context.settings.acceptedCompression
    if !accepted.isEmpty { list.add("grpc-accept-encoding", accepted.wireNames) }
    if let userAgent = context.settings.userAgent {
      list.add("user-agent", userAgent)
    } else {
      list.add("user-agent", "grpc-swift-trunkcall/0.1.0")
    }
    let previousAttempts = previousAttempts
    if previousAttempts > 0 {
      list.add("grpc-previous-rpc-attempts", Array("\(previousAttempts)".utf8))
    }
    list.add(metadata)
  }
}
