// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Testing

@testable import TrunkDiscovery

@Suite("The ring of ring_hash (gRFC A42)") struct HashRingTests {
  @Test("XXH64 has the values of xxHash's own library")
  func vectors() {
    let known: [(String, UInt64)] = [
      ("", 0xef46_db37_51d8_e999), ("a", 0xd24e_c4f1_a98c_6e5b), ("abc", 0x44bc_2cf5_ad77_0999),
      ("abcdefgh", 0x3ad3_5177_5b46_34b7), ("10.0.0.1:80_0", 0x7504_1381_e737_1a08),
      ("0123456789abcdef0123456789abcdef", 0x642a_9495_8e71_e6c5),
      ("Nobody inspects the spammish repetition", 0xfbce_a83c_8a37_8bf1),
      (String(repeating: "0123456789abcdef", count: 5) + "xyz", 0x2cf0_ab3f_2d7c_78c7),
    ]
    for (text, hash) in known { #expect(XXH64.hash(text) == hash, "\(text)") }
  }

  @Test("entries are the hashes of address_0, address_1, ..., by weight, ascending") func entries()
  {
    let ring = HashRing(
      [("10.0.0.1:80", 3), ("10.0.0.2:80", 3), ("10.0.0.3:80", 4)], sizes: 10...20)
    #expect(
      ring.hashes == [
        0x1834_1d92_7ea1_0691, 0x1843_fe2b_fd88_cc4b, 0x3d32_eaa4_a864_962e, 0x4ed2_5775_29fc_9c63,
        0x656d_c13d_a99f_d148, 0x7079_d8e1_823e_007f, 0x74da_18db_9f57_cc7e, 0x7504_1381_e737_1a08,
        0x90e7_ae8e_a720_a506, 0x9866_3d8c_8e38_e677,
      ])
    #expect(ring.owners == [0, 2, 1, 2, 0, 1, 2, 0, 1, 2])
  }

  @Test("the smallest endpoint gets a whole number of entries, within the bounds") func sizes() {
    func count(_ weights: [UInt64], _ sizes: ClosedRange<Int>) -> Int {
      HashRing(weights.enumerated().map { ("\($0)", $1) }, sizes: sizes).count
    }
    #expect(count([1, 1, 1, 1, 1], 1024...4096) == 1025)
    #expect(count([1, 9_999], 1024...4096) == 4096)
    #expect(count([1, 9_999], 1024...65_536) == 10_000)
    #expect(count(Array(repeating: 1, count: 10_000), 1024...4096) == 4096)
    #expect(count([7], 1...1) == 1)
    #expect(count([], 1...1) == 0)
  }

  @Test("bisection finds the first entry at or after a hash, around the circle", arguments: 0..<10)
  func bisection(_ seed: UInt64) {
    var random = Seeded(seed)
    let members = (0..<Int.random(in: 1...20, using: &random)).map {
      ("10.0.0.\($0):80", UInt64.random(in: 1...9, using: &random))
    }
    let ring = HashRing(members, sizes: 1...Int.random(in: 1...200, using: &random))
    #expect(ring.hashes == ring.hashes.sorted() && ring.owners.count == ring.count)
    var probes = (0..<200).map { _ in random.next() } + [0, .max]
    for hash in ring.hashes { probes += [hash, hash &+ 1, hash &- 1] }
    for probe in probes {
      #expect(ring.index(of: probe) == ring.hashes.firstIndex { $0 >= probe } ?? 0)
    }
  }

  @Test("shares follow the weights; the order of the list has no effect", arguments: 0..<6)
  func shares(_ seed: UInt64) {
    var random = Seeded(seed)
    let members = (1...10).map { ("10.1.\($0).1:80", UInt64.random(in: 1...5, using: &random)) }
    let ring = HashRing(members, sizes: 1024...4096)
    let total = Double(members.reduce(0) { $0 + $1.1 })
    for (i, member) in members.enumerated() {
      let entries = Double(ring.owners.count { $0 == UInt32(i) })
      #expect(abs(entries - Double(ring.count) * Double(member.1) / total) <= 1)
    }
    let shuffled = members.shuffled(using: &random)
    let other = HashRing(shuffled, sizes: 1024...4096)
    #expect(
      ring.owners.map { members[Int($0)].0 } == other.owners.map { shuffled[Int($0)].0 })
  }

  @Test("an endpoint that goes moves its own calls and few others", arguments: 0..<6)
  func stability(_ seed: UInt64) {
    var random = Seeded(seed)
    let members = (1...10).map { ("10.2.\(seed).\($0):80", UInt64(1)) }
    let ring = HashRing(members, sizes: 1024...4096)
    let rest = Array(members.dropLast())
    let smaller = HashRing(rest, sizes: 1024...4096)
    var moved = 0
    for _ in 0..<5_000 {
      let hash = random.next()
      let before = members[Int(ring.owners[ring.index(of: hash)])].0
      let after = rest[Int(smaller.owners[smaller.index(of: hash)])].0
      if before != after { moved += 1 }
    }
    // A tenth was its own. The ring has a few more entries per endpoint now.
    #expect(moved < 5_000 / 4, "\(moved)")
  }
}
