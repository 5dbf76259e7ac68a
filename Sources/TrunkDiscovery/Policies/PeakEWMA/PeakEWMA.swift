// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// `peak_ewma`, a policy of this library: every endpoint is kept connected; of two random ready ones
/// the one with the lower latency times calls in flight gets the call.
///
/// - The latency is an average of the ended calls that forgets exponentially with time. One above it
///   is taken at once, so that an endpoint that turns slow is avoided from the first slow answer on.
/// - An average decays while no call ends, so that a slow endpoint is tried again by and by.
/// - An endpoint without an average, because it is new or its connection is, gets a call at once and
///   the next one when that has ended.
/// - A call that failed by the server's fault counts as at least ``Config/failurePenalty`` and never
///   lowers the average: failing fast attracts no calls.
package struct PeakEWMA: Balancer {
  package static var name: String { "peak_ewma" }
  /// What ``Config/decay`` may be. Below its resolution an average would not decay.
  static let decays: ClosedRange<Duration> = .milliseconds(10)...(.seconds(3600))

  /// `{"decay": "10s", "failurePenalty": "1s"}`
  package struct Config: Sendable, Hashable {
    /// The time in which the past loses all but 1/e of its weight, 10 ms...1 h.
    var decay: Duration = .seconds(10)
    /// The least latency that a failed call counts as, up to an hour.
    var failurePenalty: Duration = .seconds(1)
  }

  package static func parse(_ json: [UInt8]) throws(ServiceConfigError) -> Config {
    let fields = try JSONReader(JSONValue(parsing: json), path: name)
    var config = Config()
    if let decay = try fields.duration("decay") {
      guard decays.contains(decay) else {
        throw fields.error("decay", "\(decay) is out of range; allowed: \"0.01s\" to \"3600s\"")
      }
      config.decay = decay
    }
    if let penalty = try fields.duration("failurePenalty") {
      guard penalty <= decays.upperBound else {
        throw fields.error(
          "failurePenalty", "\(penalty) is out of range; allowed: up to \"3600s\"")
      }
      config.failurePenalty = penalty
    }
    return config
  }

  private var set: ReadySet<LatencyAverage>

  package init(_ config: Config) {
    let rules = config.rules
    set = ReadySet { LatencyAverage(rules) }
  }

  /// True: connections and averages are kept.
  package mutating func reconfigure(_ config: Config) -> Bool {
    let rules = config.rules
    set.changeObservers({ LatencyAverage(rules) }) { $0.apply(rules) }
    return true
  }

  package mutating func handle(_ event: BalancerEvent, _ actions: inout BalancerActions) {
    if case .subchannel(let id, .ready, _) = event { set.observer(of: id)?.connected() }
    set.handle(event, &actions)
  }

  package func explain(now: UInt64) -> PolicyExplanation {
    var averages: [SubchannelID: String] = [:]
    for one in set.ready {
      guard let latency = one.observer?.average(at: now) else { continue }
      let tenths = UInt64(latency / 100_000)
      averages[one.id] =
        latency == 0 ? "no average latency yet" : "counts as \(tenths / 10).\(tenths % 10) ms"
    }
    return PolicyExplanation(PeakEWMA.name, subchannels: averages)
  }

  package mutating func makePicker() -> any Picker {
    set.picker { ready in
      PeakEWMAPicker(
        ready.compactMap { one in
          one.observer.map { PeakEWMAPicker.Candidate(id: one.id, latency: $0) }
        })
    }
  }
}

extension PeakEWMA.Config {
  fileprivate var rules: LatencyAverage.Rules {
    LatencyAverage.Rules(
      decay: decay / .nanoseconds(1), failurePenalty: failurePenalty / .nanoseconds(1))
  }
}

/// Compares two different candidates: with the same one twice, as in least_request, a slow endpoint
/// of five would keep a twenty-fifth of all calls however slow it is.
struct PeakEWMAPicker: Picker {
  struct Candidate: Sendable {
    let id: SubchannelID
    let latency: LatencyAverage
  }
  private let ready: [Candidate]

  init(_ ready: [Candidate]) { self.ready = ready }

  mutating func pick(_ call: borrowing PickContext) -> Pick {
    guard ready.count > 1 else { return ready.first.map { .use($0.id) } ?? .wait }
    let bits = mixed(call.random)
    let first = scaled(bits >> 32, below: ready.count)
    var second = scaled(bits & 0xffff_ffff, below: ready.count - 1)
    if second >= first { second += 1 }
    let isSecond =
      ready[second].latency.load(at: call.nanoseconds)
      < ready[first].latency.load(at: call.nanoseconds)
    return .use(ready[isSecond ? second : first].id)
  }

  /// The high half of a product maps 32 random bits to the range (Lemire 2019).
  private func scaled(_ bits: UInt64, below count: Int) -> Int {
    Int((bits &* UInt64(count)) >> 32)
  }
}
