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

  /// Facts about a request that will be refused.
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

/// `:authority` and `user-agent`, one object for all calls of a connection that have the same.
final class CallNames: Sendable {
  let authority: String
  let userAgent: String

  init(_ authority: String, _ userAgent: String) {
    self.authority = authority
    self.userAgent = userAgent
  }

  var withoutUserAgent: CallNames { userAgent.isEmpty ? self : CallNames(authority, "") }
}

/// The names of a connection's calls: in most cases those of the call before.
struct RepeatedNames {
  private var last = CallNames("", "")
  private var authority: [UInt8] = []
  private var userAgent: [UInt8] = []

  /// The last names, if the authority is the same: the user agent is either the same as well, or
  /// makes new names.
  mutating func with(authority value: UnsafeRawBufferPointer) -> CallNames {
    if authority.withUnsafeBytes({ value.equals($0) }) { return last }
    authority = Array(value)
    userAgent = []
    last = CallNames(String(decoding: value, as: UTF8.self), "")
    return last
  }

  /// - Parameter names: of the same call.
  mutating func with(
    userAgent value: UnsafeRawBufferPointer, beside names: CallNames?
  ) -> CallNames {
    guard let names, names === last else {
      return CallNames(names?.authority ?? "", String(decoding: value, as: UTF8.self))
    }
    if userAgent.withUnsafeBytes({ value.equals($0) }) { return last }
    userAgent = Array(value)
    last = CallNames(names.authority, String(decoding: value, as: UTF8.self))
    return last
  }
}
