// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// What an application may send as metadata (PROTOCOL-HTTP2.md, Custom-Metadata).
///
/// 1. Whatever a peer may send can be sent on: any name that HTTP/2 allows, any value that it
///    allows (RFC 9113 §8.2.1), tabs and bytes outside of ASCII included.
/// 2. Spaces at the edges of a value are removed: HTTP does not keep them (RFC 9110 §5.5).
/// 3. ``MetadataName`` has the names that are reserved.
extension Metadata {
  /// Metadata before it is sent.
  package struct Outgoing: Sendable {
    /// The pairs that can be sent.
    package var metadata: Metadata
    /// A sentence for each pair that cannot; it names the pair.
    package var refused: [String] = []
    /// Names of pairs that are for another part of a call.
    package var leftOut: [String] = []
  }

  package func outgoing(_ place: MetadataPlace) -> Outgoing {
    if isEmpty || isPlain(place) { return Outgoing(metadata: self) }
    var outgoing = Outgoing(metadata: Metadata())
    forEachWire { name, value in
      if let violation = Metadata.violation(name: name) {
        outgoing.refused.append(violation)
      } else if MetadataName(name) == .ofTrailers, place != .trailers {
        outgoing.leftOut.append(String(decoding: name, as: UTF8.self))
      } else {
        let value = value.withoutEdgeSpaces
        if let violation = Metadata.violation(value: value, of: name) {
          outgoing.refused.append(violation)
        } else {
          outgoing.metadata.append(name, value)
        }
      }
    }
    return outgoing
  }

  /// Whether it can be sent unchanged.
  private func isPlain(_ place: MetadataPlace) -> Bool {
    var isPlain = true
    forEachWire { name, value in
      guard isPlain else { return }
      isPlain =
        Metadata.violation(name: name) == nil
        && (place == .trailers || MetadataName(name) != .ofTrailers)
        && !value.hasEdgeSpace && Metadata.violation(value: value, of: name) == nil
    }
    return isPlain
  }

  private static func violation(name: UnsafeRawBufferPointer) -> String? {
    guard name.count > 0 else { return "metadata with an empty name" }
    switch MetadataName(name) {
    case .ordinary, .ofTrailers: break
    case .pseudoHeader: return "metadata name \(quoted(name)) is an HTTP/2 pseudo-header"
    case .ofLibrary where name.starts(with: "grpc-"):
      return "metadata name \(quoted(name)) is reserved: gRPC's own begin with grpc-"
    case .ofLibrary where name.equals("user-agent"):
      return "metadata name 'user-agent' is set by the library: see ChannelOptions.userAgentPrefix"
    case .ofLibrary:
      return "metadata name \(quoted(name)) is set by the library or forbidden in HTTP/2"
    }
    for byte in name where !isNameByte(byte) {
      return "metadata name \(quoted(name)) may hold 0-9, a-z and !#$%&'*+-.^_`|~ only"
    }
    return nil
  }

  private static func violation(
    value: UnsafeRawBufferPointer, of name: UnsafeRawBufferPointer
  ) -> String? {
    if name.ends(with: "-bin") {
      return isBinary(value)
        ? nil : "metadata value of \(quoted(name)) is not base64; use add(binary:for:)"
    }
    if value.first == 0, Base64.isValid(UnsafeRawBufferPointer(rebasing: value.dropFirst())) {
      return "metadata name \(quoted(name)) does not end in -bin, as a binary value's must"
    }
    for byte in value where byte < 0x20 && byte != UInt8(ascii: "\t") || byte == 0x7f {
      return "metadata value of \(quoted(name)) has a control character; "
        + "send bytes under a name that ends in -bin"
    }
    return nil
  }

  /// The value of a `-bin` name: base64, or several joined by commas.
  package static func isBinary(_ value: UnsafeRawBufferPointer) -> Bool {
    var rest = value
    while true {
      let part = rest.prefix { $0 != UInt8(ascii: ",") }
      if !Base64.isValid(UnsafeRawBufferPointer(rebasing: part)) { return false }
      if part.count == rest.count { return true }
      rest = UnsafeRawBufferPointer(rebasing: rest[(part.count + 1)...])
    }
  }

  /// RFC 9110 §5.6.2, `token`, in lower case.
  private static func isNameByte(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"): true
    case UInt8(ascii: "!"), UInt8(ascii: "#")...UInt8(ascii: "'"), UInt8(ascii: "*"),
      UInt8(ascii: "+"), UInt8(ascii: "-"), UInt8(ascii: "."),
      UInt8(ascii: "^")...UInt8(ascii: "`"),
      UInt8(ascii: "|"), UInt8(ascii: "~"):
      true
    default: false
    }
  }

  private static func quoted(_ name: UnsafeRawBufferPointer) -> String {
    "'" + String(decoding: name, as: UTF8.self) + "'"
  }
}
