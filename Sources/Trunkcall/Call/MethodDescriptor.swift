// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// `idempotency_level` of a method in its proto file (google/protobuf/descriptor.proto).
public enum Idempotency: Sendable, Hashable { case unknown, noSideEffects, idempotent }

/// A method as its stub defines it: its path, and the codecs of its messages.
public struct MethodDescriptor<Request: Sendable, Response: Sendable>: Sendable {
  /// `package.Service`.
  public let service: String
  /// `Method`, without the service.
  public let method: String
  /// `/package.Service/Method`.
  public let path: MethodName
  /// The method's `idempotency_level`.
  public let idempotency: Idempotency
  /// Of the requests.
  public let request: Codec<Request>
  /// Of the responses.
  public let response: Codec<Response>

  /// - Parameters:
  ///   - service: `package.Service`.
  ///   - method: `Method`, case-sensitive.
  public init(
    service: String, method: String, idempotency: Idempotency = .unknown, request: Codec<Request>,
    response: Codec<Response>
  ) {
    self.service = service
    self.method = method
    self.path = MethodName("/\(service)/\(method)")
    self.idempotency = idempotency
    self.request = request
    self.response = response
  }
}

/// A method's path, as text and in its wire form: `/package.Service/Method`.
public struct MethodName: Sendable, Hashable, CustomStringConvertible, ExpressibleByStringLiteral {
  /// `/package.Service/Method`.
  public let text: String
  package let bytes: [UInt8]

  /// Nothing is checked; a server answers UNIMPLEMENTED for a path it does not know.
  public init(_ text: String) {
    self.text = text
    bytes = Array(text.utf8)
  }
  /// As ``init(_:)``.
  public init(stringLiteral text: String) { self.init(text) }
  public var description: String { text }
  /// `package.Service`; empty if the path has no two parts.
  public var service: String {
    guard let slash = text.lastIndex(of: "/"), slash > text.startIndex else { return "" }
    return String(text[text.index(after: text.startIndex)..<slash])
  }

  public static func == (a: MethodName, b: MethodName) -> Bool { a.bytes == b.bytes }
  public func hash(into hasher: inout Hasher) { hasher.combine(bytes) }
}

/// Generated stubs refer to the constant of the format they were made for. When the format changes,
/// the old constant becomes unavailable with a message: regenerate with protoc-gen-trunkcall.
public enum StubFormat {
  @available(
    *, unavailable,
    message: "these stubs are of an older release: run this release's protoc-gen-trunkcall again"
  )
  /// No longer supported.
  public static let v1: Void = ()
  /// The format of this release.
  public static let v2: Void = ()
}
