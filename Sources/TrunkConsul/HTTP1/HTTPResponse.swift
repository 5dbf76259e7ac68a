// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// A whole HTTP/1.1 answer.
package struct HTTPResponse: Sendable, Hashable {
  package var status: Int
  package var headers: HTTPHeaders
  package var body: [UInt8]

  package init(status: Int, headers: HTTPHeaders = HTTPHeaders(), body: [UInt8] = []) {
    self.status = status
    self.headers = headers
    self.body = body
  }
}

/// Headers in the order in which they came; names compare without case (RFC 9110 §5.1).
package struct HTTPHeaders: Sendable, Hashable {
  package private(set) var fields: [HTTPRequest.Field] = []

  package init() {}

  package mutating func add(_ name: String, _ value: String) {
    fields.append(HTTPRequest.Field(name: name.lowercased(), value: value))
  }

  /// The first value of a name.
  package subscript(name: String) -> String? {
    let name = name.lowercased()
    return fields.first { $0.name == name }?.value
  }

  /// The members of a comma-separated list field over all its lines (RFC 9110 §5.6.1).
  package func list(_ name: String) -> [String] {
    let name = name.lowercased()
    return fields.filter { $0.name == name }.flatMap { field in
      field.value.split(separator: ",", omittingEmptySubsequences: true).map {
        String($0).trimmed
      }
    }
  }
}

extension String {
  /// Without spaces, tabs and line ends around it.
  var trimmed: String {
    let blank: (UInt8) -> Bool = { $0 == 0x20 || ($0 >= 0x09 && $0 <= 0x0D) }
    let kept = utf8.drop(while: blank)
    var end = kept.endIndex
    while end > kept.startIndex, blank(kept[kept.index(before: end)]) {
      end = kept.index(before: end)
    }
    return String(decoding: kept[kept.startIndex..<end], as: UTF8.self)
  }
}
