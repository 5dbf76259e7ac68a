// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// Turns bytes into frames that are mostly well-formed: an input that changes a little makes a
/// session that changes a little, and lengths always fit.
struct FrameProgram {
  enum Step {
    /// Frames, and the sizes of the chunks that they come in.
    case bytes([UInt8], [UInt8])
    /// Something that the application does, and to which of its streams.
    case act(UInt8, UInt8)
  }

  private var choices: Choices
  private let opens: [[UInt8]]
  private let answers: [[UInt8]]
  private var nextStream: UInt32 = 1
  private var sizes: [UInt8] = []

  init(_ choices: Choices, opens: [[UInt8]], answers: [[UInt8]]) {
    self.choices = choices
    self.opens = opens
    self.answers = answers
  }

  mutating func next() -> Step? {
    guard !choices.isEmpty else { return nil }
    let operation = choices.byte()
    let flags = choices.byte()
    switch operation & 15 {
    case 0, 1:  // a block on the next stream
      let stream = nextStream
      nextStream &+= 2
      return send(frame(1, flags & 1 | 4, stream, block(opens)))
    case 2: return send(frame(1, flags & 1 | 4, stream(), block(opens)))
    case 3: return send(frame(1, flags & 1 | 4, stream(), block(answers)))
    case 4:
      let stream = stream()
      let payload = choices.bytes(Int(choices.byte()))
      if flags & 8 == 0 { return send(frame(0, flags & 1, stream, payload)) }
      let padding = choices.byte()
      return send(
        frame(
          0, flags & 1 | 8, stream,
          [padding] + payload + [UInt8](repeating: 0, count: Int(padding))))
    case 5:  // a message of gRPC's
      let stream = stream()
      let payload = choices.bytes(Int(choices.byte()) & 63)
      return send(
        frame(0, flags & 1, stream, [flags >> 7, 0, 0, 0, UInt8(payload.count)] + payload))
    case 6: return send(frame(3, 0, stream(), big(choices.word())))
    case 7:
      var entries: [UInt8] = []
      for _ in 0..<(flags & 3) { entries += [0, choices.byte() & 15] + big(choices.word()) }
      return send(frame(4, flags >> 7, 0, entries))
    case 8: return send(frame(6, flags & 1, 0, big(choices.word()) + [0, 0, 0, 0]))
    case 9: return send(frame(7, 0, 0, big(UInt32(choices.byte())) + big(choices.word())))
    case 10: return send(frame(8, 0, flags & 1 == 0 ? 0 : stream(), big(choices.word())))
    case 11:  // a block in pieces
      let stream = stream()
      let block = block(opens)
      let middle = min(block.count, Int(choices.byte()) & 31)
      return send(
        frame(1, flags & 1, stream, Array(block[..<middle]))
          + frame(9, flags & 4, stream, Array(block[middle...])))
    case 12: return send(frame(2, 0, stream(), big(UInt32(choices.byte())) + [choices.byte()]))
    case 13:  // anything
      let type = choices.byte()
      let stream = stream()
      return send(frame(type, flags, stream, choices.bytes(Int(choices.byte()))))
    case 14: return .act(flags, choices.byte())
    default:
      sizes = choices.bytes(Int(flags & 3))
      return send(choices.bytes(Int(choices.byte()) & 15))
    }
  }

  private func send(_ bytes: [UInt8]) -> Step { .bytes(bytes, sizes) }

  private mutating func stream() -> UInt32 {
    let byte = choices.byte()
    return byte < 0xf0 ? UInt32(byte & 31) : choices.word()
  }

  /// One of the known blocks, or bytes of the input.
  private mutating func block(_ known: [[UInt8]]) -> [UInt8] {
    let byte = choices.byte()
    if byte < 0xe0 { return known[Int(byte) % known.count] }
    return choices.bytes(Int(choices.byte()))
  }
}

/// Header blocks in HPACK, literal and indexed.
enum Blocks {
  static let requests: [[UInt8]] = [
    request([]), request([("content-type", "application/grpc"), ("te", "trailers")]),
    request([("grpc-timeout", "1S"), ("x-bin", "AAE=")]),
    request([("x", String(repeating: "y", count: 1_100))]),
    // :method POST and :scheme http by index, the path put into the table.
    [0x83, 0x86, 0x44, 0x02, 0x2f, 0x61, 0x41, 0x01, 0x61], [0x83, 0x86, 0xbf, 0xbe],
    [0x82, 0x86, 0x84, 0x41, 0x01, 0x61], [0x20] + request([]), fields([("x", "y")]),
  ]
  static let responses: [[UInt8]] = [
    [0x88], fields([(":status", "200"), ("content-type", "application/grpc")]),
    fields([(":status", "103")]), fields([(":status", "503")]),
    fields([(":status", "200"), ("grpc-status", "0")]), [0x48, 0x03, 0x32, 0x30, 0x34], [0xbe],
    fields([(":status", "200"), ("x", String(repeating: "y", count: 1_100))]),
    fields([(":status", "200"), ("content-length", "5")]),
  ]
  static let trailers: [[UInt8]] = [
    fields([("grpc-status", "0")]), fields([("grpc-status", "5"), ("grpc-message", "a%20b")]),
    [], fields([(":status", "200")]), fields([("grpc-status", "0"), ("X", "y")]),
  ]

  private static func request(_ extra: [(String, String)]) -> [UInt8] {
    fields(
      [(":method", "POST"), (":scheme", "http"), (":path", "/t.S/M"), (":authority", "a")] + extra)
  }

  private static func fields(_ fields: [(String, String)]) -> [UInt8] {
    fields.flatMap { name, value in [0] + text(name) + text(value) }
  }

  private static func text(_ text: String) -> [UInt8] {
    let bytes = Array(text.utf8)
    guard bytes.count >= 127 else { return [UInt8(bytes.count)] + bytes }
    let rest = bytes.count - 127
    return [127, UInt8(rest & 127) | 128, UInt8(rest >> 7)] + bytes
  }
}

func frame(_ type: UInt8, _ flags: UInt8, _ stream: UInt32, _ payload: [UInt8]) -> [UInt8] {
  Array(big(UInt32(payload.count)).dropFirst()) + [type, flags] + big(stream) + payload
}

func big(_ number: UInt32) -> [UInt8] {
  [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: number >> $0) }
}
