// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// Encodes and decodes messages. Only stubs and handlers have messages: everything beneath them
/// moves bytes, so that no generic code runs on the path of a call.
@frozen public struct Codec<Message: Sendable>: Sendable {
  /// The message behind five reserved bytes, into which the transport writes gRPC's prefix.
  public let encode: @Sendable (Message) throws -> [UInt8]
  /// From the payload alone, without the prefix.
  public let decode: @Sendable ([UInt8]) throws -> Message

  /// - Parameters:
  ///   - encode: must leave the five bytes; an error is INTERNAL, or the ``RPCError`` that it
  ///     throws.
  ///   - decode: an error is INTERNAL, or the ``RPCError`` that it throws.
  @inlinable public init(
    encode: @escaping @Sendable (Message) throws -> [UInt8],
    decode: @escaping @Sendable ([UInt8]) throws -> Message
  ) {
    self.encode = encode
    self.decode = decode
  }
}

extension Codec {
  /// The message with its prefix.
  /// - Throws: INTERNAL if the encoder throws (a fault of this side).
  @inlinable public func frame(_ message: Message) throws(RPCError) -> [UInt8] {
    do {
      var frame = try encode(message)
      CodecPrefix.write(&frame)
      return frame
    } catch { throw CodecFailure.encoding(error) }
  }

  /// Decodes a payload.
  /// - Throws: INTERNAL for bytes that are no such message (statuscodes.md).
  @inlinable public func message(_ payload: [UInt8]) throws(RPCError) -> Message {
    do { return try decode(payload) } catch { throw CodecFailure.decoding(error) }
  }
}

/// The prefix is written while the frame is uniquely referenced: later it would cost a copy, which
/// is held as long as the peer's window is full.
@usableFromInline enum CodecPrefix {
  @usableFromInline static func write(_ frame: inout [UInt8]) {
    let length = frame.count - MessageFrame.prefixLength
    // Too short or too long: refused with a status before it is sent.
    if length >= 0, length <= 0xffff_ffff { MessageFrame.seal(&frame) }
  }
}

/// Out of line: keeps the code of errors out of the path of a call.
@usableFromInline enum CodecFailure {
  @usableFromInline static func encoding(_ error: any Error) -> RPCError {
    error as? RPCError ?? RPCError(.internal, "cannot encode the message: \(error)")
  }
  @usableFromInline static func decoding(_ error: any Error) -> RPCError {
    error as? RPCError ?? RPCError(.internal, "cannot decode the message: \(error)")
  }
}

extension Codec where Message == [UInt8] {
  /// Bytes as they are, for proxies and tools.
  public static var bytes: Codec {
    Codec(encode: { [0, 0, 0, 0, 0] + $0 }, decode: { $0 })
  }
}
