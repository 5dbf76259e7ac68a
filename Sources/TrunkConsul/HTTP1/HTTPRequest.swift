// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import TrunkWire

/// An HTTP/1.1 request, sent as one block of bytes (RFC 9112 §3).
///
/// The path is kept as segments and the query as pairs, so that a `/`, `&` or line break in a
/// service name, tag or filter is always data.
package struct HTTPRequest: Sendable, Hashable {
  package enum Method: String, Sendable, Hashable { case get = "GET", put = "PUT" }
  package struct Field: Sendable, Hashable {
    package var name: String
    package var value: String
  }

  package var method: Method
  /// Unencoded segments: `["v1", "health", "service", "a/b"]` is `/v1/health/service/a%2Fb`.
  package var path: [String]
  /// Unencoded pairs in order; an empty value is written as the bare name (`?passing`).
  package var query: [Field] = []
  package var headers: [Field] = []
  package var body: [UInt8]?

  package init(_ method: Method, _ path: String...) {
    self.method = method
    self.path = path
  }

  package mutating func addQuery(_ name: String, _ value: String = "") {
    query.append(Field(name: name, value: value))
  }

  package mutating func addHeader(_ name: String, _ value: String) {
    headers.append(Field(name: name, value: value))
  }

  /// The request as bytes.
  /// - Throws: ``HTTPError/unsafeHeader(_:)`` if a header would not stay on its line.
  package func encoded(host: String) throws(HTTPError) -> [UInt8] {
    var head = "\(method.rawValue) \(requestTarget) HTTP/1.1\r\n"
    try HTTPRequest.add("Host", host, to: &head)
    for field in headers { try HTTPRequest.add(field.name, field.value, to: &head) }
    if let body {
      // consul#10011: a body without Content-Type is refused by some agents.
      try HTTPRequest.add("Content-Type", "application/json", to: &head)
      try HTTPRequest.add("Content-Length", String(body.count), to: &head)
    } else if method == .put {
      try HTTPRequest.add("Content-Length", "0", to: &head)
    }
    return Array((head + "\r\n").utf8) + (body ?? [])
  }

  /// Path and query, percent-encoded (RFC 3986 §2.1).
  package var requestTarget: String {
    var target = path.map { "/" + HTTPRequest.segment($0) }.joined()
    if target.isEmpty { target = "/" }
    var separator = "?"
    for field in query {
      target += separator + URIEscape.encode(field.name)
      if !field.value.isEmpty { target += "=" + URIEscape.encode(field.value) }
      separator = "&"
    }
    return target
  }

  /// A lone dot segment would be resolved by the peer (RFC 3986 §5.2.4).
  private static func segment(_ text: String) -> String {
    switch text {
    case ".": "%2E"
    case "..": "%2E%2E"
    default: URIEscape.encode(text)
    }
  }

  private static func add(
    _ name: String, _ value: String, to head: inout String
  ) throws(HTTPError) {
    // RFC 9110 §5.5: CR, LF and NUL are dangerous; no value sent here needs any control character.
    guard value.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7F }) else { throw .unsafeHeader(name) }
    head += "\(name): \(value)\r\n"
  }
}

/// Character classes of RFC 9110.
package enum HTTPSyntax {
  /// RFC 9110 §5.6.2: `tchar`.
  package static func isToken(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
      UInt8(ascii: "0")...UInt8(ascii: "9"):
      true
    default: "!#$%&'*+-.^_`|~".utf8.contains(byte)
    }
  }
}
