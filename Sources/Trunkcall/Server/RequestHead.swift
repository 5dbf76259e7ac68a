// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// What a request's headers were like.
struct RequestHead: OptionSet {
  var rawValue: UInt8
  static let isPost = RequestHead(rawValue: 1)
  static let isGRPC = RequestHead(rawValue: 2)
  static let hasUserAgent = RequestHead(rawValue: 4)
  static let hasDeadline = RequestHead(rawValue: 8)
  /// `application/grpc+proto`: the response says the same.
  static let saysProto = RequestHead(rawValue: 16)
  static let hasAuthority = RequestHead(rawValue: 32)

  struct HTTPProblem { var status: Int }

  /// Of requests that will not be served.
  final class RejectedRequest {
    /// Of no method.
    var path = ""
    var badHeader: String?
    /// Not one that this server takes.
    var encoding: String?
  }

  /// Not gRPC at all: answered in HTTP's terms (PROTOCOL-HTTP2.md).
  var httpProblem: HTTPProblem? {
    if !contains(.isPost) { return HTTPProblem(status: 405) }
    return contains(.isGRPC) ? nil : HTTPProblem(status: 415)
  }
}

/// `:authority` and `user-agent`, one object for all the calls of a connection that have the same.
final class CallNames: Sendable {
  let authority: String
  let userAgent: String

  init(_ authority: String, _ userAgent: String) {
    self.authority = authority
    self.userAgent = userAgent
  }

  var withoutUserAgent: CallNames { userAgent.isEmpty ? self : CallNames(authority, "") }
}

/// Those of a connection's calls, which mostly say what the call before said.
struct RepeatedNames {
  private var last = CallNames("", "")
  private var authority: [UInt8] = []
  private var userAgent: [UInt8] = []

  /// The last ones, if the authority is theirs: the user agent will be as well, or takes their
  /// place.
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
