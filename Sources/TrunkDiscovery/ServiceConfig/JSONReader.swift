// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// Reads the fields of one JSON object by proto3's JSON rules; every error names the path. Unknown
/// fields are ignored, `null` is absent (gRFC A21).
package struct JSONReader {
  let path: String
  private let fields: [String: JSONValue]

  package init(_ value: JSONValue, path: String) throws(ServiceConfigError) {
    guard case .object(let fields) = value else {
      throw ServiceConfigError(path: path, "an object is needed, not \(value.kind)")
    }
    self.path = path
    self.fields = fields
  }

  /// All fields, for objects whose keys are data.
  var all: [String: JSONValue] { fields }

  func path(of name: String) -> String { path.isEmpty ? name : "\(path).\(name)" }

  func error(_ name: String, _ reason: String) -> ServiceConfigError {
    ServiceConfigError(path: path(of: name), reason)
  }

  func value(_ name: String) -> JSONValue? {
    guard let value = fields[name], value != .null else { return nil }
    return value
  }

  func required<T>(_ name: String, _ value: T?) throws(ServiceConfigError) -> T {
    guard let value else { throw error(name, "missing") }
    return value
  }

  package func bool(_ name: String) throws(ServiceConfigError) -> Bool? {
    guard let value = value(name) else { return nil }
    guard case .bool(let bool) = value else { throw needed("true or false", name, value) }
    return bool
  }

  package func string(_ name: String) throws(ServiceConfigError) -> String? {
    guard let value = value(name) else { return nil }
    guard case .string(let string) = value else { throw needed("a string", name, value) }
    return string
  }

  package func number(_ name: String) throws(ServiceConfigError) -> Double? {
    guard let value = value(name) else { return nil }
    guard case .number(let number) = value else { throw needed("a number", name, value) }
    return number
  }

  /// A whole number, or one written as a string (proto3 JSON allows both).
  package func integer(
    _ name: String, in allowed: ClosedRange<Int>
  ) throws(ServiceConfigError) -> Int? {
    guard let value = value(name) else { return nil }
    let integer: Int? =
      switch value {
      case .number(let number): Int(exactly: number)
      case .string(let string): Int(string)
      default: nil
      }
    let range =
      allowed.upperBound == .max
      ? "of at least \(allowed.lowerBound)" : "of \(allowed.lowerBound)...\(allowed.upperBound)"
    guard let integer, allowed.contains(integer) else {
      throw needed("a whole number \(range)", name, value)
    }
    return integer
  }

  package func array(_ name: String) throws(ServiceConfigError) -> [JSONValue]? {
    guard let value = value(name) else { return nil }
    guard case .array(let array) = value else { throw needed("an array", name, value) }
    return array
  }

  package func object(_ name: String) throws(ServiceConfigError) -> JSONReader? {
    guard let value = value(name) else { return nil }
    return try JSONReader(value, path: path(of: name))
  }

  package func objects(_ name: String) throws(ServiceConfigError) -> [JSONReader]? {
    guard let array = try array(name) else { return nil }
    var readers: [JSONReader] = []
    for (i, value) in array.enumerated() {
      readers.append(try JSONReader(value, path: "\(path(of: name))[\(i)]"))
    }
    return readers
  }

  /// A map whose values are objects, sorted by key; empty if absent.
  package func map(_ name: String) throws(ServiceConfigError) -> [(key: String, JSONReader)] {
    guard let object = try object(name) else { return [] }
    var entries: [(key: String, JSONReader)] = []
    for (key, value) in object.fields.sorted(by: { $0.key < $1.key }) {
      entries.append((key, try JSONReader(value, path: object.path(of: key))))
    }
    return entries
  }

  /// proto3 JSON's `google.protobuf.Duration`: `"1.5s"`, at most nine decimals, never negative
  /// here.
  package func duration(_ name: String) throws(ServiceConfigError) -> Duration? {
    guard let text = try string(name) else { return nil }
    guard let duration = Duration(protoJSON: text) else {
      throw error(name, "\"\(text)\" is no duration; allowed: seconds with an s, such as \"1.5s\"")
    }
    return duration
  }

  private func needed(
    _ what: String, _ name: String, _ value: JSONValue
  ) -> ServiceConfigError {
    let found =
      switch value {
      case .number(let number): Int64(exactly: number).map(String.init) ?? String(number)
      case .string(let string): "\"\(string)\""
      default: value.kind
      }
    return error(name, "\(what) is needed, not \(found)")
  }
}

extension Duration {
  /// Nil unless it is `digits[.digits]s` within proto's range (315,576,000,000 s).
  package init?(protoJSON text: String) {
    guard text.hasSuffix("s") else { return nil }
    let parts = text.dropLast().split(separator: ".", omittingEmptySubsequences: false)
    let digits = { (part: Substring) in
      !part.isEmpty && part.utf8.allSatisfy { (0x30...0x39).contains($0) }
    }
    guard (1...2).contains(parts.count), parts.allSatisfy(digits), let seconds = Int64(parts[0]),
      seconds <= 315_576_000_000
    else { return nil }
    var nanoseconds: Int64 = 0
    if parts.count == 2 {
      guard parts[1].count <= 9,
        let fraction = Int64(parts[1] + String(repeating: "0", count: 9 - parts[1].count))
      else { return nil }
      nanoseconds = fraction
    }
    self = .seconds(seconds) + .nanoseconds(nanoseconds)
  }
}
