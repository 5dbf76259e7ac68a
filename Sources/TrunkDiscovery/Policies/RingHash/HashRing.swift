// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// Where endpoints stand on the circle of 64-bit hashes (gRFC A42), built as Envoy and the other
/// stacks build it, so that clients of all of them choose the same endpoint for a call.
///
/// The entries of an endpoint are the hashes of `key_0`, `key_1`, ...; an endpoint's share of the
/// entries is its share of the weights, up to rounding. Shared by the copies of a picker.
final class HashRing: Sendable {
  /// Ascending.
  let hashes: [UInt64]
  /// The index of each entry's endpoint.
  let owners: [UInt32]

  var count: Int { hashes.count }

  /// - Parameters:
  ///   - members: each endpoint's key and weight (at least 1). Their order has no effect but on
  ///     ``owners``.
  ///   - sizes: of the ring. The smallest endpoint gets a whole number of entries, as far as the upper
  ///     bound allows; with more endpoints than that some have no entry.
  init(_ members: [(key: String, weight: UInt64)], sizes: ClosedRange<Int>) {
    let total = Double(members.reduce(0) { $0 + $1.weight })
    let least = Double(members.map(\.weight).min() ?? 1) / max(total, 1)
    let scale = min(
      (least * Double(sizes.lowerBound)).rounded(.up) / least, Double(sizes.upperBound))

    let order = members.indices.sorted { (members[$0].key, $0) < (members[$1].key, $1) }
    var entries: [(hash: UInt64, owner: UInt32)] = []
    entries.reserveCapacity(Int(scale.rounded(.up)))
    var target = 0.0
    for index in order {
      target += scale * Double(members[index].weight) / total
      var number = 0
      while Double(entries.count) < target {
        entries.append(
          (XXH64.hash("\(members[index].key)_\(number)"), UInt32(truncatingIfNeeded: index)))
        number += 1
      }
    }
    entries.sort { $0 < $1 }
    hashes = entries.map(\.hash)
    owners = entries.map(\.owner)
  }

  /// The first entry at or after a hash, around the circle.
  func index(of hash: UInt64) -> Int {
    var (low, high) = (0, hashes.count)
    while low < high {
      let middle = (low + high) / 2
      if hashes[middle] < hash { low = middle + 1 } else { high = middle }
    }
    return low == hashes.count ? 0 : low
  }
}

/// One endpoint of the policy.
struct RingMember: Sendable {
  var id: SubchannelID
  var endpoint: Endpoint
  /// Of all its entries in the list.
  var weight: UInt64
  var phase = RingHashPicker.Phase.idle
  /// gRFC A76; without the attribute the first address, as in gRFC A42.
  var key: String {
    if let key = endpoint.attributes["hash_key"], !key.isEmpty { return key }
    return endpoint.addresses[0].description
  }
  func isPlaced(as other: RingMember) -> Bool {
    id == other.id && weight == other.weight && key == other.key
  }
}
