// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// A fault in a request of this side, or in the bytes of an answer (RFC 9110, RFC 9112).
package enum HTTPError: Error, Sendable, Hashable {
  /// This side's fault: a name or value that would break out of its header line.
  case unsafeHeader(String)
  /// The peer's faults.
  case malformedStatusLine
  case malformedHeader
  case malformedLength
  case malformedChunk
  case unsupportedCoding(String)
  case unexpectedUpgrade
  case headTooLarge(limit: Int)
  case tooManyHeaders(limit: Int)
  case bodyTooLarge(limit: Int)
  /// The connection ended inside an answer.
  case truncated
  /// Bytes came after the end of an answer that was not followed by another request.
  case trailingBytes
}

extension HTTPError: CustomStringConvertible {
  package var description: String {
    switch self {
    case .unsafeHeader(let name): "the value of header \(name) holds a control character"
    case .malformedStatusLine: "the answer is not HTTP/1.1"
    case .malformedHeader: "the answer has a malformed header"
    case .malformedLength: "the answer has a malformed Content-Length"
    case .malformedChunk: "the answer has a malformed chunk"
    case .unsupportedCoding(let name): "the answer uses the unknown coding \(name)"
    case .unexpectedUpgrade: "the answer switches protocols without a request for it"
    case .headTooLarge(let limit): "the head of the answer is larger than \(limit) bytes"
    case .tooManyHeaders(let limit): "the answer has more than \(limit) headers"
    case .bodyTooLarge(let limit): "the body of the answer is larger than \(limit) bytes"
    case .truncated: "the connection ended in the middle of an answer"
    case .trailingBytes: "bytes came after the end of the answer"
    }
  }
}

/// The size of an answer beyond which it is refused.
package struct HTTPLimits: Sendable, Hashable {
  /// Bytes of status line, headers, interim (1xx) heads, chunk headers and trailers together, so
  /// that framing cannot grow without bound either.
  package var head = 64 * 1024
  /// Headers of one head; trailers count as well.
  package var headerCount = 128
  /// Bytes of the body after chunks are joined.
  package var body = 16 * 1024 * 1024

  package init() {}
}
