// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import TrunkWire

/// The state of a response, as a value: takes header fields and ends of header blocks, returns what
/// the call has to do.
///
/// ```
///   headers ── 1xx ──► headers
///      │ └── END_STREAM (Trailers-Only) ──────────────► ended
///      └── 200, application/grpc ──► messages ── trailers ──► ended
/// ```
/// 1. A `grpc-status` is the status. Without one, it follows from the HTTP status
///    (http-grpc-status-mapping.md).
/// 2. A response that is not 200 or not gRPC ends the call at its headers.
/// 3. ``MetadataName`` decides what is metadata.
struct ResponseState: Sendable {
  enum Phase: Sendable, Hashable { case headers, messages, ended }

  enum BlockEnd: Sendable {
    /// A 1xx: the response follows.
    case interim
    case headers
    case ok
    case failed(RPCError)
  }

  private(set) var phase = Phase.headers
  /// Response headers came, and not only trailers.
  private(set) var hadHeaders = false
  private(set) var initialMetadata = Metadata()
  private(set) var trailingMetadata = Metadata()
  /// `grpc-encoding`, if this library supports it.
  private(set) var compression = Compression.identity
  /// `grpc-encoding`, if it is not.
  private var unknownEncoding: [UInt8]?

  // The current header block.
  private var httpStatus = 0
  private var status: GRPCStatus?
  private var message: [UInt8] = []
  private var isGRPC = false
  private var contentType: [UInt8] = []
  private var metadata = Metadata()

  /// - Returns: false for a field that is ignored: a reserved name that is not known, a `-bin`
  ///   value that is not base64.
  mutating func header(_ name: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) -> Bool {
    guard let first = name.first else { return false }
    switch first {
    case UInt8(ascii: ":"):
      if name.equals(":status") { httpStatus = ResponseState.number(value) }
      return true
    case UInt8(ascii: "c") where name.equals("content-type"):
      isGRPC = ContentType.isGRPC(value)
      if !isGRPC { contentType = Array(value.prefix(64)) }
      return true
    case UInt8(ascii: "g") where name.starts(with: "grpc-"):
      if name.equals("grpc-status") {
        status = GRPCStatus(parsing: value)
        return true
      }
      if name.equals("grpc-message") {
        message = Array(value)
        return true
      }
      if name.equals("grpc-encoding") {
        if let known = Compression(wire: value) {
          compression = known
        } else {
          unknownEncoding = Array(value.prefix(64))
        }
        return true
      }
      if name.equals("grpc-accept-encoding") { return true }
    default: break
    }
    guard MetadataName(name).isReadable else { return !name.starts(with: "grpc-") }
    // What is not base64 can neither be decoded nor be sent on.
    if name.ends(with: "-bin"), !Metadata.isBinary(value) { return false }
    metadata.append(name, value)
    return true
  }

  mutating func blockEnded(endStream: Bool) -> BlockEnd {
    defer {
      metadata = Metadata()
      message = []
      status = nil
    }
    switch phase {
    case .headers:
      if (100..<200).contains(httpStatus), !endStream {
        // Fields of an interim response do not hold for the response (RFC 9110 §15.2).
        isGRPC = false
        contentType = []
        compression = .identity
        unknownEncoding = nil
        return .interim
      }
      if endStream { return trailersOnly() }
      guard httpStatus == 200, isGRPC else {
        phase = .ended
        return .failed(status.flatMap(failure) ?? notGRPC())
      }
      phase = .messages
      hadHeaders = true
      initialMetadata = metadata
      return .headers
    case .messages:
      phase = .ended
      trailingMetadata = metadata
      guard endStream else {
        // RFC 9113 §8.1: a second block is the trailers, and trailers end the stream.
        return .failed(RPCError(.internal, "the server sent headers twice"))
      }
      return end()
    case .ended: return .interim
    }
  }

  private mutating func trailersOnly() -> BlockEnd {
    phase = .ended
    trailingMetadata = metadata
    if status == nil, httpStatus != 200 || !isGRPC { return .failed(notGRPC()) }
    return end()
  }

  private func end() -> BlockEnd {
    guard let status else { return .failed(ResponseState.missingStatus) }
    return failure(status).map { .failed($0) } ?? .ok
  }

  private func failure(_ status: GRPCStatus) -> RPCError? {
    switch status {
    case .ok: nil
    case .failure(let code):
      RPCError(
        code, message.withUnsafeBytes { PercentEncoding.decode($0) }, origin: .peer,
        metadata: metadata)
    }
  }

  private func notGRPC() -> RPCError {
    let type =
      contentType.isEmpty
      ? "no content-type" : "content-type \"\(String(decoding: contentType, as: UTF8.self))\""
    let text =
      isGRPC
      ? "the server answered HTTP status \(httpStatus)"
      : "the server answered HTTP status \(httpStatus) with \(type), which is not gRPC"
    return RPCError(RPCError.Code(httpStatus: httpStatus), text, metadata: metadata)
  }

  static var missingStatus: RPCError {
    RPCError(.unknown, "the server ended the call without a grpc-status")
  }

  /// A message with the compressed flag that cannot be read (compression.md: INTERNAL).
  func compressedMessage(_ accepted: CompressionSet) -> RPCError {
    let name: String
    if let unknownEncoding {
      name = String(decoding: unknownEncoding, as: UTF8.self)
    } else if compression != .identity {
      name = "\(compression)"
    } else {
      return RPCError(.internal, "the server sent a compressed message without grpc-encoding")
    }
    return RPCError(
      .internal,
      "the server compressed a message with \"\(name)\"; accepted are \(accepted.wireNames)")
  }

  /// Three digits; 0 for anything else.
  private static func number(_ value: UnsafeRawBufferPointer) -> Int {
    guard value.count == 3 else { return 0 }
    var number = 0
    for byte in value {
      guard (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) else { return 0 }
      number = number * 10 + Int(byte - UInt8(ascii: "0"))
    }
    return number
  }
}
