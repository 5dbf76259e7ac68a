// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
#if TLS
  internal import COpenSSL

  /// An error in configured certificates, keys or trust, in one sentence.
  public struct TLSError: Error, Sendable, Hashable, CustomStringConvertible {
    /// One sentence: which file or setting, and what is wrong with it.
    public let description: String

    package init(_ description: String) { self.description = description }

    /// With OpenSSL's own reason, which is removed from this thread's error queue.
    static func openSSL(_ what: String) -> TLSError {
      guard let reason = OpenSSLErrors.takeLast() else { return TLSError(what) }
      return TLSError("\(what): \(reason.text)")
    }
  }

  /// OpenSSL's queue of errors, one for each thread.
  enum OpenSSLErrors {
    struct Reason {
      var code: Int32
      var text: String
    }

    static func clear() { ERR_clear_error() }

    /// The newest error, the closest to the cause; the queue is empty afterwards.
    static func takeLast() -> Reason? {
      let error = ERR_peek_last_error()
      ERR_clear_error()
      guard error != 0 else { return nil }
      let text = ERR_reason_error_string(error).map { String(cString: $0) } ?? "error \(error)"
      return Reason(code: trunk_err_reason(error), text: text)
    }
  }
#endif
