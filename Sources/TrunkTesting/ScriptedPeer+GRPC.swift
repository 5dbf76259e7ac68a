// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// gRPC in frames, for scripts in which only one detail matters.
extension ScriptedPeer {
  /// The header block of a gRPC request; `extra` is appended.
  public static func request(
    _ path: String, _ extra: [ScriptedHeader] = [], method: String = "POST",
    contentType: String? = "application/grpc"
  ) -> [ScriptedHeader] {
    var fields = [
      ScriptedHeader(":method", method), ScriptedHeader(":scheme", "http"),
      ScriptedHeader(":path", path), ScriptedHeader(":authority", "localhost"),
      ScriptedHeader("te", "trailers"),
    ]
    if let contentType { fields.append(ScriptedHeader("content-type", contentType)) }
    return fields + extra
  }

  /// The header block of a gRPC response that has messages or trailers.
  public static func responseHead(_ extra: [ScriptedHeader] = []) -> [ScriptedHeader] {
    [ScriptedHeader(":status", "200"), ScriptedHeader("content-type", "application/grpc")] + extra
  }

  /// A length-prefixed message.
  public static func message(_ payload: [UInt8], flag: UInt8 = 0) -> [UInt8] {
    [flag] + big(UInt32(payload.count)) + payload
  }

  /// The payloads of length-prefixed messages; an incomplete one is left out.
  public static func messages(in data: [UInt8]) -> [[UInt8]] {
    var messages: [[UInt8]] = []
    var rest = data[...]
    while rest.count >= 5 {
      let length = Int(number(rest.dropFirst()))
      guard rest.count >= 5 + length else { break }
      messages.append(Array(rest.dropFirst(5).prefix(length)))
      rest = rest.dropFirst(5 + length)
    }
    return messages
  }

  /// Sends one whole call on `stream`: headers, messages, END_STREAM.
  public func call(
    _ stream: Int32, _ path: String, _ headers: [ScriptedHeader] = [], messages: [[UInt8]] = [],
    end: Bool = true
  ) async throws {
    var bytes = ScriptedFrame.headers(
      stream, ScriptedPeer.request(path, headers), endStream: end && messages.isEmpty
    ).bytes
    for (index, message) in messages.enumerated() {
      let isLast = index == messages.count - 1
      bytes +=
        ScriptedFrame.data(
          stream, ScriptedPeer.message(message), endStream: end && isLast
        ).bytes
    }
    try await send(raw: bytes)
  }

  /// Everything received on `stream` until it ended, or the connection did.
  public func response(_ stream: Int32) async throws -> ScriptedResponse {
    var response = ScriptedResponse()
    while !response.hasEnded,
      let frame = try await next(where: { frame in
        frame.stream == stream
      })
    {
      response.add(frame)
    }
    return response
  }

  /// The next message on `stream`, which must be in DATA frames of its own; nil when it has ended.
  public func message(on stream: Int32) async throws -> [UInt8]? {
    var bytes: [UInt8] = []
    while let frame = try await next(where: { $0.stream == stream }) {
      guard case .data(_, let payload, _) = frame else {
        if case .headers(_, _, endStream: false) = frame { continue }
        if case .windowUpdate = frame { continue }
        return nil
      }
      bytes += payload
      if bytes.count >= 5, bytes.count >= 5 + Int(number(bytes[1...])) { return Array(bytes[5...]) }
    }
    return nil
  }
}

/// The response on one stream.
public struct ScriptedResponse: Sendable, Hashable {
  /// The first header block; the only one of Trailers-Only.
  public var head: [ScriptedHeader] = []
  /// The block with END_STREAM.
  public var trailers: [ScriptedHeader] = []
  /// Whether the first block had END_STREAM.
  public var isTrailersOnly = false
  /// All of DATA, prefixes included.
  public var data: [UInt8] = []
  /// The code of RST_STREAM, if that ended the stream.
  public var reset: UInt32?
  var hasEnded = false

  /// The value of a field of the first block.
  public subscript(name: String) -> String? { head.first { $0.name == name }?.value }
  /// The value of a field of the trailers.
  public func trailer(_ name: String) -> String? { trailers.first { $0.name == name }?.value }
  /// `grpc-status`.
  public var status: Int? { trailer("grpc-status").flatMap { Int($0) } }
  /// `grpc-message`, still percent-encoded.
  public var message: String? { trailer("grpc-message") }

  /// The payloads in `data`; an incomplete one is left out.
  public var messages: [[UInt8]] { ScriptedPeer.messages(in: data) }

  mutating func add(_ frame: ScriptedFrame) {
    switch frame {
    case .headers(_, let fields, let endStream):
      if endStream {
        isTrailersOnly = head.isEmpty
        trailers = fields
        hasEnded = true
      }
      if head.isEmpty { head = fields }
    case .data(_, let bytes, let endStream):
      data += bytes
      hasEnded = endStream
    case .reset(_, let code):
      reset = code
      hasEnded = true
    default: break
    }
  }
}
