// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// The server's role: requests of a client under test, and responses to them.
extension ScriptedPeer {
  /// The next request, from its HEADERS to its END_STREAM; frames of other streams are kept.
  /// - Returns: nil if the client closed before it.
  public func request() async throws -> ScriptedRequest? {
    guard var request = try await requestHead() else { return nil }
    let stream = request.stream
    while !request.hasEnded, let frame = try await next(where: { $0.stream == stream }) {
      request.add(frame)
    }
    return request
  }

  /// The next request as soon as its HEADERS have come.
  public func requestHead() async throws -> ScriptedRequest? {
    let frame = try await next { frame in
      if case .headers = frame { true } else { false }
    }
    guard case .headers(let stream, let fields, let endStream)? = frame else { return nil }
    return ScriptedRequest(stream: stream, head: fields, hasEnded: endStream)
  }

  /// Sends a gRPC response from its headers to its trailers.
  public func answer(
    _ stream: Int32, messages: [[UInt8]] = [], status: String = "0", _ extra: [ScriptedHeader] = []
  ) async throws {
    try await send(ScriptedPeer.response(stream, messages: messages, status: status, extra))
  }

  /// The frames of a gRPC response: headers, one DATA frame for each message, trailers.
  public static func response(
    _ stream: Int32, messages: [[UInt8]] = [], status: String = "0", _ extra: [ScriptedHeader] = []
  ) -> [ScriptedFrame] {
    [.headers(stream, responseHead())] + messages.map { .data(stream, message($0)) }
      + [.headers(stream, trailers(status, extra), endStream: true)]
  }

  /// The trailers of a gRPC response.
  public static func trailers(_ status: String, _ extra: [ScriptedHeader] = []) -> [ScriptedHeader]
  {
    [ScriptedHeader("grpc-status", status)] + extra
  }

  /// The only block of a response without messages (Trailers-Only).
  public static func trailersOnly(
    _ status: String, _ extra: [ScriptedHeader] = []
  ) -> [ScriptedHeader] { responseHead() + trailers(status, extra) }
}

/// One stream's request, as far as received.
public struct ScriptedRequest: Sendable, Hashable {
  /// The stream's number.
  public var stream: Int32
  /// The header block.
  public var head: [ScriptedHeader]
  /// All of DATA, prefixes included.
  public var data: [UInt8] = []
  /// The frames of `data` and the end, in order.
  public var frames: [ScriptedFrame] = []
  /// The code of RST_STREAM, if that ended the stream.
  public var reset: UInt32?
  /// END_STREAM or RST_STREAM was received.
  public var hasEnded = false

  /// The value of a field of the header block.
  public subscript(name: String) -> String? { head.first { $0.name == name }?.value }
  /// `/package.Service/Method`.
  public var path: String { self[":path"] ?? "" }
  /// The payloads in `data`; an incomplete one is left out.
  public var messages: [[UInt8]] { ScriptedPeer.messages(in: data) }

  mutating func add(_ frame: ScriptedFrame) {
    switch frame {
    case .data(_, let bytes, let endStream):
      frames.append(frame)
      data += bytes
      hasEnded = endStream
    case .headers(_, _, endStream: true): hasEnded = true
    case .reset(_, let code):
      reset = code
      hasEnded = true
    default: break
    }
  }
}
