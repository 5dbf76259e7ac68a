// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// What an application may send as metadata (PROTOCOL-HTTP2.md, Custom-Metadata).
///
/// These rules are for metadata on its way out, where a fault is the caller's and can be named.
/// What a peer sends is taken as HTTP/2 allows it: "must not error on valid HTTP field values".
extension Metadata {
  /// Why this metadata cannot be sent: one sentence that names the pair; nil if all is well.
  package func violation() -> String? {
    guard !isEmpty else { return nil }
    var found: String?
    forEachWire { name, value in
      guard found == nil else { return }
      found = Metadata.violation(name: name) ?? Metadata.violation(value: value, of: name)
    }
    return found
  }

  private static func violation(name: UnsafeRawBufferPointer) -> String? {
    guard name.count > 0 else { return "metadata with an empty name" }
    let shown = { "metadata name \(quoted(name))" }
    if name[0] == UInt8(ascii: ":") { return "\(shown()) is an HTTP/2 pseudo-header" }
    for byte in name where !isNameByte(byte) {
      return "\(shown()) may hold 0-9, a-z, '_', '-' and '.' only"
    }
    if name.starts(with: "grpc-") { return "\(shown()) is reserved: gRPC's own begin with grpc-" }
    if isReserved(name) { return "\(shown()) is set by the library or forbidden in HTTP/2" }
    return nil
  }

  private static func violation(
    value: UnsafeRawBufferPointer, of name: UnsafeRawBufferPointer
  ) -> String? {
    if name.ends(with: "-bin") {
      var rest = value
      while true {
        let part = rest.prefix { $0 != UInt8(ascii: ",") }
        if !Base64.isValid(UnsafeRawBufferPointer(rebasing: part)) {
          return "metadata value of \(quoted(name)) is not base64; use add(binary:for:)"
        }
        if part.count == rest.count { break }
        rest = UnsafeRawBufferPointer(rebasing: rest[(part.count + 1)...])
      }
      return nil
    }
    for byte in value where !(0x20...0x7e).contains(byte) {
      return "metadata value of \(quoted(name)) has a byte outside printable ASCII; "
        + "send bytes under a name that ends in -bin"
    }
    return nil
  }

  private static func isNameByte(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"): true
    case UInt8(ascii: "_"), UInt8(ascii: "-"), UInt8(ascii: "."): true
    default: false
    }
  }

  /// Names that the library writes itself, and connection-specific ones (RFC 9113 §8.2.2).
  private static func isReserved(_ name: UnsafeRawBufferPointer) -> Bool {
    name.equals("te") || name.equals("content-type") || name.equals("user-agent")
      || name.equals("host") || name.equals("content-length") || name.equals("connection")
      || name.equals("keep-alive") || name.equals("proxy-connection")
      || name.equals("transfer-encoding") || name.equals("upgrade")
  }

  private static func quoted(_ name: UnsafeRawBufferPointer) -> String {
    "'" + String(decoding: name, as: UTF8.self) + "'"
  }
}
