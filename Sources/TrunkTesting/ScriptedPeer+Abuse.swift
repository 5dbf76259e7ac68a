// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// Floods of frames, and the GOAWAY that answers them.
extension ScriptedPeer {
  /// The GOAWAY that ends a connection (RFC 9113 §6.8).
  public struct GoAway: Sendable, Hashable {
    /// The last stream that was or might be processed.
    public var lastStream: Int32
    /// The error code (RFC 9113 §7).
    public var code: UInt32
    /// The debug data as UTF-8.
    public var debug: String
    /// For comparing with a received one.
    public init(lastStream: Int32, code: UInt32, debug: String = "") {
      self.lastStream = lastStream
      self.code = code
      self.debug = debug
    }
  }

  /// The next GOAWAY; nil if the other side closed without one. Frames before it are dropped.
  public func goAway() async throws -> GoAway? {
    while let frame = try await next() {
      if case .goAway(let last, let code, let debug) = frame {
        return GoAway(lastStream: last, code: code, debug: debug)
      }
    }
    return nil
  }

  /// Sends the same frames `times` times.
  /// - Returns: whether the other side read them all; it may close before.
  @discardableResult
  public func flood(_ frames: [ScriptedFrame], times: Int) async -> Bool {
    await flood(times: times) { _ in frames }
  }

  /// Sends frames made anew for each turn, about 32 KiB at once.
  @discardableResult
  public func flood(
    times: Int, _ frames: @Sendable (_ turn: Int) -> [ScriptedFrame]
  ) async -> Bool {
    var bytes: [UInt8] = []
    for turn in 0..<times {
      for frame in frames(turn) { bytes += frame.bytes }
      guard bytes.count >= 32 * 1024 || turn == times - 1 else { continue }
      do { try await send(raw: bytes) } catch { return false }
      bytes.removeAll(keepingCapacity: true)
    }
    return true
  }

  /// The stream of the n-th call of a client (RFC 9113 §5.1.1).
  public static func stream(_ call: Int) -> Int32 { Int32(truncatingIfNeeded: 2 * call + 1) }
}
