// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import TrunkWire

extension MessageFrame {
  /// The frame with its prefix written; not copied if the encoder has written it already.
  static func sealed(_ frame: [UInt8]) -> [UInt8] {
    let length = frame.count - prefixLength
    // Too short or too long: refused with a status before it is sent.
    guard length >= 0, length <= 0xffff_ffff else { return frame }
    let isSealed = frame.withUnsafeBytes { bytes in
      bytes[0] == 0
        && bytes.loadUnaligned(fromByteOffset: 1, as: UInt32.self)
          == UInt32(truncatingIfNeeded: length).bigEndian
    }
    if isSealed { return frame }
    var copy = frame
    seal(&copy)
    return copy
  }
}
