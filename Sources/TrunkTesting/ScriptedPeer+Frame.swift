// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// One HTTP/2 frame as a value (RFC 9113 §6), to be sent or compared. CONTINUATION does not occur:
/// a block in several frames is one `headers`.
public enum ScriptedFrame: Sendable, Hashable {
  /// DATA (RFC 9113 §6.1).
  case data(Int32, [UInt8], endStream: Bool = false)
  /// HEADERS with its whole block (RFC 9113 §6.2).
  case headers(Int32, [ScriptedHeader], endStream: Bool = false)
  /// RST_STREAM with an error code (RFC 9113 §6.4).
  case reset(Int32, UInt32)
  /// SETTINGS: identifiers and values, in order (RFC 9113 §6.5).
  case settings([ScriptedSetting])
  /// SETTINGS with the ACK flag.
  case settingsAck
  /// PING; 8 bytes (RFC 9113 §6.7).
  case ping([UInt8], ack: Bool = false)
  /// GOAWAY (RFC 9113 §6.8).
  case goAway(lastStream: Int32, code: UInt32, debug: String = "")
  /// WINDOW_UPDATE; stream 0 is the connection (RFC 9113 §6.9).
  case windowUpdate(Int32, UInt32)
  /// Any other frame, or a malformed one.
  case raw(type: UInt8, flags: UInt8, stream: Int32, payload: [UInt8])

  /// DATA with `padding` bytes behind the payload; they count in both windows (RFC 9113 §6.1).
  public static func padded(
    _ stream: Int32, _ payload: [UInt8], padding: UInt8, endStream: Bool = false
  ) -> ScriptedFrame {
    .raw(
      type: 0, flags: endStream ? 9 : 8, stream: stream,
      payload: [padding] + payload + [UInt8](repeating: 0, count: Int(padding)))
  }

  /// One header block in HEADERS and CONTINUATION frames of at most `size` bytes of block each.
  /// - Parameter ends: false leaves the block open: the last frame lacks END_HEADERS.
  public static func fragments(
    _ stream: Int32, _ fields: [ScriptedHeader], of size: Int, endStream: Bool = false,
    ends: Bool = true
  ) -> [ScriptedFrame] {
    let block = fields.flatMap(\.literal)
    let starts = Array(stride(from: 0, to: max(1, block.count), by: max(1, size)))
    return starts.map { start in
      let isFirst = start == 0
      let isLast = start == starts.last
      return .raw(
        type: isFirst ? 1 : 9, flags: (isFirst && endStream ? 1 : 0) | (isLast && ends ? 4 : 0),
        stream: stream, payload: Array(block[start..<min(start + max(1, size), block.count)]))
    }
  }

  /// A header block as in a frame: literal fields without indexing and without Huffman (RFC 7541
  /// §6.2.2).
  public static func block(_ fields: [ScriptedHeader]) -> [UInt8] { fields.flatMap(\.literal) }

  /// The stream's number; 0 is the connection.
  public var stream: Int32 {
    switch self {
    case .data(let id, _, _), .headers(let id, _, _), .reset(let id, _), .windowUpdate(let id, _):
      id
    case .raw(_, _, let id, _): id
    case .settings, .settingsAck, .ping, .goAway: 0
    }
  }
}

/// One field of a header block.
public struct ScriptedHeader: Sendable, Hashable {
  /// In lower case, unless the test wants a violation.
  public var name: String
  /// As on the wire; nothing is checked.
  public var value: String
  /// A field; nothing is checked.
  public init(_ name: String, _ value: String) {
    self.name = name
    self.value = value
  }
}

