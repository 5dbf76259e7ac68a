// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import CZlib

/// Decompresses whole messages, one at a time, each on its own.
///
/// ```
///   message ──► inflate into a chunk ──full──► twice the room, at most limit + 1 ──► inflate …
///                  │ end of the data                │ more than limit
///                  ▼                                ▼
///               all input used? the message      tooLarge
/// ```
/// 1. The limit holds for the output while it is produced: a bomb costs `limit` bytes at most.
/// 2. A message is one zlib stream, or one gzip member or several (RFC 1952 §2.2): nothing less,
///    and nothing after it. Members after the first count against ``maxMembers``: an empty one
///    takes 20 bytes and gives no output.
package enum Inflater {
  /// Members of one gzip message.
  package static let maxMembers = 1_000

  /// - Parameter limit: Largest message in bytes, decompressed.
  package static func inflate(
    _ bytes: [UInt8], _ algorithm: Compression, limit: Int
  ) throws(CompressionError) -> [UInt8] {
    let format: ZlibFormat
    switch algorithm {
    case .identity: return bytes
    case .gzip: format = .gzip
    case .deflate: format = .zlib
    }
    var output = Room(limit: limit, hint: bytes.count)
    defer { output.deallocate() }
    if let error = run(bytes, format, algorithm, &output) { throw error }
    return output.message
  }

  private static func run(
    _ bytes: [UInt8], _ format: ZlibFormat, _ algorithm: Compression, _ output: inout Room
  ) -> CompressionError? {
    var stream = z_stream()
    // zlib's state points back to the stream: it must not move while it is in use.
    return withUnsafeMutablePointer(to: &stream) { stream in
      let started = inflateInit2_(
        stream, format.windowBits(15), ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size))
      guard started == Z_OK else { return .noMemory }
      defer { inflateEnd(stream) }
      return bytes.withUnsafeBytes { input in
        // zlib's C interface takes a mutable pointer and does not write to it.
        stream.pointee.next_in = UnsafeMutablePointer(
          mutating: input.bindMemory(to: Bytef.self).baseAddress)
        stream.pointee.avail_in = uInt(clamping: input.count)
        var members = 1
        while true {
          guard let room = output.more() else { return .tooLarge(limit: output.limit) }
          stream.pointee.next_out = room.start
          stream.pointee.avail_out = room.count
          let result = CZlib.inflate(stream, Z_NO_FLUSH)
          output.filled += Int(room.count - stream.pointee.avail_out)
          switch result {
          case Z_STREAM_END:
            if output.filled > output.limit { return .tooLarge(limit: output.limit) }
            let left = Int(stream.pointee.avail_in)
            if left == 0 { return nil }
            members += 1
            guard algorithm == .gzip, stream.pointee.next_in[0] == 0x1f, members <= maxMembers,
              inflateReset(stream) == Z_OK
            else { return .trailingBytes(algorithm, count: left) }
          case Z_OK, Z_BUF_ERROR:
            // The output buffer has room, so the input has ended.
            if stream.pointee.avail_out > 0 { return .truncated(algorithm) }
          case Z_MEM_ERROR: return .noMemory
          default: return .corrupt(algorithm)
          }
        }
      }
    }
  }

  /// The output buffer: doubled when full, up to one byte more than the limit, which distinguishes
  /// a message of exactly that size from a larger one.
  private struct Room {
    let limit: Int
    var filled = 0
    private let largest: Int
    private var memory: UnsafeMutableRawBufferPointer

    init(limit: Int, hint: Int) {
      self.limit = max(0, limit)
      largest = min(self.limit, Int.max - 1) + 1
      // Text usually inflates to four times its size; more is had by doubling.
      let wanted = hint.multipliedReportingOverflow(by: 4)
      let first = wanted.overflow ? largest : max(256, wanted.partialValue)
      memory = .allocate(byteCount: min(largest, first), alignment: 16)
    }

    func deallocate() { memory.deallocate() }

    /// Nil once more than the limit is filled.
    mutating func more() -> (start: UnsafeMutablePointer<Bytef>, count: uInt)? {
      if filled == memory.count {
        guard filled < largest else { return nil }
        let doubled = filled.multipliedReportingOverflow(by: 2)
        let larger = UnsafeMutableRawBufferPointer.allocate(
          byteCount: doubled.overflow ? largest : min(largest, doubled.partialValue), alignment: 16)
        larger.copyMemory(from: UnsafeRawBufferPointer(rebasing: memory[..<filled]))
        memory.deallocate()
        memory = larger
      }
      let free = UnsafeMutableRawBufferPointer(rebasing: memory[filled...])
      guard let start = free.bindMemory(to: Bytef.self).baseAddress else { return nil }
      return (start, uInt(clamping: free.count))
    }

    var message: [UInt8] { Array(memory[..<filled]) }
  }
}

/// zlib's codes for the format around the deflate data.
enum ZlibFormat {
  case zlib
  case gzip

  func windowBits(_ bits: Int32) -> Int32 {
    switch self {
    case .zlib: bits
    case .gzip: bits + 16
    }
  }
}
