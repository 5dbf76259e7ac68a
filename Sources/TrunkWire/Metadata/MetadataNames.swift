// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// The part of a call that metadata is sent in.
package enum MetadataPlace: Sendable, Hashable {
  /// With a request.
  case request
  /// Before the first response message.
  case initial
  /// With the status.
  case trailers
}

/// The meaning of a header's name for metadata. This is the only table of names: both sides, and
/// calls within the process, use it (docs/metadata.md shows it).
///
/// - Readable metadata can be sent on: a handler may echo what it received, a gateway may forward
///   it.
/// - Names of the library are read and written by it alone. They are in no received metadata, and
///   an application that sets one is refused (PROTOCOL-HTTP2.md, Custom-Metadata).
package enum MetadataName: Sendable, Hashable {
  /// Of applications: readable and settable on both sides, everywhere.
  case ordinary
  /// `grpc-status-details-bin`: readable everywhere, settable in trailers; left out elsewhere.
  case ofTrailers
  /// Of the library, or of one connection only (RFC 9113 §8.2.2): neither readable nor settable.
  case ofLibrary
  /// An HTTP/2 pseudo-header: neither readable nor settable.
  case pseudoHeader

  /// - Parameter name: in lower case, not empty.
  @inline(__always)
  package init(_ name: UnsafeRawBufferPointer) {
    switch name.first {
    case UInt8(ascii: ":"): self = .pseudoHeader
    case UInt8(ascii: "g") where name.starts(with: "grpc-"): self = MetadataName.ofGRPC(name)
    case UInt8(ascii: "c"), UInt8(ascii: "h"), UInt8(ascii: "k"), UInt8(ascii: "p"),
      UInt8(ascii: "t"), UInt8(ascii: "u"):
      self = MetadataName.isHTTPs(name) ? .ofLibrary : .ordinary
    default: self = .ordinary
    }
  }

  /// Names that begin with `grpc-` are reserved for gRPC. These are defined as metadata: retries
  /// (gRFC A6), tracing and statistics (`grpc-trace-bin`, `grpc-tags-bin`, gRFC A16, A45).
  private static func ofGRPC(_ name: UnsafeRawBufferPointer) -> MetadataName {
    if name.equals("grpc-status-details-bin") { return .ofTrailers }
    return name.equals("grpc-previous-rpc-attempts") || name.equals("grpc-retry-pushback-ms")
      || name.equals("grpc-trace-bin") || name.equals("grpc-tags-bin")
      || name.equals("grpc-server-stats-bin")
      ? .ordinary : .ofLibrary
  }

  private static func isHTTPs(_ name: UnsafeRawBufferPointer) -> Bool {
    name.equals("te") || name.equals("content-type") || name.equals("user-agent")
      || name.equals("host") || name.equals("content-length") || name.equals("connection")
      || name.equals("keep-alive") || name.equals("proxy-connection")
      || name.equals("transfer-encoding") || name.equals("upgrade")
  }

  /// Whether a peer's pair of this name is metadata.
  @inline(__always)
  package var isReadable: Bool { self == .ordinary || self == .ofTrailers }
}
