// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// The codes that a client derives if the server sent no status.
extension RPCError.Code {
  /// The status for an HTTP response without `grpc-status` (http-grpc-status-mapping.md). 1xx are
  /// no final response and must be skipped by the caller. Servers never use the inverse.
  package init(httpStatus: Int) {
    switch httpStatus {
    case 400, 431: self = .internal
    case 401: self = .unauthenticated
    case 403: self = .permissionDenied
    case 404: self = .unimplemented
    case 429, 502, 503, 504: self = .unavailable
    default: self = .unknown
    }
  }

  /// The status for a stream that the peer reset (PROTOCOL-HTTP2.md, Errors).
  ///
  /// STREAM_CLOSED has no mapping there, and undefined codes may be treated as INTERNAL_ERROR (RFC
  /// 9113 §7): both are INTERNAL.
  package init(resetCode: UInt32) {
    switch resetCode {
    case 0x7: self = .unavailable  // REFUSED_STREAM: not processed, may be retried
    case 0x8: self = .cancelled  // CANCEL
    case 0xb: self = .resourceExhausted  // ENHANCE_YOUR_CALM
    case 0xc: self = .permissionDenied  // INADEQUATE_SECURITY
    default: self = .internal
    }
  }
}

/// The value of a `grpc-status` header: decimal, without leading zeros. White space around it is
/// ignored (RFC 9110 §5.5).
package enum GRPCStatus: Sendable, Equatable {
  case ok
  case failure(RPCError.Code)

  /// Any value other than the seventeen codes is UNKNOWN (statuscodes.md).
  package init(parsing bytes: UnsafeRawBufferPointer) {
    switch GRPCStatus.number(bytes) {
    case 0: self = .ok
    case let number?: self = .failure(RPCError.Code(rawValue: number) ?? .unknown)
    case nil: self = .failure(.unknown)
    }
  }

  private static func number(_ field: UnsafeRawBufferPointer) -> Int? {
    let zero = UInt8(ascii: "0")
    let bytes = field.count > 1 ? field.withoutEdgeSpaces : field
    guard (1...2).contains(bytes.count) else { return nil }
    for byte in bytes where !(zero...UInt8(ascii: "9")).contains(byte) { return nil }
    if bytes.count == 1 { return Int(bytes[0] - zero) }
    return bytes[0] == zero ? nil : Int(bytes[0] - zero) * 10 + Int(bytes[1] - zero)
  }
}
