// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import TrunkHTTP2
internal import TrunkSockets
internal import TrunkWire

/// The request's header block (PROTOCOL-HTTP2.md, Requests): pseudo-headers, `te`, the timeout, the
/// rest of the call's definition, then the application's metadata.
enum RequestHeaders {
  static let userAgent = "grpc-swift-trunkcall/0.1.0"

  /// Why the metadata cannot be sent.
  static func refusal(of metadata: Metadata) -> RPCError? {
    guard !metadata.isEmpty else { return nil }
    if let violation = metadata.violation() { return RPCError(.internal, violation) }
    return metadata.oversize()
  }
}

extension Metadata {
  /// nghttp2 sends header blocks of at most 64 KiB; this is what the application may fill of it.
  static let maxBlockSize = 60_000

  /// As nghttp2 counts before it sends: names, values, and 12 bytes for each pair.
  var blockSize: Int { storage.count + 6 * count }

  /// Why it cannot be sent together with `sent`: RESOURCE_EXHAUSTED.
  func oversize(beside sent: Metadata = Metadata()) -> RPCError? {
    let size = blockSize + sent.blockSize
    guard size > Metadata.maxBlockSize else { return nil }
    return RPCError(
      .resourceExhausted,
      "metadata of \(size) bytes is larger than the limit of \(Metadata.maxBlockSize) bytes")
  }
}

extension ClientCall {
  func writeHeaders(_ list: inout HeaderList, authority: [UInt8]) {
    list.add(":method", "POST")
    if hub.settings.isSecure { list.add(":scheme", "https") } else { list.add(":scheme", "http") }
    list.add(":path", method.bytes)
    list.add(":authority", authority)
    list.add("te", "trailers")
    if deadline != .max {
      let now = Clock.now()
      // What remains now: the call may have waited for a server.
      list.add(
        "grpc-timeout", GRPCTimeout.encode(nanoseconds: deadline > now ? deadline - now : 1))
    }
    list.add("content-type", "application/grpc")
    if compression != .identity { list.add("grpc-encoding", compression.wireName) }
    let accepted = hub.settings.acceptedCompression
    if !accepted.isEmpty { list.add("grpc-accept-encoding", accepted.wireNames) }
    if let userAgent = hub.settings.userAgent {
      list.add("user-agent", userAgent)
    } else {
      list.add("user-agent", "grpc-swift-trunkcall/0.1.0")
    }
    list.add(metadata)
  }
}
