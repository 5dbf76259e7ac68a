// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import BenchStubs
import BenchSupport
import FoundationEssentials
import SwiftProtobuf
import TrunkProtobuf
import Trunkcall

/// Nanoseconds of one `body`, the least of five rounds.
func measure(_ count: Int, _ body: () throws -> Void) rethrows -> Double {
  var least = Double.infinity
  for _ in 0..<5 {
    let start = now()
    for _ in 0..<count { try body() }
    least = min(least, Double(now() - start) / Double(count))
  }
  return least
}

func codecFigures() -> [(String, Double)] {
  func both<Message: SwiftProtobuf.Message & Equatable>(
    _ name: String, _ message: Message, _ count: Int
  ) -> [(String, Double)] {
    let codec = Codec<Message>.protobuf
    do {
      let frame = try codec.frame(message)
      let payload = Array(frame[5...])
      guard try codec.message(payload) == message else { stop("\(name): wrong message") }
      return [
        ("encode_\(name)", try measure(count) { _ = try codec.frame(message) }),
        ("decode_\(name)", try measure(count) { _ = try codec.message(payload) }),
      ]
    } catch { stop("\(name): \(error)") }
  }
  func payload(_ size: Int) -> Bench_Payload { .with { $0.body = Data(repeating: 7, count: size) } }
  return both("hello", Helloworld_HelloRequest.with { $0.name = "world" }, 100_000)
    + both("1KiB", payload(1 << 10), 100_000) + both("64KiB", payload(1 << 16), 5_000)
    + both("4MiB", payload(4 << 20), 50)
}
