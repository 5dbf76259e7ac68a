// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import Glibc

/// A failed system call, look-up or connection, with a text for users.
package struct SocketError: Error, Sendable, Hashable {
  /// The system call, or "connect", "look-up" …
  package var operation: String
  /// 0 where the failure has no errno (a look-up).
  package var errno: Int32
  /// Replaces the text of `errno`.
  package var detail: String?

  package init(_ operation: String, errno code: Int32 = Glibc.errno, detail: String? = nil) {
    self.operation = operation
    self.errno = code
    self.detail = detail
  }

  package static func timedOut(_ operation: String) -> SocketError {
    SocketError(operation, errno: ETIMEDOUT, detail: "timed out")
  }
  package static func closed(_ operation: String) -> SocketError {
    SocketError(operation, errno: ECONNRESET, detail: "connection closed")
  }

  /// ``errno`` of a look-up of a name that does not exist.
  package static let noSuchName = ENOENT
  package var isNoSuchName: Bool { operation == "look-up" && errno == SocketError.noSuchName }
  package var isTimeout: Bool { errno == ETIMEDOUT }
  package var isRefused: Bool { errno == ECONNREFUSED }
}

extension SocketError: CustomStringConvertible {
  /// `connection refused`, `address already in use`: `strerror`'s text in lower case.
  package var description: String {
    if let detail { return detail }
    let text = String(cString: strerror(errno))
    return text.prefix(1).lowercased() + text.dropFirst()
  }
}
