// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Testing

@testable import TrunkDiscovery

@Suite("Elementary functions") struct ElementaryTests {
  @Test("e^-x and ln x have known values, to nine digits") func values() {
    let decays: [(Double, Double)] = [
      (0, 1), (1e-6, 0.999_999_000_000_5), (0.5, 0.606_530_659_712_633_4),
      (1, 0.367_879_441_171_442_3), (10, 4.539_992_976_248_485e-5),
      (100, 3.720_075_976_020_836e-44), (800, 0), (-1, 1),
    ]
    for (x, known) in decays {
      #expect(abs(Elementary.decay(x) - known) <= known * 1e-9, "\(x): \(Elementary.decay(x))")
    }
    let logarithms: [(Double, Double)] = [
      (1, 0), (2, 0.693_147_180_559_945_3), (10, 2.302_585_092_994_046),
      (0.1, -2.302_585_092_994_046),
      (1.999_999, 0.693_146_680_559_820_3), (0x1p-54, -37.429_947_750_237_05),
    ]
    for (x, known) in logarithms {
      #expect(
        abs(Elementary.logarithm(x) - known) <= 1e-9 * max(1, abs(known)),
        "\(x): \(Elementary.logarithm(x))")
    }
  }

  @Test(
    "a sum's decay is the product of the parts' decays; the logarithm undoes it", arguments: 0..<8)
  func laws(_ seed: UInt64) {
    var random = Seeded(seed)
    for _ in 0..<500 {
      let x = Double.random(in: 0...300, using: &random)
      let y = Double.random(in: 0...300, using: &random)
      let product = Elementary.decay(x) * Elementary.decay(y)
      #expect(abs(Elementary.decay(x + y) / product - 1) < 1e-8)
      #expect(abs(Elementary.logarithm(Elementary.decay(x)) + x) < 1e-7)
    }
  }
}