/// One entry of a SETTINGS frame (RFC 9113 §6.5.2).
public struct ScriptedSetting: Sendable, Hashable {
  /// The setting's identifier.
  public var id: UInt16
  /// The setting's value; nothing is checked.
  public var value: UInt32
  /// Any setting, unknown ones included.
  public init(_ id: UInt16, _ value: UInt32) {
    self.id = id
    self.value = value
  }
  /// SETTINGS_HEADER_TABLE_SIZE in bytes.
  public static func headerTableSize(_ value: UInt32) -> Self { Self(1, value) }
  /// SETTINGS_ENABLE_PUSH; 0 or 1.
  public static func enablePush(_ value: UInt32) -> Self { Self(2, value) }
  /// SETTINGS_MAX_CONCURRENT_STREAMS.
  public static func maxConcurrentStreams(_ value: UInt32) -> Self { Self(3, value) }
  /// SETTINGS_INITIAL_WINDOW_SIZE in bytes.
  public static func initialWindowSize(_ value: UInt32) -> Self { Self(4, value) }
  /// SETTINGS_MAX_FRAME_SIZE in bytes.
  public static func maxFrameSize(_ value: UInt32) -> Self { Self(5, value) }
  /// SETTINGS_MAX_HEADER_LIST_SIZE in bytes.
  public static func maxHeaderListSize(_ value: UInt32) -> Self { Self(6, value) }
}

// MARK: - Bytes

extension ScriptedFrame {
  /// The frame as on the wire.
  public var bytes: [UInt8] {
    switch self {
    case .data(let id, let payload, let endStream):
      ScriptedFrame.frame(0, endStream ? 1 : 0, id, payload)
    case .headers(let id, let fields, let endStream):
      ScriptedFrame.block(id, ScriptedFrame.block(fields), endStream)
    case .reset(let id, let code): ScriptedFrame.frame(3, 0, id, big(code))
    case .settings(let entries):
      ScriptedFrame.frame(4, 0, 0, entries.flatMap { big($0.id) + big($0.value) })
    case .settingsAck: ScriptedFrame.frame(4, 1, 0, [])
    case .ping(let payload, let ack): ScriptedFrame.frame(6, ack ? 1 : 0, 0, payload)
    case .goAway(let last, let code, let debug):
      ScriptedFrame.frame(7, 0, 0, big(UInt32(bitPattern: last)) + big(code) + Array(debug.utf8))
    case .windowUpdate(let id, let count): ScriptedFrame.frame(8, 0, id, big(count))
    case .raw(let type, let flags, let id, let payload):
      ScriptedFrame.frame(type, flags, id, payload)
    }
  }

  /// Literal fields without indexing and without Huffman (RFC 7541 §6.2.2), cut where a frame is
  /// full.
  private static func block(_ id: Int32, _ fields: [UInt8], _ endStream: Bool) -> [UInt8] {
    var bytes: [UInt8] = []
    var rest = fields[...]
    repeat {
      let part = Array(rest.prefix(16_384))
      rest = rest.dropFirst(part.count)
      let isFirst = bytes.isEmpty
      // END_HEADERS is 4; END_STREAM is 1, on HEADERS only.
      let flags: UInt8 = (rest.isEmpty ? 4 : 0) | (isFirst && endStream ? 1 : 0)
      bytes += frame(isFirst ? 1 : 9, flags, id, part)
    } while !rest.isEmpty
    return bytes
  }

  private static func frame(_ type: UInt8, _ flags: UInt8, _ id: Int32, _ payload: [UInt8])
    -> [UInt8]
  {
    big(UInt32(payload.count)).dropFirst() + [type, flags] + big(UInt32(bitPattern: id)) + payload
  }
}

extension ScriptedHeader {
  /// A literal field without indexing.
  fileprivate var literal: [UInt8] {
    [0] + ScriptedHeader.text(name) + ScriptedHeader.text(value)
  }

  private static func text(_ text: String) -> [UInt8] {
    let bytes = Array(text.utf8)
    guard bytes.count >= 127 else { return [UInt8(bytes.count)] + bytes }
    var length: [UInt8] = [127]
    var rest = bytes.count - 127
    while rest >= 128 {
      length.append(UInt8(rest & 127) | 128)
      rest >>= 7
    }
    return length + [UInt8(rest)] + bytes
  }
}

/// Network order.
func big<Number: FixedWidthInteger>(_ number: Number) -> [UInt8] {
  withUnsafeBytes(of: number.bigEndian) { Array($0) }
}

func number(_ bytes: some Collection<UInt8>) -> UInt32 {
  bytes.prefix(4).reduce(0) { $0 << 8 | UInt32($1) }
}
