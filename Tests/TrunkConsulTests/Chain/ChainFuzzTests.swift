// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import FoundationEssentials
import Testing
import TrunkDiscovery

@testable import TrunkConsul

@Suite("Discovery chains of any content") struct ChainFuzzTests {
  @Test("a changed answer is refused or used, with whole shares and paths that differ")
  func changed() {
    var random = SplitMix(state: 5)
    let pieces = [
      "null", "0", "-1", "1e308", "\"\"", "[]", "{}", "true", "\"resolver\"", "\"router\"",
      "\"splitter\"", "\"splitter:web.default\"", "\"v1.web.default.dc1\"", "\"\\u0000\\n\"",
      "100", "0.0000001",
    ]
    var used = 0
    for round in 0..<4_000 {
      var bytes = Array(RecordedChain.split.utf8)
      for _ in 0..<Int.random(in: 1...3, using: &random) {
        // A value, from a colon to what ends it.
        let colons = bytes.indices.filter { bytes[$0] == UInt8(ascii: ":") }
        guard let colon = colons.randomElement(using: &random) else { break }
        let end =
          bytes[(colon + 1)...].firstIndex {
            [UInt8(ascii: ","), UInt8(ascii: "}"), UInt8(ascii: "]")].contains($0)
          }
          ?? bytes.count
        bytes.replaceSubrange(
          (colon + 1)..<end, with: Array(pieces.randomElement(using: &random)!.utf8))
      }
      guard let chain = try? JSONDecoder().decode(DiscoveryChain.self, from: Data(bytes)) else {
        continue
      }
      _ = chain.isDefault
      guard let routes = try? ChainRoutes(chain) else { continue }
      used += 1
      let plan = WatchPlan(routes, ConsulQuery("web"))
      #expect(Set(plan.parts.map(\.path)).count == plan.parts.count, "\(round)")
      #expect(!plan.parts.isEmpty)
      #expect(routes.splits.allSatisfy { $0.weight > 0 && !$0.targets.isEmpty })
      let visible = !routes.description.unicodeScalars.contains { $0.value < 0x20 }
      #expect(visible, "\(round) \(routes.description)")
    }
    #expect(used > 100)
  }
}
