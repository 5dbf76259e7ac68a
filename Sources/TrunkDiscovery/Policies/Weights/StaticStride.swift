// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// Weights as whole numbers, the largest of them 65,535: what a static stride scheduler, that of
/// gRPC's C-core and grpc-go, works on.
///
/// Endpoints are visited in turn, round after round. Endpoint `i` of weight `w` is picked in `w` of
/// 65,535 rounds, evenly spread: where `(w * round + i * 32767) mod 65535 >= 65535 - w`. A pick visits
/// largest/mean endpoints on average, at most 10, however many there are; never more than all of
/// them, as the largest weight is picked in each round.
enum StaticStride {
  static let largest = UInt16.max
  /// Weights over this multiple of the mean count as it, so that few endpoints have to be passed over.
  static let maximumRatio = 10.0
  /// Weights below this part of the mean count as it: an endpoint that gets no calls would not report
  /// that it is well again.
  static let minimumRatio = 0.01

  /// - Parameter weights: positive and finite; nil for endpoints without one, which get the mean.
  /// - Returns: nil if fewer than two are known, or all come out the same: round robin.
  static func scale(_ weights: [Double?]) -> [UInt16]? {
    let known = weights.compactMap { $0 }
    guard known.count > 1, let greatest = known.max(), greatest > 0 else { return nil }
    // Parts of the greatest: their sum is finite.
    let top = cap(known.map { $0 / greatest })
    func whole(_ part: Double) -> UInt16 {
      UInt16((min(part / top, 1) * Double(largest)).rounded())
    }
    let mean = known.reduce(0) { $0 + min($1 / greatest, top) } / Double(known.count)
    let least = max(1, whole(mean * minimumRatio))
    let scaled = weights.map { weight in
      weight.map { max(least, whole($0 / greatest)) } ?? whole(mean)
    }
    return scaled.allSatisfy { $0 == scaled[0] } ? nil : scaled
  }

  /// The greatest, if it is within the ratio; else where the greatest ones are cut so that they are
  /// just within the ratio to the mean of what comes out.
  /// - Parameter parts: the greatest is 1.
  private static func cap(_ parts: [Double]) -> Double {
    let count = Double(parts.count)
    guard parts.reduce(0, +) / count * maximumRatio < 1 else { return 1 }
    let parts = parts.sorted(by: >)
    // The sum of each and those after it. Added up from the least on: beside the greatest, or as a
    // difference, small ones would be lost.
    var rests = parts
    for index in rests.indices.dropLast().reversed() { rests[index] += rests[index + 1] }
    for (cut, part) in parts.enumerated() {
      // top = ratio * (cut * top + rest) / count; there is a solution as `cut` is below count / ratio.
      let room = count - maximumRatio * Double(cut)
      let top = maximumRatio * rests[cut] / room
      // Parts may be too small for a Double: they divide by the result.
      if room > 0, part <= top { return max(top, .leastNormalMagnitude) }
    }
    return 1
  }

  static func isPicked(_ index: UInt32, _ weight: UInt16, round: UInt32) -> Bool {
    let position = UInt64(weight) * UInt64(round) + UInt64(index) * UInt64(largest / 2)
    return position % UInt64(largest) >= UInt64(largest - weight)
  }
}

/// The subchannels and weights of one picker, shared by its copies.
final class StrideTable: Sendable {
  let ids: [SubchannelID]
  /// The largest is 65,535.
  let weights: [UInt16]

  init(_ ids: [SubchannelID], _ weights: [UInt16]) {
    self.ids = ids
    self.weights = weights
  }
}

/// Each copy, that is each event loop, has a sequence of its own: no counter is shared. It begins at a
/// random place that the weights themselves favour, so that shares are right also where a copy makes
/// few picks before the next weights come.
struct StridePicker: Picker {
  private let table: StrideTable
  private var index = UInt32.max
  private var round: UInt32 = 0

  init(_ table: StrideTable) { self.table = table }

  mutating func pick(_ call: borrowing PickContext) -> Pick {
    if index == .max, begin(call.random) { return .use(table.ids[Int(index)]) }
    while true {
      index += 1
      if index == UInt32(truncatingIfNeeded: table.weights.count) {
        index = 0
        round &+= 1
      }
      if StaticStride.isPicked(index, table.weights[Int(index)], round: round) {
        return .use(table.ids[Int(index)])
      }
    }
  }

  /// Random places until one of them is a pick; false if none of the first 64 is.
  private mutating func begin(_ seed: UInt64) -> Bool {
    var random = SplitMix(seed: seed)
    let count = UInt64(table.weights.count)
    for _ in 0..<64 {
      let bits = random.next()
      index = UInt32(truncatingIfNeeded: ((bits >> 32) &* count) >> 32)
      round = UInt32(truncatingIfNeeded: bits)
      if StaticStride.isPicked(index, table.weights[Int(index)], round: round) {
        return true
      }
    }
    return false
  }
}

/// Numbers from the one random number of a pick (Steele, Lea, Flood 2014).
struct SplitMix: RandomNumberGenerator, Sendable {
  private var state: UInt64
  init(seed: UInt64) { state = seed }
  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var bits = state
    bits = (bits ^ bits >> 30) &* 0xbf58_476d_1ce4_e5b9
    bits = (bits ^ bits >> 27) &* 0x94d0_49bb_1331_11eb
    return bits ^ bits >> 31
  }
}
