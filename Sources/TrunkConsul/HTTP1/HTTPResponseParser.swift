// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// Parses bytes in any split into one HTTP/1.1 answer (RFC 9112). No I/O; one parser per answer.
///
///     statusLine -> headers -> done                       (204, 304: no body)
///         ^            |-----> fixed(n) ----------------> done
///         |            |-----> chunkSize <-> chunk(n) -> chunkEnd
///         +-- 1xx -----|          +--> trailers --------> done
///                      +-----> untilClose --end---------> done
///
/// Rules: a wrong byte is the peer's error and is thrown, and so is every later call; nothing a
/// peer sent traps. After an error the connection cannot be used.
package struct HTTPResponseParser: Sendable {
  private enum State: Sendable {
    case statusLine
    case headers
    case fixed(remaining: Int)
    case chunkSize
    case chunk(remaining: Int)
    case chunkEnd
    case trailers
    case untilClose
    case done
  }

  private let limits: HTTPLimits
  private var state = State.statusLine
  /// Bytes of the line that is not complete yet.
  private var line: [UInt8] = []
  /// Framing bytes so far, against `limits.head`.
  private var headBytes = 0
  private var version11 = true
  private var bothLengths = false
  private var status = 0
  private var headers = HTTPHeaders()
  private var headerCount = 0
  private var body: [UInt8] = []
  /// Whether a byte has come: a pooled connection that ends before that was stale.
  package private(set) var hasBegun = false
  private var hasExcess = false
  private var endedByClose = false

  package init(limits: HTTPLimits = HTTPLimits()) { self.limits = limits }

  /// The answer, once it is whole.
  package var response: HTTPResponse? {
    guard case .done = state else { return nil }
    return HTTPResponse(status: status, headers: headers, body: body)
  }

  /// Whether the connection may carry another request (RFC 9112 §9.3).
  package var keepsAlive: Bool {
    guard case .done = state, !hasExcess, !bothLengths, !endedByClose else { return false }
    let options = headers.list("connection").map { $0.lowercased() }
    if options.contains("close") { return false }
    return version11 || options.contains("keep-alive")
  }

  package mutating func receive(_ bytes: [UInt8]) throws(HTTPError) {
    var rest = bytes[...]
    if !rest.isEmpty { hasBegun = true }
    while !rest.isEmpty {
      switch state {
      case .statusLine, .headers, .chunkSize, .chunkEnd, .trailers:
        guard let line = try takeLine(&rest) else { return }
        try handle(line)
      case .fixed(let remaining):
        let left = try takeBody(&rest, remaining)
        state = left == 0 ? .done : .fixed(remaining: left)
      case .chunk(let remaining):
        let left = try takeBody(&rest, remaining)
        state = left == 0 ? .chunkEnd : .chunk(remaining: left)
      case .untilClose:
        _ = try takeBody(&rest, rest.count)
      case .done:
        // This client does not pipeline, so nothing may follow; the answer is valid, the connection
        // is closed.
        hasExcess = true
        return
      }
    }
  }

  /// The peer ended the connection.
  package mutating func finish() throws(HTTPError) {
    switch state {
    case .done: break
    case .untilClose:
      endedByClose = true
      state = .done
    default: throw .truncated
    }
  }

  // MARK: Lines

  /// One line without its end, or nil if it is not complete. A bare LF ends a line too (§2.2).
  private mutating func takeLine(_ rest: inout ArraySlice<UInt8>) throws(HTTPError) -> [UInt8]? {
    let end = rest.firstIndex(of: UInt8(ascii: "\n"))
    let part = rest[rest.startIndex..<(end ?? rest.endIndex)]
    headBytes += part.count + (end == nil ? 0 : 1)
    guard headBytes <= limits.head else { throw .headTooLarge(limit: limits.head) }
    line += part
    guard let end else {
      rest = rest[rest.endIndex...]
      return nil
    }
    rest = rest[(end + 1)...]
    var whole = line
    line = []
    if whole.last == UInt8(ascii: "\r") { whole.removeLast() }
    return whole
  }

  private mutating func handle(_ line: [UInt8]) throws(HTTPError) {
    switch state {
    case .statusLine:
      try readStatus(line)
      state = .headers
    case .headers:
      if line.isEmpty { try endHead() } else { try readHeader(line, keep: true) }
    case .chunkSize:
      let size = try HTTPResponseParser.chunkSize(line)
      guard size <= limits.body - body.count else { throw .bodyTooLarge(limit: limits.body) }
      state = size == 0 ? .trailers : .chunk(remaining: size)
    case .chunkEnd:
      guard line.isEmpty else { throw .malformedChunk }
      state = .chunkSize
    case .trailers:
      // Trailers are checked and dropped: Consul sends none that are needed.
      if line.isEmpty { state = .done } else { try readHeader(line, keep: false) }
    case .fixed, .chunk, .untilClose, .done: break
    }
  }

  /// RFC 9112 §4: `HTTP/1.x SP 3DIGIT SP [reason]`; the SP before an empty reason may be missing.
  private mutating func readStatus(_ line: [UInt8]) throws(HTTPError) {
    let digits = line.dropFirst(9).prefix(3)
    guard line.count >= 12, line.prefix(7) == Array("HTTP/1.".utf8)[...],
      line[7] == UInt8(ascii: "1") || line[7] == UInt8(ascii: "0"), line[8] == 0x20,
      digits.allSatisfy({ $0 >= 0x30 && $0 <= 0x39 }),
      line.count == 12 || line[12] == 0x20
    else { throw .malformedStatusLine }
    version11 = line[7] == UInt8(ascii: "1")
    status = digits.reduce(0) { $0 * 10 + Int($1 - 0x30) }
    guard status >= 100 else { throw .malformedStatusLine }
  }

  private mutating func readHeader(_ line: [UInt8], keep: Bool) throws(HTTPError) {
    headerCount += 1
    guard headerCount <= limits.headerCount else {
      throw .tooManyHeaders(limit: limits.headerCount)
    }
    // No name, or white space in it, which also refuses obsolete folding (§5.1, §5.2).
    guard let colon = line.firstIndex(of: UInt8(ascii: ":")), colon > 0,
      line[..<colon].allSatisfy(HTTPSyntax.isToken)
    else { throw .malformedHeader }
    let value = line[(colon + 1)...]
    guard value.allSatisfy({ $0 >= 0x20 || $0 == 0x09 }) else { throw .malformedHeader }
    guard keep else { return }
    headers.add(
      String(decoding: line[..<colon], as: UTF8.self),
      String(decoding: value, as: UTF8.self).trimmed)
  }

  // MARK: What follows the head (RFC 9112 §6.3)

  private mutating func endHead() throws(HTTPError) {
    switch status {
    case 101: throw .unexpectedUpgrade
    case 100..<200:
      headers = HTTPHeaders()
      state = .statusLine
      return
    case 204, 304:
      state = .done
      return
    default: break
    }
    // The request has no Accept-Encoding, so no coding is expected.
    for coding in headers.list("content-encoding") where coding.lowercased() != "identity" {
      throw .unsupportedCoding(HTTPResponseParser.shown(coding))
    }
    let length = try HTTPResponseParser.contentLength(headers)
    let codings = headers.list("transfer-encoding").map { $0.lowercased() }
    if !codings.isEmpty {
      guard codings == ["chunked"] else {
        throw .unsupportedCoding(HTTPResponseParser.shown(codings.joined(separator: ",")))
      }
      bothLengths = length != nil  // §6.3: chunked wins, and the connection is closed
      state = .chunkSize
    } else if let length {
      guard length <= limits.body else { throw .bodyTooLarge(limit: limits.body) }
      state = length == 0 ? .done : .fixed(remaining: length)
    } else {
      state = .untilClose
    }
  }

  private mutating func takeBody(
    _ rest: inout ArraySlice<UInt8>, _ wanted: Int
  ) throws(HTTPError) -> Int {
    let part = rest.prefix(wanted)
    guard part.count <= limits.body - body.count else { throw .bodyTooLarge(limit: limits.body) }
    body += part
    rest = rest.dropFirst(part.count)
    return wanted - part.count
  }

  /// §6.3: the same length repeated is one length; anything else is refused.
  private static func contentLength(_ headers: HTTPHeaders) throws(HTTPError) -> Int? {
    guard headers["content-length"] != nil else { return nil }
    let values = headers.list("content-length")
    guard let first = values.first, values.allSatisfy({ $0 == first }),
      first.utf8.allSatisfy({ $0 >= 0x30 && $0 <= 0x39 }), let length = Int(first)
    else { throw .malformedLength }
    return length
  }

  /// §7.1: hexadecimal digits, then perhaps extensions, which are ignored.
  private static func chunkSize(_ line: [UInt8]) throws(HTTPError) -> Int {
    var size = 0
    var digits = 0
    for byte in line {
      let digit: UInt8
      switch byte {
      case UInt8(ascii: "0")...UInt8(ascii: "9"): digit = byte - UInt8(ascii: "0")
      case UInt8(ascii: "a")...UInt8(ascii: "f"): digit = byte - UInt8(ascii: "a") + 10
      case UInt8(ascii: "A")...UInt8(ascii: "F"): digit = byte - UInt8(ascii: "A") + 10
      case UInt8(ascii: ";"), 0x20, 0x09:
        guard digits > 0 else { throw .malformedChunk }
        return size
      default: throw .malformedChunk
      }
      let (shifted, overflow) = size.multipliedReportingOverflow(by: 16)
      guard !overflow else { throw .malformedChunk }
      size = shifted + Int(digit)  // a multiple of 16 plus at most 15 stays below Int.max
      digits += 1
    }
    guard digits > 0 else { throw .malformedChunk }
    return size
  }

  /// A peer's text, cut and without control characters, for an error message.
  private static func shown(_ text: String) -> String {
    String(text.unicodeScalars.filter { $0.value > 0x20 && $0.value < 0x7F }.prefix(40))
  }
}
