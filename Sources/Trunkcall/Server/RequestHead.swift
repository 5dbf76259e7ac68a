// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// Flags of a request's headers.
struct RequestHead: OptionSet {
  var rawValue: UInt8
  static let isPost = RequestHead(rawValue: 1)
  static let isGRPC = RequestHead(rawValue: 2)
  static let hasUserAgent = RequestHead(rawValue: 4)
  static let hasDeadline = RequestHead(rawValue: 8)
  /// `application/grpc+proto`: the response has the same content-type.
  static let saysProto = RequestHead(rawValue: 16)
  static let hasAuthority = RequestHead(rawValue: 32)

  struct HTTPProblem { var status: Int }

  /// Why a request will be refused; made for such a request only.
  final class RejectedRequest {
    /// A path that is no method's.
    var path = ""
    var badHeader: String?
    /// A `grpc-encoding` that this server does not accept.
    var encoding: String?
  }

  /// Not gRPC: answered with an HTTP status (PROTOCOL-HTTP2.md).
  var httpProblem: HTTPProblem? {
    if !contains(.isPost) { return HTTPProblem(status: 405) }
    return contains(.isGRPC) ? nil : HTTPProblem(status: 415)
  }
}
