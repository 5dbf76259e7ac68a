// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// Something that reads bytes of a peer or a user, and properties that hold whatever they are. A
/// property that does not hold traps, which is what a fuzzer and the replay test look for.
///
/// `Scripts/fuzz` runs each with libFuzzer; `swift test` replays `Tests/Fuzz/Corpus/NAME`.
public struct FuzzTarget: Sendable {
  public let name: String
  /// Longest input worth trying, in bytes.
  public let maxLength: Int
  public let run: @Sendable ([UInt8]) -> Void

  public static let all: [FuzzTarget] =
    [
      FuzzTarget(name: "message", maxLength: 512, run: fuzzMessages),
      FuzzTarget(name: "http1", maxLength: 1_024, run: fuzzHTTP1),
      FuzzTarget(name: "headers", maxLength: 512, run: fuzzHeaders),
      FuzzTarget(name: "inflate", maxLength: 512, run: fuzzInflater),
      FuzzTarget(name: "target", maxLength: 128, run: fuzzTargets),
      FuzzTarget(name: "config", maxLength: 1_024, run: fuzzServiceConfig),
      FuzzTarget(name: "dns", maxLength: 512, run: fuzzDNS),
      FuzzTarget(name: "load", maxLength: 512, run: fuzzLoadReport),
      FuzzTarget(name: "server", maxLength: 2_048, run: fuzzServerSession),
      FuzzTarget(name: "client", maxLength: 2_048, run: fuzzClientSession),
    ] + secured

  #if TLS
    private static let secured = [FuzzTarget(name: "tls", maxLength: 1_024, run: fuzzTLS)]
  #else
    private static let secured: [FuzzTarget] = []
  #endif

  public static func named(_ name: String) -> FuzzTarget? { all.first { $0.name == name } }
}

/// An input as a stream of choices; zeros when it is used up.
struct Choices {
  private var rest: ArraySlice<UInt8>

  init(_ bytes: [UInt8]) { rest = bytes[...] }

  var isEmpty: Bool { rest.isEmpty }

  mutating func byte() -> UInt8 { rest.popFirst() ?? 0 }
  mutating func word() -> UInt32 { (0..<4).reduce(0) { sum, _ in sum << 8 | UInt32(byte()) } }
  mutating func bytes(_ count: Int) -> [UInt8] {
    let taken = Array(rest.prefix(count))
    rest = rest.dropFirst(taken.count)
    return taken
  }
  mutating func all() -> [UInt8] { bytes(rest.count) }
}

/// A trap with a name, kept in release builds.
func holds(_ condition: Bool, _ property: StaticString) {
  if !condition { fatalError("property broken: \(property)") }
}

/// Hands `bytes` over in chunks of the given sizes, round and round; whole where there are none.
func split(_ bytes: [UInt8], _ sizes: [UInt8], _ body: ([UInt8]) -> Void) {
  var offset = 0
  var turn = 0
  while offset < bytes.count {
    let size = sizes.isEmpty ? bytes.count : Int(sizes[turn % sizes.count]) + 1
    turn += 1
    let end = min(bytes.count, offset + size)
    body(Array(bytes[offset..<end]))
    offset = end
  }
}
