// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

import Testing

@testable import TrunkWire

@Suite("grpc-timeout")
struct TimeoutTests {
  @Test(
    "every unit is read (GRPC 5.7)",
    arguments: [
      ("1n", 1), ("20u", 20_000), ("300m", 300_000_000), ("4S", 4_000_000_000),
      ("5M", 300_000_000_000), ("6H", 21_600_000_000_000), ("00000001n", 1), ("0S", 0),
      ("99999999n", 99_999_999), ("99999999S", 99_999_999_000_000_000), ("99999999H", .max),
    ] as [(String, UInt64)])
  func parse(_ text: String, _ nanoseconds: UInt64) {
    #expect(withBytes(text) { GRPCTimeout.parse($0) } == nanoseconds)
  }

  @Test(
    "what is malformed is nil",
    arguments: ["", "1", "S", "1s", "1h", "-1S", "+1S", "1 S", " 1S", "1.5S", "123456789S", "1SS"])
  func malformed(_ text: String) {
    #expect(withBytes(text) { GRPCTimeout.parse($0) } == nil)
  }

  @Test(
    "a coarser unit is taken when digits run out, rounded down",
    arguments: [
      (0, "1n"), (1, "1n"), (99_999_999, "99999999n"), (100_000_000, "100000u"),
      (100_000_999, "100000u"), (1_000_000_000, "1000000u"), (99_999_999_999, "99999999u"),
      (100_000_000_000, "100000m"), (3_600_000_000_000, "3600000m"),
      (100_000_000_000_000, "100000S"), (100_000_000_000_000_000, "1666666M"),
      (.max, "5124095H"),
    ] as [(UInt64, String)])
  func encode(_ nanoseconds: UInt64, _ text: String) {
    #expect(String(decoding: GRPCTimeout.encode(nanoseconds: nanoseconds), as: UTF8.self) == text)
  }

  @Test("a timeout never grows on its way, and shrinks by less than 0.1 %")
  func neverGrows() throws {
    var random = SeededGenerator(state: 7)
    for _ in 0..<20_000 {
      let nanoseconds = max(
        1,
        UInt64.random(in: 0...(.max), using: &random) >> UInt64.random(in: 0...63, using: &random))
      let text = GRPCTimeout.encode(nanoseconds: nanoseconds)
      #expect(text.count <= 9)
      let back = try #require(text.withUnsafeBytes { GRPCTimeout.parse($0) })
      #expect(back <= nanoseconds)
      #expect(nanoseconds - back <= nanoseconds / 1000)
    }
  }
}
