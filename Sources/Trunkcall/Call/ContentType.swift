// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import TrunkWire

/// The `content-type` of requests and responses.
enum ContentType {
  /// `application/grpc`, alone or before `+` or `;` (PROTOCOL-HTTP2.md, Content-Type).
  static func isGRPC(_ value: UnsafeRawBufferPointer) -> Bool {
    guard value.starts(with: "application/grpc") else { return false }
    return value.count == 16 || value[16] == UInt8(ascii: "+") || value[16] == UInt8(ascii: ";")
  }
}
