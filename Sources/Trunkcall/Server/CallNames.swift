// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

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
