// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import CZlib

/// Compresses whole messages, one at a time, each on its own.
///
/// Small messages get a small state: zlib's usual 256 KiB would take longer to set up than the
/// message to compress.
package enum Deflater {
  /// The frame of a message, compressed: its prefix is written, flag included.
  ///
  /// - Parameter frame: Five bytes of room, then the message (as encoders make it).
  /// - Returns: nil where there is nothing to compress: no algorithm, or an empty message.
  package static func frame(
    _ frame: [UInt8], _ algorithm: Compression
  ) throws(CompressionError) -> [UInt8]? {
    let format: ZlibFormat
    switch algorithm {
    case .identity: return nil
    case .gzip: format = .gzip
    case .deflate: format = .zlib
    }
    let length = frame.count - MessageFrame.prefixLength
    // More than 4 GiB does not fit into a frame: the send limit refuses it.
    guard length > 0, length <= 0xffff_ffff else { return nil }
    var stream = z_stream()
    let size = StateSize(length)
    // zlib's state points back to the stream: it must not move while it is in use.
    let result = withUnsafeMutablePointer(to: &stream) { stream -> [UInt8]? in
      let started = deflateInit2_(
        stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, format.windowBits(size.windowBits),
        size.memLevel, Z_DEFAULT_STRATEGY, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size))
      guard started == Z_OK else { return nil }
      defer { deflateEnd(stream) }
      return run(frame, stream)
    }
    guard var result else { throw .noMemory }
    guard result.count - MessageFrame.prefixLength <= 0xffff_ffff else { return nil }
    MessageFrame.seal(&result, compressed: true)
    return result
  }

  private static func run(
    _ frame: [UInt8], _ stream: UnsafeMutablePointer<z_stream>
  ) -> [UInt8]? {
    frame.withUnsafeBytes { bytes in
      let input = UnsafeRawBufferPointer(rebasing: bytes[MessageFrame.prefixLength...])
      let bound = Int(deflateBound(stream, uLong(input.count)))
      var isWhole = false
      let output = [UInt8](
        unsafeUninitializedCapacity: bound + MessageFrame.prefixLength
      ) { output, count in
        for index in 0..<MessageFrame.prefixLength { output[index] = 0 }
        stream.pointee.next_in = UnsafeMutablePointer(
          mutating: input.bindMemory(to: Bytef.self).baseAddress)
        stream.pointee.avail_in = uInt(clamping: input.count)
        var filled = MessageFrame.prefixLength
        while true {
          let room = uInt(clamping: output.count - filled)
          stream.pointee.next_out = output.baseAddress.map { $0 + filled }
          stream.pointee.avail_out = room
          let result = CZlib.deflate(stream, Z_FINISH)
          filled += Int(room - stream.pointee.avail_out)
          // `deflateBound` is enough for all of it; a buffer clamped to 4 GiB is filled in turns.
          guard result == Z_OK, filled < output.count else {
            isWhole = result == Z_STREAM_END
            break
          }
        }
        count = filled
      }
      guard isWhole else { return nil }
      // It may wait in a queue: spare capacity would be held as long.
      return output.count < output.capacity / 2 ? output.exact : output
    }
  }

  /// zlib's `windowBits` and `memLevel`: no larger than the message needs.
  struct StateSize: Equatable {
    var windowBits: Int32
    var memLevel: Int32

    init(_ length: Int) {
      switch length {
      case ...1_024: (windowBits, memLevel) = (10, 3)
      case ...4_096: (windowBits, memLevel) = (12, 5)
      case ...16_384: (windowBits, memLevel) = (14, 7)
      default: (windowBits, memLevel) = (15, 8)
      }
    }
  }
}

extension [UInt8] {
  /// A copy without spare room.
  fileprivate var exact: [UInt8] { withUnsafeBytes { Array($0) } }
}
