// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// What of a request's headers only matters until they end.
struct RequestHead {
  struct HTTPProblem { var status: Int }
  var isPost = false
  var isGRPC = false
  /// Made for requests that will not be served.
  final class Odd {
    /// Of no method.
    var path = ""
    var badHeader: String?
    /// Not one that this server takes.
    var encoding: String?
  }
  private(set) var odd: Odd?

  mutating func makeOdd() -> Odd {
    if let odd { return odd }
    let odd = Odd()
    self.odd = odd
    return odd
  }
  var path: String { odd?.path ?? "" }

  /// Not gRPC at all: answered in HTTP's terms (PROTOCOL-HTTP2.md).
  var httpProblem: HTTPProblem? {
    if !isPost { return HTTPProblem(status: 405) }
    return isGRPC ? nil : HTTPProblem(status: 415)
  }

  /// `application/grpc`, `application/grpc+proto`, `application/grpc;…`.
  static func isGRPC(contentType value: UnsafeRawBufferPointer) -> Bool {
    guard value.starts(with: "application/grpc") else { return false }
    return value.count == 16 || value[16] == UInt8(ascii: "+") || value[16] == UInt8(ascii: ";")
  }

  static func isBinary(_ value: UnsafeRawBufferPointer) -> Bool {
    value.split(separator: UInt8(ascii: ","), omittingEmptySubsequences: false)
      .allSatisfy { Base64.isValid(UnsafeRawBufferPointer(rebasing: $0)) }
  }
}
