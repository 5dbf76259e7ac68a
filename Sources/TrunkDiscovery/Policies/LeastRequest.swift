// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// `least_request_experimental` (gRFC A48): every endpoint is kept connected; a call goes to the one
/// with the fewest calls in flight among a few ready ones chosen at random.
///
/// Calls in flight are those of this channel. Two random choices avoid a slow server nearly as well
/// as a look at all of them, at a cost that does not grow with their number, and do not send every
/// client to the same idle server.
public struct LeastRequest: Balancer {
  /// `{"choiceCount": 2}`
  public struct Config: Sendable, Hashable {
    /// Endpoints that are compared for a call, 2...10. Default 2.
    public var choiceCount: Int

    /// - Parameter choiceCount: at least 2; more than 10 are 10.
    public init(choiceCount: Int = 2) { self.choiceCount = min(max(choiceCount, 2), 10) }
  }

  /// `least_request_experimental`.
  public static var name: String { "least_request_experimental" }

  /// - Throws: ``ServiceConfigError`` for a `choiceCount` that is no number of 2 and more.
  public static func parse(_ json: [UInt8]) throws(ServiceConfigError) -> Config {
    let fields = try JSONReader(JSONValue(parsing: json), path: name)
    return Config(
      choiceCount: try fields.integer("choiceCount", in: 2...Int(UInt32.max)) ?? 2)
  }

  private var config: Config
  private var set = ReadySet { LoadCounter() }

  /// Without subchannels until the first resolution.
  public init(_ config: Config) { self.config = config }

  /// True: connections are kept; the next picker compares as many as the new config says.
  public mutating func reconfigure(_ config: Config) -> Bool {
    self.config = config
    return true
  }

  /// See ``Balancer/handle(_:_:)``.
  public mutating func handle(_ event: BalancerEvent, _ actions: inout BalancerActions) {
    set.handle(event, &actions)
  }

  /// Picks among the READY subchannels; waits or fails if there is none.
  public mutating func makePicker() -> any Picker {
    set.picker { ready in
      LeastRequestPicker(ready.map { ReadySubchannel($0) }, choices: config.choiceCount)
    }
  }
}

/// Samples with replacement, as the other implementations of A48 do: of two endpoints the busier one
/// is still picked in a quarter of the calls.
struct LeastRequestPicker: Picker {
  private let ready: [ReadySubchannel]
  private let choices: Int

  init(_ ready: [ReadySubchannel], choices: Int) {
    self.ready = ready
    self.choices = choices
  }

  mutating func pick(_ call: borrowing PickContext) -> Pick {
    var random = call.random
    // By index: a copy of a candidate would retain its endpoint's parts.
    var best = index(&random)
    var least = ready[best].callsInFlight
    for _ in 1..<choices {
      let other = index(&random)
      let calls = ready[other].callsInFlight
      if calls < least { (best, least) = (other, calls) }
    }
    return .use(ready[best].id)
  }

  /// The high half of a product maps 32 random bits to the range (Lemire 2019); the bits come from
  /// the pick's own number, advanced as in SplitMix64.
  private func index(_ random: inout UInt64) -> Int {
    random &+= 0x9e37_79b9_7f4a_7c15
    var bits = random
    bits = (bits ^ bits >> 30) &* 0xbf58_476d_1ce4_e5b9
    bits = (bits ^ bits >> 27) &* 0x94d0_49bb_1331_11eb
    return Int(((bits >> 32) &* UInt64(ready.count)) >> 32)
  }
}
