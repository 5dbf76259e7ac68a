// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// One pass over a target's characters; columns count them from 1.
struct TargetParser {
  let text: String
  let characters: [Character]

  init(_ text: String) {
    self.text = text
    self.characters = Array(text)
  }

  func parse() throws(TargetError) -> Target {
    guard !characters.isEmpty else {
      throw TargetError(
        .missingAddress, target: text, column: 1,
        "it is empty; allowed: scheme://authority/endpoint, or an endpoint")
    }
    let schemeEnd = schemeLength()
    return try parse(
      scheme: schemeEnd.map { String(characters[..<$0]).lowercased() },
      from: schemeEnd.map { $0 + 1 } ?? 0)
  }

  /// The whole text as an endpoint (`localhost:50051`), whatever its colon looks like.
  func parseAsEndpoint() throws(TargetError) -> Target { try parse(scheme: nil, from: 0) }

  /// RFC 3986 §3.1: a letter, then letters, digits, `+`, `-`, `.`, up to a colon.
  private func schemeLength() -> Int? {
    guard let colon = characters.firstIndex(of: ":"), let first = characters.first,
      first.isASCII, first.isLetter
    else { return nil }
    let allowed = characters[..<colon].allSatisfy {
      $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "+" || $0 == "-" || $0 == ".")
    }
    return allowed ? colon : nil
  }

  private func parse(scheme: String?, from start: Int) throws(TargetError) -> Target {
    let query = characters[start...].firstIndex(of: "?") ?? characters.count
    var path = start..<query
    var authority = start..<start
    // Only behind a scheme: an endpoint alone has no authority.
    if scheme != nil, characters[path].starts(with: "//") {
      let begin = start + 2
      let end = characters[begin..<query].firstIndex(of: "/") ?? query
      authority = begin..<end
      path = end..<query
    }
    return Target(
      scheme: scheme, authority: try decode(authority), path: try decode(path),
      parameters: try parameters(from: query + 1), text: text,
      authorityColumn: authority.lowerBound + 1, pathColumn: path.lowerBound + 1)
  }

  private func parameters(from first: Int) throws(TargetError) -> [Target.Parameter] {
    var found: [Target.Parameter] = []
    var start = first
    while start < characters.count {
      let end = characters[start...].firstIndex(of: "&") ?? characters.count
      if start < end {
        let equals = characters[start..<end].firstIndex(of: "=") ?? end
        found.append(
          Target.Parameter(
            name: try decode(start..<equals), value: try decode(min(equals + 1, end)..<end),
            column: start + 1))
      }
      start = end + 1
    }
    return found
  }

  /// RFC 3986 §2.1.
  private func decode(_ range: Range<Int>) throws(TargetError) -> String {
    guard characters[range].contains("%") else { return String(characters[range]) }
    var bytes: [UInt8] = []
    var i = range.lowerBound
    while i < range.upperBound {
      guard characters[i] == "%" else {
        bytes.append(contentsOf: String(characters[i]).utf8)
        i += 1
        continue
      }
      guard i + 2 < range.upperBound, let high = characters[i + 1].hexDigitValue,
        let low = characters[i + 2].hexDigitValue, characters[i + 1].isASCII,
        characters[i + 2].isASCII
      else {
        throw TargetError(
          .malformed, target: text, column: i + 1,
          "\"%\" without two hexadecimal digits; write a percent sign as %25")
      }
      bytes.append(UInt8(truncatingIfNeeded: high << 4 | low))
      i += 3
    }
    guard let decoded = String(validating: bytes, as: UTF8.self), !decoded.contains("\0") else {
      throw TargetError(
        .malformed, target: text, column: (characters[range].firstIndex(of: "%") ?? 0) + 1,
        "the percent escapes here are no UTF-8 text")
    }
    return decoded
  }
}
